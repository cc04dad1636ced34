"""A hundred megapixels in bounded memory, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque

import pytest

from tritonseg.testing import FakeTriton

MOST_BYTES = 1.5e9
SEGMENT = """
import json, re, sys
import numpy as np
from tritonseg import ImageLimits, SegmentationClient, Tiling

url, side, blend = sys.argv[1], int(sys.argv[2]), sys.argv[3]
image = np.empty((side, side, 3), np.uint8)
image[..., 0] = np.arange(side) % 251
image[..., 1:] = np.arange(side)[:, None, None] % 241
limits = ImageLimits(max_pixels=side * side)
with SegmentationClient(url, model="street-demo", timeout_s=120, limits=limits) as client:
    tiling = Tiling(size=2048, overlap=608, blend=blend)
    result = client.segment(image, tiling=tiling, confidence=True)
right = all((row == image[index, :, 0] % 3).all() for index, row in enumerate(result.class_map))
# Not ru_maxrss, in which the parent's counts, too.
status = open("/proc/self/status").read()
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
print(json.dumps({"right": bool(right), "peak": peak, "tiles": result.tiling.tile_count}))
"""


@pytest.mark.parametrize("blend", ["center", "confidence"])
def test_a_hundred_megapixels(blend):
    with FakeTriton() as triton:
        triton.requests = deque(maxlen=1)  # or they would all be kept
        command = [sys.executable, "-c", SEGMENT, triton.url, "10000", blend]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    found = json.loads(done.stdout)
    print(found)  # noqa: T201
    assert found["right"]
    assert found["tiles"] == 49
    assert found["peak"] <= MOST_BYTES
