"""Real servers, as the launcher's tests have them."""

from real_servers import shm_regions

__all__ = ["shm_regions"]
