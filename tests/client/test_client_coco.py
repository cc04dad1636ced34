"""Run-length encoding and annotations, against COCO's own tools."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco

from made_segmentation import COLORS, make_segmentation

# pycocotools' own, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

maps = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, 2))
)


def check(class_map: np.ndarray) -> None:
    result = make_segmentation(class_map, COLORS)
    encoded = result.to_rle()
    assert list(encoded) == list(result.present_classes)
    for annotation in result.to_coco(image_id=7, first_id=100):
        name = annotation["category"]
        expected = coco.encode(np.asfortranarray(result.mask(name), np.uint8))
        assert encoded[name] == {"size": expected["size"], "counts": expected["counts"].decode()}
        assert annotation["segmentation"] == encoded[name]
        assert annotation["area"] == coco.area(expected) == result.pixel_counts[name]
        assert annotation["bbox"] == coco.toBbox(expected).tolist()
        assert result.classes[annotation["category_id"]] == name
        decoded = coco.decode(json.loads(json.dumps(encoded[name])))
        assert np.array_equal(decoded, result.mask(name))


@settings(max_examples=200, deadline=None)
@given(maps)
def test_any_map(class_map):
    check(class_map)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (512, 1024)])
def test_sizes(shape):
    rng = np.random.default_rng(0)
    check(rng.integers(0, 3, shape, np.uint8))
    check(np.repeat(np.repeat(rng.integers(0, 3, (8, 8), np.uint8), 96, 0), 200, 1))
    check(np.full(shape, 1, np.uint8))


def test_annotations_are_counted_on():
    result = make_segmentation([[0, 1], [2, 1]], COLORS)
    annotations = result.to_coco(image_id=7, first_id=100)
    assert [(one["id"], one["image_id"]) for one in annotations] == [(100, 7), (101, 7), (102, 7)]


def test_png_bytes_and_open_files(tmp_path):
    result = make_segmentation([[0, 1], [2, 1]], COLORS)
    with Image.open(io.BytesIO(result.to_png())) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), result.class_map)
    with (tmp_path / "anything").open("wb") as file:
        result.save(file)
    assert (tmp_path / "anything").read_bytes() == result.to_png()
