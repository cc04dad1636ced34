"""Legends, and class maps with their palette."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFont

from made_segmentation import COLORS, make_segmentation
from tritonseg import ConfigurationError

RNG = np.random.default_rng(5)


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def made(height: int, width: int, classes: int = 3):
    colors = [*COLORS, *RNG.integers(0, 256, (classes, 3)).tolist()][:classes]
    class_map = RNG.integers(0, classes, (height, width), np.uint8)
    return make_segmentation(class_map, colors, RNG.integers(0, 256, (height, width, 3), np.uint8))


class TestLegend:
    @pytest.mark.parametrize("size_hw", [(1, 1), (48, 64), (1, 3000), (3000, 1), (1080, 1920)])
    @pytest.mark.parametrize("classes", [1, 3, 150])
    def test_leaves_the_picture_and_shows_every_color(self, size_hw, classes):
        result = made(*size_hw, classes)
        with_it, without = result.overlay(legend=True), result.overlay()
        assert with_it.mode == "RGB"
        height, width = size_hw
        assert without.size == (width, height)
        np.testing.assert_array_equal(np.asarray(with_it)[:height, :width], np.asarray(without))
        below = np.asarray(with_it)[height:]
        for name in result.present_classes:
            color = result.palette[result.classes.index(name)]
            # A box's side is the height of the letters, which are 12 pixels at least.
            assert (below == color).all(axis=-1).sum() >= 10 * 10

    def test_text_grows_with_the_picture(self):
        whole = np.ones((2000, 2000), np.uint8)
        heights = [
            make_segmentation(whole[:side, :side], COLORS).overlay(legend=True).height - side
            for side in (100, 1000, 2000)
        ]
        assert heights[0] < heights[1] < heights[2] <= 2000 / 10

    def test_largest_first(self):
        result = make_segmentation(np.array([[2] * 600 + [0] * 300 + [1] * 100]), COLORS)
        row = np.asarray(result.overlay(legend=True))[12].tolist()
        places = [row.index(list(COLORS[index])) for index in (2, 0, 1)]
        assert places == sorted(places)

    def test_absent_classes_are_not_named(self):
        shown = np.asarray(make_segmentation([[0]], COLORS).overlay(legend=True))[1:]
        assert not (shown == COLORS[1]).all(axis=-1).any()


def test_a_pillow_without_freetype(monkeypatch):
    def missing(size):
        raise ImportError("The _imagingft C module is not installed")

    monkeypatch.setattr(ImageFont, "load_default", missing)
    with pytest.raises(ConfigurationError, match="FreeType"):
        made(3, 4).overlay(legend=True)
    assert made(3, 4).overlay().size == (4, 3)


def test_a_notebook_shows_the_overlay_and_the_legend():
    result = make_segmentation(np.ones((500, 2000), np.uint8), COLORS)
    with opened(result._repr_png_()) as image:
        assert (image.mode, image.width) == ("RGB", 640)
        assert 160 + 12 < image.height < 200
        assert image.getpixel((10, 170)) == COLORS[1]


class TestPalette:
    @pytest.mark.parametrize("class_count", [1, 2, 3, 16, 17, 256])
    def test_pillow_reads_indices_and_everyone_sees_colors(self, class_count, tmp_path):
        result = made(37, 53, class_count)
        result.save(tmp_path / "classes.png", palette=True)
        assert (tmp_path / "classes.png").read_bytes() == result.to_png(palette=True)
        with opened(result.to_png(palette=True)) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), result.class_map)
            np.testing.assert_array_equal(image.convert("RGB"), result.color_map())
        colors = cv2.imread(str(tmp_path / "classes.png"), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(colors[..., ::-1], np.asarray(result.color_map()))

    def test_the_default_stays_grey(self):
        with opened(made(3, 4).to_png()) as image:
            assert image.mode == "L"
