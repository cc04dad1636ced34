"""Results in other libraries' forms, read by those libraries themselves.

They are large, so only `make interop-check` brings them; without it, tests say what they miss.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from made_segmentation import COLORS, make_segmentation
from tritonseg import ConfigurationError

CLASS_MAP = np.array([[0, 0, 0, 2], [0, 2, 2, 2]], np.uint8)
TRANSFORM = (0.5, 0.0, 500_000.0, 0.0, -0.5, 6_000_000.0)


def library(name: str):
    return pytest.importorskip(
        name, reason=f"needs {name}: make interop-check", exc_type=ImportError
    )


@pytest.fixture
def result():
    return make_segmentation(CLASS_MAP, COLORS)


@pytest.fixture
def unsure(result):
    return dataclasses.replace(result, confidence=np.full((2, 4), 102, np.uint8))


class TestSupervision:
    def test_masks_boxes_and_names(self, result):
        supervision = library("supervision")
        found = result.to_supervision()
        assert isinstance(found, supervision.Detections)
        assert found.class_id.tolist() == [0, 2]
        assert found["class_name"].tolist() == ["class 0", "class 2"]
        np.testing.assert_array_equal(found.mask, [CLASS_MAP == 0, CLASS_MAP == 2])
        np.testing.assert_array_equal(found.xyxy, [[0, 0, 3, 2], [1, 0, 4, 2]])
        assert found.area.tolist() == [4, 4]
        assert found.confidence is None

    def test_confidence_is_the_mean_of_a_class(self, unsure):
        library("supervision")
        np.testing.assert_allclose(unsure.to_supervision().confidence, [0.4, 0.4], rtol=1e-6)

    def test_it_can_be_drawn_and_filtered(self, result):
        supervision = library("supervision")
        found = result.to_supervision()
        drawn = supervision.MaskAnnotator(opacity=1.0).annotate(
            np.zeros((2, 4, 3), np.uint8), found[found.class_id == 2]
        )
        np.testing.assert_array_equal(drawn.any(axis=-1), CLASS_MAP == 2)


class TestFiftyOne:
    @pytest.mark.parametrize("first_value", [0, 1])
    def test_mask(self, result, first_value):
        fiftyone = library("fiftyone")
        label = result.to_fiftyone(first_value=first_value)
        assert isinstance(label, fiftyone.Segmentation)
        np.testing.assert_array_equal(label.mask, CLASS_MAP + first_value)
        assert label.mask.dtype == np.uint8
        again = fiftyone.Segmentation.from_dict(label.to_dict())
        np.testing.assert_array_equal(again.mask, label.mask)

    def test_the_256th_class_counted_from_1(self):
        library("fiftyone")
        many = make_segmentation([[0, 255]], [(0, 0, 0)] * 256)
        assert many.to_fiftyone(first_value=1).mask.tolist() == [[1, 256]]

    @pytest.mark.parametrize("first_value", [-1, 2, None, 1.0])
    def test_other_first_values(self, result, first_value):
        with pytest.raises(ConfigurationError, match="first_value"):
            result.to_fiftyone(first_value=first_value)


def test_the_pipeline_of_transformers_gives_the_same(result):
    library("transformers")
    torch = library("torch")
    from transformers import SegformerConfig, SegformerForSemanticSegmentation
    from transformers.pipelines.image_segmentation import ImageSegmentationPipeline

    class Processor:
        def post_process_semantic_segmentation(self, outputs, target_sizes):
            return [torch.from_numpy(CLASS_MAP.astype(np.int64))]

    config = SegformerConfig(
        id2label=dict(enumerate(result.classes)),
        hidden_sizes=[8] * 4,
        depths=[1] * 4,
        num_attention_heads=[1] * 4,
        decoder_hidden_size=8,
    )
    pipeline = ImageSegmentationPipeline.__new__(ImageSegmentationPipeline)
    pipeline.model = SegformerForSemanticSegmentation(config)
    pipeline.image_processor = Processor()
    theirs = pipeline.postprocess({"target_size": [(2, 4)]}, subtask="semantic")
    ours = result.to_hf()
    assert [sorted(one) for one in ours] == [sorted(one) for one in theirs]
    for mine, their in zip(ours, theirs, strict=True):
        assert (mine["label"], mine["score"]) == (their["label"], their["score"])
        assert (mine["mask"].mode, mine["mask"].size) == (their["mask"].mode, their["mask"].size)
        np.testing.assert_array_equal(np.asarray(mine["mask"]), np.asarray(their["mask"]))


class TestMaps:
    def test_gdal_polygonizes_to_the_same(self):
        features = library("rasterio.features")
        shapely = library("shapely")
        rng = np.random.default_rng(3)
        for _ in range(50):
            mask = rng.random((17, 23)) < rng.random()
            theirs = [
                shapely.geometry.shape(shape)
                for shape, value in features.shapes(mask.astype(np.uint8))
                if value
            ]
            ours = [
                shapely.Polygon(polygon.exterior, polygon.holes)
                for polygon in make_segmentation(mask, COLORS).polygons("class 1")
            ]
            assert sorted(map(shapely.normalize, ours), key=str) == sorted(
                map(shapely.normalize, theirs), key=str
            )

    def test_gdal_burns_the_class_map_back(self, result):
        features, affine = library("rasterio.features"), library("affine")
        document = result.to_geojson(TRANSFORM, crs="EPSG:32633")
        burnt = features.rasterize(
            [(one["geometry"], one["properties"]["index"]) for one in document["features"]],
            out_shape=CLASS_MAP.shape, transform=affine.Affine(*TRANSFORM), fill=255,
        )  # fmt: skip
        np.testing.assert_array_equal(burnt, CLASS_MAP)
        turned = affine.Affine(*TRANSFORM) @ affine.Affine.rotation(30.0)
        assert result.to_geojson(turned)["features"]
        with pytest.raises(ConfigurationError, match="from_gdal"):
            result.to_geojson(affine.Affine(*TRANSFORM).to_gdal())

    def test_gdal_reads_the_crs_and_the_classes(self, result, tmp_path):
        pyogrio = library("pyogrio")
        path = tmp_path / "classes.geojson"
        path.write_text(json.dumps(result.to_geojson(TRANSFORM, crs="EPSG:32633")))
        found = pyogrio.read_info(path)
        assert (found["crs"], found["features"]) == ("EPSG:32633", 2)
        assert found["geometry_type"] == "MultiPolygon"
        assert found["total_bounds"] == (500_000.0, 5_999_999.0, 500_002.0, 6_000_000.0)
        assert list(found["fields"]) == ["class", "index", "area_px"]
        path.write_text(json.dumps(result.to_geojson()))
        assert pyogrio.read_info(path)["crs"] == "EPSG:4326"


@pytest.mark.parametrize("module", ["supervision", "fiftyone"])
def test_without_the_library(module, result, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install {module}, .*\[{module}\]"):
        getattr(result, f"to_{module}")()


def test_hf_masks_survive_saving(result):
    buffer = io.BytesIO()
    result.to_hf()[1]["mask"].save(buffer, "PNG")
    with Image.open(buffer) as image:
        np.testing.assert_array_equal(np.asarray(image), np.where(CLASS_MAP == 2, 255, 0))
