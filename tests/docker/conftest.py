"""The same tiny models and looks as the launcher's own tests."""

from real_servers import infer, installation, is_gone, repository, shm_regions, write_model

__all__ = ["infer", "installation", "is_gone", "repository", "shm_regions", "write_model"]
