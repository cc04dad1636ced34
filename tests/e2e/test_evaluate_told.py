"""What `tritonseg evaluate` says of data and servers that would give another figure."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tritonseg.testing import FakeTriton
from tritonseg_engines.cli.app import cli
from tritonseg_engines.evaluation import contender

CLASSES = ("road", "car", "sky")
COUNT = 6


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton(classes=CLASSES) as triton:
        yield triton


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures whose red value is the class, and labels that are right but for two rows."""
    return filled(tmp_path / "set", [str(index) for index in range(COUNT)])


def filled(root: Path, names: list[str]) -> Path:
    numbers = np.random.default_rng(5)
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for name in names:
        pixels = numbers.integers(0, 3, (20, 30, 3), np.uint8)
        labels = pixels[..., 0].copy()
        labels[:2] = 0
        with (root / "images" / f"{name}.png").open("wb") as file:
            Image.fromarray(pixels).save(file, "PNG")
        with (root / "labels" / f"{name}.png").open("wb") as file:
            Image.fromarray(labels).save(file, "PNG")
    return root


def evaluate(triton: FakeTriton, folder: Path, *more: object) -> Result:
    words = ["evaluate", "street-demo", "--url", triton.url, "--format", "folders"]
    words += map(str, ["--dataset", folder, "-o", folder.parent / "out", *more])
    return CliRunner().invoke(cli, words)


def report(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder.parent / "out" / "report.json").read_text())
    return document


def test_names_of_any_bytes_are_reported(triton: FakeTriton, tmp_path: Path) -> None:
    """Latin-1, a line break, markup: files from elsewhere have such names."""
    folder = filled(tmp_path / "set", ["caf\udce9", "a\nb", "<b onclick=x>"])
    (folder / "labels" / "alone\n\udce8.png").touch()
    outcome = evaluate(triton, folder)
    assert outcome.exit_code == 0, outcome.output
    out = tmp_path / "out"
    page, text = ((out / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    assert r"caf\udce9.png" in page
    assert r"a\nb.png" in page
    assert "<b onclick" not in page
    assert r"left out: alone\\n\\udce8.png" in text
    assert b"caf\xe9.png" in (out / "pictures.csv").read_bytes()


def test_words_of_a_server_are_no_markup(triton: FakeTriton, folder: Path) -> None:
    published = json.loads(triton.parameters["tritonseg_provenance"])
    odd = {"precision": "<b>\n# `\ud800", "runtime": "|<i>\n"}
    triton.parameters["tritonseg_provenance"] = json.dumps({**published, **odd})
    outcome = evaluate(triton, folder)
    assert outcome.exit_code == 0, outcome.output
    out = folder.parent / "out"
    heading, *lines = (out / "report.md").read_text(encoding="utf-8").splitlines()
    assert heading.startswith(r"# street-demo 1, \<b\>\\n\# \`\\ud800 on folders, 6 pictures")
    assert not any(line.startswith("#") for line in lines if not line.startswith("## "))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<i>" not in page
    assert "<b>\\n" not in page


def test_one_value_more_to_leave_out_is_one_more(triton: FakeTriton, folder: Path) -> None:
    """Beside the model's own, which is a class here."""
    published = json.loads(triton.parameters["tritonseg_model"])
    triton.parameters["tritonseg_model"] = json.dumps({**published, "ignore_index": 0})
    assert evaluate(triton, folder).exit_code == 0
    alone = report(folder)
    outcome = evaluate(triton, folder, "--ignore-index", 255, "--overwrite")
    assert "no label value is road: where that is predicted, it is wrong" in outcome.output
    both = report(folder)
    assert both["figures"] == alone["figures"]
    assert "0, 255 to be ignored" in both["dataset"]["labels"]


@pytest.mark.parametrize("kind", ["labels", "images"])
def test_files_that_change_during_the_run(kind: str, triton: FakeTriton, folder: Path) -> None:
    def mask(image_hwc: np.ndarray) -> np.ndarray:
        if len(triton.requests) == COUNT:
            file = folder / kind / "0.png"
            file.write_bytes((folder / kind / "1.png").read_bytes())
        return np.asarray(image_hwc[..., 0] % 3, np.uint8)

    triton.mask = mask
    outcome = evaluate(triton, folder, "--in-flight", 1)
    assert outcome.exit_code == 1
    assert "pictures or labels were changed during the run" in outcome.output
    assert not (folder.parent / "out" / "report.json").exists()


def test_damaged_labels(triton: FakeTriton, folder: Path) -> None:
    """One bit of the pixels: most such files cannot be decoded, and some give other classes."""
    file = folder / "labels" / "3.png"
    whole = file.read_bytes()
    pixels_begin, pixels_end = whole.index(b"IDAT") + 4, whole.index(b"IEND") - 8
    for place in range(pixels_begin, pixels_end, 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        file.write_bytes(damaged)
        outcome = evaluate(triton, folder)
        assert outcome.exit_code == 1, place
        assert f"{file}: " in outcome.output
        (folder.parent / "out" / ".partial.jsonl").unlink(missing_ok=True)


@pytest.mark.parametrize("same", ["@1", "street-demo@1", "twice"])
def test_a_model_is_not_held_against_itself(same: str, triton: FakeTriton, folder: Path) -> None:
    other = f"=localhost:{triton.url.rpartition(':')[2]}"
    compared = [other, other] if same == "twice" else [same]
    outcome = evaluate(triton, folder, *(word for one in compared for word in ("--compare", one)))
    assert outcome.exit_code == 1
    assert "expected models that differ, got 'street-demo' version 1 at" in outcome.output
    assert not triton.requests


def test_folders_of_their_own_and_a_data_set(triton: FakeTriton, folder: Path) -> None:
    own = ["--images", folder / "images", "--labels", folder / "labels"]
    outcome = evaluate(triton, folder, *own)
    assert outcome.exit_code == 1
    assert "leave --dataset and --split out" in outcome.output


class Overloaded:
    """A failure that comes and goes."""

    status = grpc.StatusCode.UNAVAILABLE
    details = "Exceeds maximum queue size"

    def __init__(self, share: float) -> None:
        self._random, self._share = random.Random(1), share

    @property
    def left(self) -> int:
        return self._random.random() < self._share

    @left.setter
    def left(self, value: int) -> None:
        pass


def test_a_server_that_is_overloaded_is_waited_for(
    triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most calls are refused, which is more than a client's retries withstand."""
    monkeypatch.setattr(contender, "PAUSE_S", 0.05)
    folder = filled(tmp_path / "set", [str(index) for index in range(16)])
    triton.failures["ModelInfer"] = Overloaded(0.6)  # type: ignore[assignment]
    outcome = evaluate(triton, folder, "--in-flight", 32)
    assert outcome.exit_code == 0, outcome.output
    triton.failures["ModelInfer"] = Overloaded(1)  # type: ignore[assignment]
    outcome = evaluate(triton, folder, "--overwrite", "--timeout", 1)
    assert outcome.exit_code == 1
    assert "the server cannot take the request now" in outcome.output


def test_a_full_disk_is_told_with_the_file_and_how_to_go_on(
    triton: FakeTriton, folder: Path
) -> None:
    """The journal and the small files fit; the HTML page does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        outcome = evaluate(triton, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert outcome.exit_code == 1
    out = folder.parent / "out"
    assert f"Error: {out / 'report.html'}: {os.strerror(27)}" in outcome.output
    assert "--resume goes on from there" in outcome.output
    triton.requests.clear()
    assert evaluate(triton, folder, "--resume").exit_code == 0
    assert len(triton.requests) == COUNT  # those of the report's pictures alone
