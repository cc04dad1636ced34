"""A fixture for the tests of services: a fake server, new for each test.

In a `conftest.py`::

    pytest_plugins = ["tritonseg.pytest_plugin"]

and in a test::

    def test_my_service(fake_triton):
        fake_triton.mask = lambda image_hwc: np.ones(image_hwc.shape[:2], np.uint8)
        with SegmentationClient(fake_triton.url, model="street-demo") as client:
            ...
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .testing import FakeTriton

__all__ = ["fake_triton"]


@pytest.fixture
def fake_triton() -> Iterator[FakeTriton]:
    """Serve a model on a free port until the test ends; see `FakeTriton` for what it can do."""
    with FakeTriton() as triton:
        yield triton
