"""What reading takes at its peak; `scripts/picture_memory.py` measures every kind."""

from __future__ import annotations

import sys

import pytest

from picture_memory import MOST, drawn, kinds, measure

HEAVY = ["JPEG, strict", "PNG, alpha, Display P3", "TIFF, float", "WebP, alpha", "AVIF, alpha"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("name", [name for name in HEAVY if name in kinds()])
def test_the_heaviest_stay_below_the_bound(name, tmp_path):
    # The file, the picture itself and what is returned are that already: less would be no measure.
    assert 2.0 < measure(name, drawn(6), tmp_path) <= MOST
