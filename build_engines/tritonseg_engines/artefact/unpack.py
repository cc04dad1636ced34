"""Unpack a layer that somebody else may have made: nothing but files and folders, all inside.

Digests say that a layer is what its manifest names, not that whoever wrote it meant well.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

from tritonseg_engines.artefact.layers import MODELS_FOLDER, SBOM_FILE
from tritonseg_engines.errors import ArtefactError

_ROOTS: Final = {MODELS_FOLDER, SBOM_FILE}
_FILES: Final = {tarfile.REGTYPE, tarfile.AREGTYPE}
_CHUNK: Final = 2**20
"""Bytes read at a time."""


def unpack(layer: Path, folder: Path, *, diff_id: str, unpacked_size: int) -> None:
    """Unpack a layer into a folder.

    Args:
        layer: A tar in a gzip.
        folder: An empty one, or with what other layers gave.
        diff_id: `sha256:` of what is in the gzip.
        unpacked_size: Its size in bytes; no more is unpacked.

    Raises:
        ArtefactError: It is damaged, longer, another one, or holds what no artefact needs.
    """
    try:
        with gzip.open(layer) as packed:
            bounded = _Bounded(cast(BinaryIO, packed), unpacked_size)
            with tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r|") as tar:
                for entry in tar:
                    _extract(tar, entry, folder)
            while bounded.read(_CHUNK):  # what follows the tar's end is in the digest, too
                pass
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise ArtefactError(f"a layer is no tar in a gzip ({error}); push it again") from error
    if f"sha256:{bounded.sha256.hexdigest()}" != diff_id or bounded.left:
        raise ArtefactError(
            "a layer's files are not those that its image names (their SHA-256 or size differs); "
            "push it again"
        )


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    name = entry.name.rstrip("/")
    parts = PurePosixPath(name).parts
    is_plain = bool(parts) and "/".join(parts) == name and not {"..", "/"} & set(parts)
    if not is_plain or parts[0] not in _ROOTS or "\\" in name or "\0" in name:
        raise ArtefactError(
            f"a layer holds {entry.name!r}: expected {' and '.join(sorted(_ROOTS))} only, and no "
            "way out of them; do not use it"
        )
    if not (entry.isdir() or entry.type in _FILES) or entry.issparse():
        raise ArtefactError(
            f"a layer holds {entry.name!r}, a link, device or sparse file: expected files and "
            "folders; do not use it"
        )
    target = folder / name
    try:
        if entry.isdir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(entry)
        with target.open("xb") as file:
            if source is not None:
                shutil.copyfileobj(source, file, _CHUNK)
    except (FileExistsError, NotADirectoryError) as error:
        raise ArtefactError(f"a layer holds {entry.name!r} twice; do not use it") from error


class _Bounded:
    """A file that is read to a bound, and digested."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.left = file, size
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) > self.left:
            raise ArtefactError(
                "a layer unpacks to more than its image says, as a bomb does; do not use it"
            )
        self.left -= len(content)
        self.sha256.update(content)
        return content
