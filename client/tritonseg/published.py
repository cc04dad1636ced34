"""A model's config as this client reads it, for whoever writes one.

A build reads what it wrote before it calls that done, so that no model is served that every client
refuses.
"""

from __future__ import annotations

from ._calls.description import read_published

__all__ = ["read_published"]
