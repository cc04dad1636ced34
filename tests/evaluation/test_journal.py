"""The journal: what is there after a death at any byte, and what is refused."""

from __future__ import annotations

import re
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation.counts import PictureCounts, count_picture
from tritonseg_engines.evaluation.journal import Journal

CLASSES = 3
HEADER = {"form": 1, "models": [{"name": "a"}], "dataset": {"files": "12"}}


def counts(index: int) -> PictureCounts:
    random = np.random.default_rng(index)
    labels = random.integers(-1, CLASSES, (8, 9)).astype(np.int16)
    maps = [
        (
            random.integers(0, CLASSES, (8, 9)).astype(np.uint8),
            random.integers(0, 256, (8, 9), np.uint8),
        )
        for _ in range(2)
    ]
    return count_picture(index, labels, maps, CLASSES)


def written(path: Path, count: int) -> bytes:
    with Journal(path, HEADER, resume=False) as journal:
        for index in range(count):
            journal.append(counts(index))
    return path.read_bytes()


def read(path: Path) -> list[int]:
    with Journal(path, HEADER, resume=True) as journal:
        found = list(journal.counted(CLASSES))
        journal.append(counts(90))
    for one in found:
        expected = counts(one.index)
        assert one.changed == expected.changed
        assert one.size_hw == (8, 9)
        for model, other in zip(one.models, expected.models, strict=True):
            np.testing.assert_array_equal(model.confusion, other.confusion)
            np.testing.assert_array_equal(model.boundary, other.boundary)
            np.testing.assert_array_equal(model.calibration, other.calibration)
    return [one.index for one in found]


def test_goes_on_after_a_death_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = written(path, 3)
    ends = [match.end() for match in re.finditer(b"\n", whole)]
    for length in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:length])
        left = [index for index in range(3) if ends[index + 1] <= length]
        assert read(path) == left
        assert read(path) == [*left, 90]


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = bytearray(written(path, 2))
    begin = whole.index(b"\n") + 1
    for place in range(begin, len(whole) - 1, 11):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with (
            pytest.raises(EvaluationError, match=r"line [23] is damaged.*--overwrite"),
            Journal(path, HEADER, resume=True) as journal,
        ):
            list(journal.counted(CLASSES))


def test_lines_twice_or_gone_or_exchanged_are_noticed(tmp_path: Path) -> None:
    """Each line is whole by itself, and the sums would be others."""
    path = tmp_path / "journal"
    head, one, two, three = written(path, 3).splitlines(keepends=True)
    other = tmp_path / "other"
    with Journal(other, {**HEADER, "form": 2}, resume=False) as journal:
        journal.append(counts(0))
    foreign = other.read_bytes().splitlines(keepends=True)[1]
    for lines, number in (
        ([one, two, three, two], 5),
        ([one, one], 3),
        ([one, three], 3),
        ([two, one], 2),
        ([foreign], 2),
        ([one, head, two], 3),
    ):
        path.write_bytes(b"".join([head, *lines]))
        with (
            pytest.raises(EvaluationError, match=f"line {number} is damaged"),
            Journal(path, HEADER, resume=True) as journal,
        ):
            list(journal.counted(CLASSES))


def test_what_was_counted_is_kept_before_it_is_read(tmp_path: Path) -> None:
    """Ctrl-C may come between the opening and the first line; half a line counts for nothing."""
    path = tmp_path / "journal"
    whole = written(path, 1)
    with pytest.raises(KeyboardInterrupt), Journal(path, HEADER, resume=True):
        raise KeyboardInterrupt
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-5])
    with Journal(path, HEADER, resume=True) as journal:
        assert list(journal.counted(CLASSES)) == []
        assert journal.is_empty


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill_the_disk() -> None:
        with Journal(path, HEADER, resume=False) as journal:
            journal.append(counts(0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, hard))
            journal.append(counts(1))

    try:
        with pytest.raises(OSError, match="too large") as told:
            fill_the_disk()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert told.value.filename == str(path)
    assert read(path) == [0]


@pytest.mark.parametrize("key", HEADER)
def test_of_another_run(key: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    before = written(path, 1)
    with pytest.raises(EvaluationError, match=f"of another {key}: .* then, .* now"):
        Journal(path, {**HEADER, key: "other"}, resume=True)
    assert path.read_bytes() == before
    with Journal(path, {**HEADER, key: "other"}, resume=False) as journal:
        assert list(journal.counted(CLASSES)) == []


def test_what_differs_is_named_and_not_what_it_is_in(tmp_path: Path) -> None:
    """A model is described in more than a line has room for."""
    path = tmp_path / "journal"
    classes = [f"class {number}" for number in range(100)]
    models = [{"classes": classes, "precision": one} for one in ("fp32", "int8")]
    with Journal(path, {"models": models[:1]}, resume=False) as journal:
        journal.append(counts(0))
    with pytest.raises(EvaluationError, match='another precision: "fp32" then, "int8" now'):
        Journal(path, {"models": models[1:]}, resume=True)
    with pytest.raises(EvaluationError, match="another models: "):
        Journal(path, {"models": models}, resume=True)


def test_a_run_that_counted_nothing_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(RuntimeError), Journal(path, HEADER, resume=False):
        raise RuntimeError
    assert not path.exists()
    journal = Journal(path, HEADER, resume=False)
    journal.append(counts(0))
    journal.__exit__(RuntimeError, RuntimeError(), None)
    assert read(path) == [0]


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, HEADER, resume=False) as journal:
        journal.append(counts(0))
        before = path.read_bytes()
        with pytest.raises(EvaluationError, match="another evaluation is writing there"):
            Journal(path, HEADER, resume=False)
        assert path.read_bytes() == before
