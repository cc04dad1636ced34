"""Files that are broken anyhow: refused as pictures, or read as OpenCV reads them.

`make fuzz-pictures` takes ten thousand, each in a process that may die of it.
"""

from __future__ import annotations

import pytest

import mutated_pictures
from mutated_pictures import FAILED, FOREIGN, NAMES, REFUSED, RIGHT, WRONG, MutatedPicture

COUNT_EACH = 7  # over 300 in all
pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow's, for callers who look at them


@pytest.mark.parametrize("name", NAMES)
def test_broken_files(name):
    for seed in range(COUNT_EACH):
        outcome = MutatedPicture(name=name, seed=seed).outcome()
        assert outcome.kind not in FAILED, f"seed {seed}: {outcome.words}"


def test_breaking_breaks_some_and_not_all():
    kinds = {MutatedPicture(name="JPEG", seed=seed).outcome().kind for seed in range(30)}
    assert {RIGHT, REFUSED} <= kinds


@pytest.mark.parametrize(("fault", "kind"), [("mirrored", WRONG), ("crashes", FOREIGN)])
def test_a_planted_fault_is_found(fault, kind, monkeypatch):
    read = mutated_pictures.load_image

    def faulty(encoded, limits):
        if fault == "crashes":
            raise TypeError("'NoneType' object is not iterable")
        return read(encoded, limits=limits)[:, ::-1]

    monkeypatch.setattr(mutated_pictures, "load_image", faulty)
    kinds = {MutatedPicture(name="BMP", seed=seed).outcome().kind for seed in range(10)}
    assert kind in kinds
