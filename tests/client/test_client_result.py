"""What is read off a class map, against counting and mixing by hand."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from made_segmentation import COLORS, make_segmentation
from tritonseg import ConfigurationError


@pytest.fixture
def segmentation(photo):
    class_map = [[0, 0, 0, 0, 0, 0, 0, 0]] * 4 + [[1, 1, 1, 1, 0, 0, 0, 0]] * 2
    return make_segmentation(class_map, COLORS, photo)


def test_coverage_is_a_share_for_every_class(segmentation):
    assert dict(segmentation.coverage) == {"class 0": 40 / 48, "class 1": 8 / 48, "class 2": 0.0}
    with pytest.raises(TypeError):
        segmentation.coverage["class 0"] = 1.0


@pytest.mark.parametrize("class_count", [1, 19, 256])
def test_coverage_is_what_numpy_counts(class_count):
    rng = np.random.default_rng(class_count)
    class_map = rng.integers(0, class_count, (53, 37), np.uint8).T  # not row by row in memory
    coverage = make_segmentation(class_map, [(0, 0, 0)] * class_count).coverage
    counts = np.bincount(class_map.ravel(), minlength=class_count)
    assert list(coverage.values()) == (counts / class_map.size).tolist()


def test_mask(segmentation):
    mask = segmentation.mask("class 1")
    assert mask.dtype == bool
    assert mask.sum() == 8
    assert mask[4:, :4].all()
    assert not segmentation.mask("class 2").any()


def test_mask_of_an_unknown_class_names_the_known_ones(segmentation):
    with pytest.raises(ConfigurationError, match=r"'clas 1'.*class 0, class 1, class 2"):
        segmentation.mask("clas 1")


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_overlay_mixes_picture_and_palette(segmentation, photo, alpha):
    colors = np.array(COLORS)[segmentation.class_map]
    expected = photo * (1.0 - alpha) + colors * alpha
    overlay = segmentation.overlay(alpha)
    assert (overlay.mode, overlay.size) == ("RGB", (8, 6))
    np.testing.assert_allclose(np.asarray(overlay), expected, atol=1.0)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_overlay_alpha_out_of_range(segmentation, alpha):
    with pytest.raises(ConfigurationError, match="alpha"):
        segmentation.overlay(alpha)


@pytest.mark.parametrize("class_count", [1, 2, 3, 4, 5, 16, 17, 150, 256])
def test_saved_png_holds_indices_for_every_reader(tmp_path, class_count):
    rng = np.random.default_rng(class_count)
    palette = rng.integers(0, 256, (class_count, 3)).tolist()
    class_map = rng.integers(0, class_count, (37, 53)).astype(np.uint8)
    class_map.flat[:class_count] = np.arange(class_count)
    result = make_segmentation(class_map, palette)
    result.save(tmp_path / "classes.png")
    with Image.open(tmp_path / "classes.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), class_map)
    for flags in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_GRAYSCALE):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "classes.png"), flags), class_map)
    colors = result.color_map()
    assert (colors.mode, colors.size) == ("RGB", (53, 37))
    np.testing.assert_array_equal(np.asarray(colors), np.array(palette)[class_map])


def test_saved_png_is_the_same_to_torchvision(segmentation, tmp_path):
    torchvision_io = pytest.importorskip("torchvision.io", exc_type=ImportError)
    segmentation.save(tmp_path / "classes.png")
    read = torchvision_io.read_image(str(tmp_path / "classes.png")).numpy()
    np.testing.assert_array_equal(read, segmentation.class_map[None])


class TestSave:
    def test_replaces_and_leaves_nothing_else(self, segmentation, tmp_path):
        path = tmp_path / "classes.PNG"
        path.write_bytes(b"older")
        segmentation.save(str(path))
        assert [entry.name for entry in tmp_path.iterdir()] == ["classes.PNG"]
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_failure_leaves_the_older_file(self, segmentation, tmp_path, monkeypatch):
        path = tmp_path / "classes.png"
        path.write_bytes(b"older")

        def fail(self, file, **options):
            file.write_bytes(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            segmentation.save(path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["classes.png"]
        assert path.read_bytes() == b"older"

    def test_missing_folder(self, segmentation, tmp_path):
        with pytest.raises(FileNotFoundError):
            segmentation.save(tmp_path / "no" / "classes.png")

    @pytest.mark.parametrize("name", ["classes.jpg", "classes", ".png"])
    def test_other_formats(self, segmentation, tmp_path, name):
        with pytest.raises(ConfigurationError, match=r"\.png"):
            segmentation.save(tmp_path / name)


def test_summary_is_json(segmentation):
    assert json.loads(json.dumps(segmentation.to_dict())) == {
        "model": "street-demo",
        "model_version": "1",
        "request_id": "frame-17",
        "image_size": {"height": 6, "width": 8},
        "stored_size": {"height": 8, "width": 6},
        "classes": [
            {"index": 0, "name": "class 0", "coverage": 40 / 48},
            {"index": 1, "name": "class 1", "coverage": 8 / 48},
        ],
        "tiling": None,
    }


def test_repr_helps(segmentation):
    assert repr(segmentation) == (
        "<Segmentation 6×8 by 'street-demo' version 1: class 0 83.3%, class 1 16.7%>"
    )


def test_survives_the_way_to_another_process(segmentation):
    assert segmentation.coverage["class 0"] > 0
    copy = pickle.loads(pickle.dumps(segmentation))
    np.testing.assert_array_equal(copy.class_map, segmentation.class_map)
    assert copy.to_dict() == segmentation.to_dict()
