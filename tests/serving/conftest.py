"""Tiny real models, and a look at what a server leaves on the machine."""

from real_servers import infer, installation, is_gone, repository, shm_regions, write_model

__all__ = ["infer", "installation", "is_gone", "repository", "shm_regions", "write_model"]
