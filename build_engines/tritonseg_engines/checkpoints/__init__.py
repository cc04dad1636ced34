"""Published weight files: fetched, recognised, and read without running their code."""

from tritonseg_engines.checkpoints.download import ReceivedBytes
from tritonseg_engines.checkpoints.fetch import (
    default_cache,
    fetch_upstream,
    fetch_url,
    locate_weights,
)
from tritonseg_engines.checkpoints.loading import load_checkpoint
from tritonseg_engines.checkpoints.reading import read_checkpoint

__all__ = [
    "ReceivedBytes",
    "default_cache",
    "fetch_upstream",
    "fetch_url",
    "load_checkpoint",
    "locate_weights",
    "read_checkpoint",
]
