"""Layers: the same files give the same bytes, other tools read them, hostile ones are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonseg_engines.artefact.layers import Layer, document_layer, repository_layer
from tritonseg_engines.artefact.unpack import unpack
from tritonseg_engines.errors import ArtefactError

FILES = {
    "tiny/config.pbtxt": b"name",
    "tiny/1/model.onnx": bytes(range(256)) * 5000,
    "tiny/1/" + "deep/" * 30 + "file": b"a path longer than the 100 characters of old tars",
    "tiny/2/.gitkeep": b"",
}


def write(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])
    return folder


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    one = write(tmp_path / "one", list(FILES))
    other = write(tmp_path / "other", list(reversed(FILES)))
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    first = repository_layer(one, FILES, tmp_path / "first.tar.gz")
    second = repository_layer(other, reversed(FILES), tmp_path / "a name that is longer")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert (first.digest, first.diff_id) == (second.digest, second.diff_id)


def test_another_byte_is_another_digest(tmp_path: Path) -> None:
    one = write(tmp_path / "one", list(FILES))
    first = repository_layer(one, FILES, tmp_path / "first.tar.gz")
    (one / "tiny/config.pbtxt").write_bytes(b"nama")
    second = repository_layer(one, FILES, tmp_path / "second.tar.gz")
    assert first.digest != second.digest
    assert first.diff_id != second.diff_id


def test_its_digests_and_sizes_are_those_of_its_bytes(tmp_path: Path) -> None:
    layer = repository_layer(write(tmp_path / "r", list(FILES)), FILES, tmp_path / "l.tar.gz")
    packed = layer.path.read_bytes()
    unpacked = subprocess.run(["gzip", "-dc", str(layer.path)], capture_output=True, check=True)
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(unpacked.stdout).hexdigest()}"
    assert (layer.size, layer.unpacked_size) == (len(packed), len(unpacked.stdout))


def test_gnu_tar_unpacks_it(tmp_path: Path) -> None:
    layer = repository_layer(write(tmp_path / "r", list(FILES)), FILES, tmp_path / "l.tar.gz")
    (tmp_path / "by tar").mkdir()
    subprocess.run(["tar", "-xzf", str(layer.path), "-C", str(tmp_path / "by tar")], check=True)
    found = {
        path.relative_to(tmp_path / "by tar" / "models").as_posix(): path.read_bytes()
        for path in (tmp_path / "by tar").rglob("*")
        if path.is_file()
    }
    assert found == FILES
    command = ["tar", "-tzvf", str(layer.path), "--numeric-owner"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(
        line.startswith(("-rw-r--r-- 0/0 ", "drwxr-xr-x 0/0 ")) and "1970-01-01" in line
        for line in listed.stdout.splitlines()
    )


def test_it_unpacks_to_what_it_was(tmp_path: Path) -> None:
    layer = repository_layer(write(tmp_path / "r", list(FILES)), FILES, tmp_path / "l.tar.gz")
    more = document_layer("sbom.cdx.json", b"{}", tmp_path / "s.tar.gz")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    for one in (layer, more):
        unpack(one.path, unpacked, diff_id=one.diff_id, unpacked_size=one.unpacked_size)
    assert (unpacked / "sbom.cdx.json").read_bytes() == b"{}"
    assert {name: (unpacked / "models" / name).read_bytes() for name in FILES} == FILES


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o777
    return made


HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "above": [entry("../outside")],
    "above, from inside": [entry("models/../../outside")],
    "absolute": [entry("/models/outside")],
    "of another name": [entry("outside")],
    "the root itself": [entry("./")],
    "dots": [entry("./models/x")],
    "doubled slashes": [entry("models//x")],
    "backslashes": [entry("models\\..\\outside")],
    "a link out": [entry("models/x", tarfile.SYMTYPE, "../..")],
    "a link, then a file through it": [
        entry("models", tarfile.SYMTYPE, ".."), entry("models/outside"),
    ],
    "a hard link": [entry("models/x", tarfile.LNKTYPE, "/etc/passwd")],
    "a device": [entry("models/x", tarfile.CHRTYPE)],
    "a pipe": [entry("models/x", tarfile.FIFOTYPE)],
    "a sparse file": [entry("models/x", tarfile.GNUTYPE_SPARSE)],
    "a file twice": [entry("models/x"), entry("models/x")],
    "a folder for a file": [entry("models/x"), entry("models/x", tarfile.DIRTYPE)],
    "a file in a file": [entry("models/x"), entry("models/x/y")],
    "a file for a folder": [entry("models/x/y"), entry("models/x")],
}  # fmt: skip


def packed(path: Path, write_tar: Callable[[tarfile.TarFile], None]) -> Layer:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as tar:
        write_tar(tar)
    path.write_bytes(gzip.compress(content.getvalue()))
    return Layer(
        path=path,
        digest="",
        diff_id=f"sha256:{hashlib.sha256(content.getvalue()).hexdigest()}",
        size=path.stat().st_size,
        unpacked_size=len(content.getvalue()),
    )


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_layer_is_refused_and_nothing_is_outside(kind: str, tmp_path: Path) -> None:
    layer = packed(tmp_path / "l", lambda tar: [tar.addfile(one) for one in HOSTILE[kind]])
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    with pytest.raises(ArtefactError, match=r"a layer holds .*do not use it"):
        unpack(layer.path, folder, diff_id=layer.diff_id, unpacked_size=layer.unpacked_size)
    assert not [*tmp_path.rglob("*outside*")]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = entry("models/zeros")
    bomb.size = 200 * 2**20
    layer = packed(tmp_path / "l", lambda tar: tar.addfile(bomb, _Zeros()))
    (tmp_path / "to").mkdir()
    with pytest.raises(ArtefactError, match="as a bomb does"):
        unpack(layer.path, tmp_path / "to", diff_id=layer.diff_id, unpacked_size=2**20)
    written = sum(path.stat().st_size for path in (tmp_path / "to").rglob("*") if path.is_file())
    assert written <= 2**20


class _Zeros(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return bytes(size)


@pytest.mark.parametrize("damage", ["cut short", "a bit", "more behind", "no gzip", "no tar"])
def test_a_damaged_layer_is_refused(damage: str, tmp_path: Path) -> None:
    layer = repository_layer(write(tmp_path / "r", list(FILES)), FILES, tmp_path / "l.tar.gz")
    content = bytearray(layer.path.read_bytes())
    if damage == "cut short":
        del content[-40:]
    elif damage == "a bit":
        content[len(content) // 2] ^= 1
    elif damage == "more behind":
        content += gzip.compress(b"more")
    else:
        content[:] = b"x" * 2000 if damage == "no gzip" else gzip.compress(b"x" * 2000)
    layer.path.write_bytes(content)
    (tmp_path / "to").mkdir()
    with pytest.raises(ArtefactError):
        unpack(
            layer.path, tmp_path / "to", diff_id=layer.diff_id, unpacked_size=layer.unpacked_size
        )
