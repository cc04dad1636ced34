"""SHA-256 of files; the engine's step inside the server asks the same questions."""

from tritonseg_steps.checksum import exchanged, sha256_of

__all__ = ["exchanged", "sha256_of"]
