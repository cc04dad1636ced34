"""Specifications that cannot mean what they say are refused; what trainers do can be said."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tiny_models import SIZE_HW, TinyModel
from tritonseg_engines.build.declared_size import declared_hw
from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.spec_yaml import read_spec
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import FitPad, KeepRatio, Native, Stretch

MINIMAL = {
    "name": "mine",
    "input": {"name": "image"},
    "mean": [123.675, 116.28, 103.53],
    "scale": [58.395, 57.12, 57.375],
    "output": {"name": "logits"},
    "classes": ["road", "sky"],
}


def read(folder: Path, **changes: object) -> ModelSpec:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **changes}))
    return read_spec(path)


NOT_MEANT: dict[str, tuple[dict[str, object], str]] = {
    "mean and scale of 0-1": (
        {"mean": [0.485, 0.456, 0.406], "scale": [0.229, 0.224, 0.225]},
        r"mean: expected units of 0-255, got \[0.485, 0.456, 0.406\], which are of 0-1: write unit",
    ),
    "scale alone": ({"mean": 0, "scale": 1 / 255}, r"scale: expected units of 0-255, got \[0.0039"),
    "mean of halves": ({"mean": 0.5, "scale": 127.5}, r"mean: expected units of 0-255"),
    "another unit": ({"unit": "percent"}, r"unit: expected one of \['0-255', '0-1'\]"),
    "mean beyond what a byte holds": ({"mean": 1e300}, "mean: expected numbers of -255 to 255"),
    "mean of 0-255 said to be 0-1": ({"unit": "0-1"}, "mean: expected numbers of -255 to 255"),
    "scale that leaves nothing": ({"scale": 1e9}, "scale: expected numbers up to 65535"),
    "scale of 0-255 said to be 0-1": (
        {"mean": 0, "scale": 255, "unit": "0-1"},
        r"scale: expected numbers up to 16 in units of 0-1, got \[255, 255, 255\]; scale: 1 div",
    ),
    "padding of 0-255 beside units of 0-1": (
        {"mean": 0, "scale": 1, "unit": "0-1", "padding": 114},
        r"padding: expected levels of 0-1, the unit of mean and scale, got \[114, 114, 114\]",
    ),
    "padding of 0-1": ({"padding": 0.5}, "padding: expected levels of 0-255"),
    "padding beyond what a byte holds": ({"padding": 300}, "padding: expected levels of 0-255"),
    "padding below black": ({"padding": -5}, "padding: expected levels of 0-255"),
    "palette of 0-1": (
        {"palette": [[0, 0, 0], [0.5, 0.25, 0]]},
        r"palette: expected whole numbers of 0-255, got \[0.5, 0.25, 0\]; multiply them by 255",
    ),
    "palette of 0 and 1": ({"palette": [[0, 0, 0], [1, 0, 0]]}, "got none above 1, which are all"),
    "palette that would be cut": ({"palette": [[0, 0, 0], [12.5, 0, 0]]}, "whole numbers of 0-255"),
    "names that YAML reads as true": (
        {"classes": [True, False]}, "name of class 0, got what YAML reads as True: put it in quotes"
    ),
    "names that are numbers": ({"classes": ["road", 7]}, "name of class 1, got what YAML reads as"),
    "a name of nothing": ({"classes": ["road", ""]}, "the name of class 1, got ''"),
    "a name of two lines": ({"classes": ["road", "a\nb"]}, "expected text as the name of class 1"),
    "classes with a hole": (
        {"classes": {0: "road", 2: "sky"}},
        "expected a name for every index of 0 to 1, got none for 1, and keys 0, 2",
    ),
    "an ignored label that no PNG has": ({"ignore_index": 1000}, "integer of 0 to 255, got 1000"),
    "a tensor named by a number": ({"input": {"name": 0}}, "input.name: expected text, .* quotes"),
    "a filter where nothing is resized": (
        {"resize": {"policy": "native", "antialias": True}}, "native resizes nothing"
    ),
    "floats where nothing is resized": (
        {"resize": {"policy": "native", "after_normalization": False}},
        "resize.after_normalization: expected no such key, native resizes nothing",
    ),
    "floats by a word": (
        {"resize": {"policy": "keep_ratio", "long_side": 9, "after_normalization": "yes"}},
        "resize.after_normalization: expected true or false, got 'yes'",
    ),
    "floats for a network of bytes": (
        {"input": {"name": "image", "dtype": "uint8"}, "mean": 0, "scale": 1, "unit": "0-255",
         "resize": {"policy": "keep_ratio", "long_side": 9, "after_normalization": True}},
        "resize.after_normalization: expected an input of floats, .* got uint8; leave it out",
    ),
    "a crop around which there is no class": (
        {"resize": {"policy": "center_crop", "height": 9, "width": 9, "outside": 2}},
        "resize.outside: expected the index of one of 2 classes, got 2",
    ),
    "an antialiased mean": (
        {"resize": {"policy": "keep_ratio", "long_side": 9, "interpolation": "area",
                    "antialias": True}},
        "resize.antialias: expected interpolation: bilinear or bicubic, got 'area'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), NOT_MEANT.values(), ids=NOT_MEANT)
def test_what_cannot_be_meant_is_refused(
    changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecificationError, match=words) as caught:
        read(tmp_path, **changes)
    assert len(str(caught.value).splitlines()) == 1


def test_units_of_0_to_1_can_be_said(tmp_path: Path) -> None:
    mean, scale = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    spec = read(tmp_path, mean=mean, scale=scale, unit="0-1")
    assert spec.preprocessing.mean == pytest.approx([123.675, 116.28, 103.53])
    assert spec.preprocessing.scale == pytest.approx([58.395, 57.12, 57.375])
    tiny = read(tmp_path, mean=0.5, scale=0.5, unit="0-255")
    assert tiny.preprocessing.mean == tiny.preprocessing.scale == (0.5, 0.5, 0.5)


def test_one_number_stands_for_three(tmp_path: Path) -> None:
    preprocessing = read(tmp_path, mean=127.5, scale=255, padding=114).preprocessing
    assert preprocessing.mean == (127.5,) * 3
    assert preprocessing.scale == (255.0,) * 3
    assert preprocessing.padding == (114.0,) * 3


@pytest.mark.parametrize("names", [{0: "road", 1: "sky"}, {"1": "sky", "0": "road"}])
def test_classes_may_be_named_by_index(names: object, tmp_path: Path) -> None:
    assert read(tmp_path, classes=names).classes == ("road", "sky")


def test_a_trainers_resize_can_be_said(tmp_path: Path) -> None:
    segformer = {"policy": "stretch", "height": 512, "width": 512, "antialias": True}
    preprocessing = read(tmp_path, resize=segformer).preprocessing
    assert preprocessing.resize == Stretch(height=512, width=512)
    assert preprocessing.resampling == Resampling(antialias=True)
    deeplab = {
        "policy": "keep_ratio", "short_side": 520, "rounding": "truncate", "antialias": True,
    }  # fmt: skip
    preprocessing = read(tmp_path, resize=deeplab).preprocessing
    assert preprocessing.resize == KeepRatio(short_side=520, rounding="truncate")
    lightning = {"policy": "stretch", "height": 512, "width": 512, "after_normalization": True}
    preprocessing = read(tmp_path, resize=lightning).preprocessing
    assert preprocessing.resampling == Resampling(after_normalization=True)
    letterbox = {"policy": "fit_pad", "height": 640, "width": 640, "rounding": "round"}
    preprocessing = read(tmp_path, resize={**letterbox, "align": "center"}).preprocessing
    assert preprocessing.resize == FitPad(height=640, width=640, rounding="round", align="center")
    assert read(tmp_path).preprocessing.resize == Native()


def test_a_size_is_taken_from_wherever_it_stands(tmp_path: Path) -> None:
    sized = {"name": "image", "height": 64, "width": 96}
    expected = Stretch(height=64, width=96)
    assert (
        read(tmp_path, input=sized, resize={"policy": "stretch"}).preprocessing.resize == expected
    )
    spec = read(tmp_path, resize={"policy": "stretch", "height": 64, "width": 96})
    assert (spec.preprocessing.resize, spec.input.size_hw) == (expected, (64, 96))
    with pytest.raises(SpecificationError, match="which neither the specification nor the export"):
        read(tmp_path, resize={"policy": "stretch"})
    for layout in ("NCHW", "NHWC"):
        save_onnx(TinyModel(layout=layout).model(), tmp_path / "export.onnx")
        path = tmp_path / "mine.yaml"
        document = {**MINIMAL, "input": {"name": "image", "layout": layout}}
        path.write_text(yaml.safe_dump({**document, "resize": {"policy": "stretch"}}))
        spec = read_spec(path, lambda axes: declared_hw(tmp_path / "export.onnx", axes))
        assert spec.preprocessing.resize == Stretch(height=SIZE_HW[0], width=SIZE_HW[1])


def test_padding_is_in_the_unit_of_mean_and_scale(tmp_path: Path) -> None:
    spec = read(tmp_path, mean=0.5, scale=0.25, padding=0.5, unit="0-1")
    assert spec.preprocessing.padding == (127.5,) * 3
    assert spec.preprocessing.padding_values().tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("{0: road, 1: wall, +1: sky}", "every key of a mapping once, got '[+]1' twice"),
        ("{0: road, 0.0: wall, 1: sky}", "every key of a mapping once, got '0.0' twice"),
        ("{0: road, no: wall, 1: sky}", "every key of a mapping once, got 'no' twice"),
        ("{no: road, yes: wall}", "classes: expected indices as keys, got False"),
        ("{0.0: road, 1.0: wall}", "classes: expected indices as keys, got 0.0"),
        ("{0: road, '0': wall}", "classes: expected every index once, got 0, '0'"),
    ],
)
def test_no_name_takes_anothers_place(classes: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    whole = {key: value for key, value in MINIMAL.items() if key != "classes"}
    path.write_text(f"{yaml.safe_dump(whole)}classes: {classes}\n")
    with pytest.raises(SpecificationError, match=words):
        read_spec(path)
