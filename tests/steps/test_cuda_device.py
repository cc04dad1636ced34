"""What opening a GPU says where there is none, and how launches cover a picture."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tritonseg_steps.cuda.device import BLOCK, CudaUnavailableError, CupyDevice, grid_of


def test_without_cupy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as Python marks what cannot be imported
    with pytest.raises(CudaUnavailableError, match=r"install tritonseg with the extra `gpu` there"):
        CupyDevice(0)


@pytest.mark.parametrize("extent", [(1, 1), (8, 32), (9, 33), (1024, 2048)])
def test_blocks_cover_every_pixel_with_less_than_one_to_spare(
    extent: tuple[int, int],
) -> None:
    threads = np.multiply(grid_of(extent), BLOCK)[1::-1]
    assert (threads >= extent).all()
    assert (threads - extent < BLOCK[1::-1]).all()
