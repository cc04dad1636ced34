"""Outlines: filled by COCO's tools they are the mask again, and shapely finds them valid."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

import tritonseg
from made_segmentation import COLORS, make_segmentation
from tritonseg import ConfigurationError

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays.arrays(np.bool_, shape)
)


def drawn(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def polygons(mask: np.ndarray, simplify_px: float = 0.0) -> list[tritonseg.Polygon]:
    return make_segmentation(mask, COLORS).polygons("class 1", simplify_px)


def filled(polygon: tritonseg.Polygon, shape: tuple[int, int]) -> np.ndarray:
    """Fill a polygon as COCO fills those of its annotations."""
    rings = [polygon.exterior, *polygon.holes]
    encoded = coco.frPyObjects([ring.ravel().tolist() for ring in map(np.float64, rings)], *shape)
    exterior, *holes = (coco.decode(one).astype(bool) for one in encoded)
    return exterior & ~np.any(holes, axis=0) if holes else exterior


def shape_of(polygon: tritonseg.Polygon) -> shapely.Polygon:
    return shapely.Polygon(polygon.exterior, polygon.holes)


def check(mask: np.ndarray) -> list[tritonseg.Polygon]:
    found = polygons(mask)
    pieces = [filled(polygon, mask.shape) for polygon in found]
    assert np.array_equal(np.sum(pieces, axis=0) if pieces else np.zeros(mask.shape), mask)
    for polygon, piece in zip(found, pieces, strict=True):
        shape = shape_of(polygon)
        assert shape.is_valid
        assert shape.area == polygon.area_px == piece.sum()
        assert shape.exterior.is_ccw
        assert not any(hole.is_ccw for hole in shape.interiors)
        assert len(shapely.simplify(shape, 0).exterior.coords) == len(polygon.exterior) + 1
    return found


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_any_mask(mask):
    check(mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (300, 500)])
def test_sizes(shape):
    rng = np.random.default_rng(0)
    check(rng.random(shape) < 0.5)
    (whole,) = check(np.ones(shape, np.bool_))
    height, width = shape
    assert whole.exterior.tolist() == [[0, 0], [width, 0], [width, height], [0, height]]
    assert check(np.zeros(shape, np.bool_)) == []


@pytest.mark.parametrize(
    ("mask", "holes"),
    [
        pytest.param(drawn("#.", ".#"), [0, 0], id="pixels that touch at a corner are two"),
        pytest.param(drawn("##", "#."), [0], id="an L is one"),
        pytest.param(drawn("###", "#.#", "###"), [1], id="hole"),
        pytest.param(drawn("####", "#.##", "##.#", "####"), [2], id="holes that touch are two"),
        pytest.param(drawn("###", "#.#", "##."), [1], id="a hole that touches the outline"),
        pytest.param(drawn("###", "#..", "##."), [0], id="a bay"),
        pytest.param(
            drawn("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"),
            [1, 1], id="a hole in an island in a hole",
        ),
    ],
)  # fmt: skip
def test_holes(mask, holes):
    assert [len(polygon.holes) for polygon in check(mask)] == holes


def test_a_class_that_is_absent_and_one_that_is_unknown():
    result = make_segmentation([[0, 0]], COLORS)
    assert result.polygons("class 2") == []
    with pytest.raises(ConfigurationError, match="class 9"):
        result.polygons("class 9")


class TestSimplified:
    @settings(max_examples=100, deadline=None)
    @given(MASKS, st.sampled_from([0.5, 1.0, 3.0, 100.0]))
    def test_stays_valid_and_near(self, mask, tolerance_px):
        for exact, simple in zip(polygons(mask), polygons(mask, tolerance_px), strict=True):
            before, after = shape_of(exact), shape_of(simple)
            assert after.is_valid
            assert after.hausdorff_distance(before) <= 3 * tolerance_px
            assert len(simple.holes) == len(exact.holes)
            assert after.exterior.is_ccw
            assert simple.area_px == after.area

    def test_takes_the_steps_out_of_a_slope(self):
        mask = np.tril(np.ones((200, 200), np.bool_))
        (exact,), (simple,) = polygons(mask), polygons(mask, 1.0)
        assert len(exact.exterior) == 402
        assert len(simple.exterior) < 6
        assert abs(simple.area_px - mask.sum()) < 200

    @pytest.mark.parametrize("tolerance_px", [-1.0, float("nan"), float("inf"), "1", True])
    def test_what_is_no_length(self, tolerance_px):
        with pytest.raises(ConfigurationError, match="simplify_px"):
            polygons(drawn("#"), tolerance_px)

    def test_without_shapely(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "shapely", None)
        assert len(polygons(drawn("#"))) == 1
        with pytest.raises(ConfigurationError, match=r"pip install shapely.*\[shapes\]"):
            polygons(drawn("#"), 1.0)


class TestGeoJson:
    def read(self, document):
        return shapely.from_geojson(json.dumps(document)).geoms

    @settings(max_examples=100, deadline=None)
    @given(arrays.arrays(np.uint8, (7, 9), elements=st.integers(0, 2)))
    def test_classes_share_the_picture_out(self, class_map):
        result = make_segmentation(class_map, COLORS)
        document = result.to_geojson()
        shapes = self.read(document)
        for found, shape in zip(document["features"], shapes, strict=True):
            properties = found["properties"]
            assert shape.is_valid
            assert shape.area == properties["area_px"]
            assert properties["area_px"] == result.pixel_counts[properties["class"]]
            assert result.classes[properties["index"]] == properties["class"]
        assert shapely.union_all(shapes).equals(shapely.box(0, 0, 9, 7))
        assert sum(shape.area for shape in shapes) == 63

    def test_is_placed_on_a_map(self):
        """Half-metre pixels, north up: what rasterio calls Affine(0.5, 0, 500000, 0, -0.5, 6e6)."""
        transform = (0.5, 0.0, 500_000.0, 0.0, -0.5, 6_000_000.0)
        result = make_segmentation(drawn("....", ".##.", "...."), COLORS)
        document = result.to_geojson(transform, crs="EPSG:32633")
        ground, found = self.read(document)
        assert found.bounds == (500_000.5, 5_999_999.0, 500_001.5, 5_999_999.5)
        assert ground.area == 10 * 0.25
        assert document["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
        for shape in (found, ground):  # RFC 7946, 3.1.6
            assert shape.geoms[0].exterior.is_ccw
            assert not any(hole.is_ccw for hole in shape.geoms[0].interiors)
        nine = result.to_geojson((*transform, 0.0, 0.0, 1.0), crs="EPSG:32633")
        assert nine == document

    def test_turned_and_sheared(self):
        transform = (0.3, 0.4, -7.0, 0.1, -0.2, 5.0)
        points = self.read(make_segmentation([[0]], COLORS).to_geojson(transform))[0]
        corners = {(-7.0, 5.0), (-6.7, 5.1), (-6.3, 4.9), (-6.6, 4.8)}
        placed = {tuple(np.round(point, 9)) for point in points.geoms[0].exterior.coords}
        assert placed == corners

    def test_pixels_and_degrees_have_no_crs(self):
        result = make_segmentation([[0]], COLORS)
        assert "crs" not in result.to_geojson()
        assert "crs" not in result.to_geojson((1e-5, 0, 13.4, 0, -1e-5, 52.5), crs="EPSG:4326")

    def test_simplified(self):
        mask = np.tril(np.ones((50, 50), np.bool_))
        few, many = (
            len(json.dumps(make_segmentation(mask, COLORS).to_geojson(simplify_px=simplify_px)))
            for simplify_px in (1.0, 0.0)
        )
        assert few < many / 3

    @pytest.mark.parametrize(
        ("transform", "words"),
        [
            ((500_000.0, 0.5, 0.0, 6_000_000.0, 0.0, -0.5), r"Affine\.from_gdal"),
            ((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), "area"),
            ((1.0, 0.0, float("nan"), 0.0, 1.0, 0.0), "area"),
            ((1.0, 0.0, 0.0, 0.0, 1.0), "a, b, c, d, e, f"),
            ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0), "a, b, c, d, e, f"),
            ("abcdef", "six numbers"),
            ((10**400, 0.0, 0.0, 0.0, 1.0, 0.0), "six numbers"),
            (5, "six numbers"),
        ],
    )
    def test_what_is_no_transform(self, transform, words):
        with pytest.raises(ConfigurationError, match=words):
            make_segmentation([[0]], COLORS).to_geojson(transform)

    @pytest.mark.parametrize("crs", ["32633", "epsg:32633", "EPSG:32633; DROP", 32633])
    def test_what_is_no_crs(self, crs):
        with pytest.raises(ConfigurationError, match="EPSG:32633"):
            make_segmentation([[0]], COLORS).to_geojson(crs=crs)
