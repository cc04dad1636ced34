"""The proof looks for pictures on which a network shows two classes, and says if none do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tiny_models import ARGMAX, RESIZE, SIZE_HW, Operator, TinyModel, tiny_spec
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.running.pictures import Picture
from tritonseg_steps.resize_policy import Stretch

BRIGHT = np.full((*SIZE_HW, 3), 255, np.uint8)
BRIGHT[:, : SIZE_HW[1] // 2] = 0


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Prepared]:
    def prepare(offset: float, tail: list[Operator], pictures: list[Picture]) -> Prepared:
        """A network whose first class wins by `offset`, until a picture is bright enough."""
        model = TinyModel().model()
        model.graph.node[-1].output[0] = "raw"
        first = np.zeros((1, 5, 1, 1), np.float32)
        first[0, 0] = offset
        model.graph.initializer.append(numpy_helper.from_array(first, "first"))
        last = "output" if not tail else "summed"
        model.graph.node.append(helper.make_node("Add", ["raw", "first"], [last]))
        for index, (op_type, attributes) in enumerate(tail):
            target = "output" if index == len(tail) - 1 else f"tail{index}"
            extra = ["", "up"] if op_type == "Resize" else []
            model.graph.node.append(
                helper.make_node(op_type, [last, *extra], [target], **attributes)
            )
            last = target
        del model.graph.value_info[:], model.graph.output[:]
        model.graph.output.append(onnx.ValueInfoProto(name="output"))
        onnx.save(onnx.shape_inference.infer_shapes(model), tmp_path / "export.onnx")
        return prepare_network(tiny_spec(), tmp_path / "export.onnx", pictures)

    return prepare


def names(prepared: Prepared) -> list[str]:
    return [sample.question.name.removesuffix(" of 64x96") for sample in prepared.samples]


def test_usual_pictures_do_for_a_usual_network(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare(0, [RESIZE, ARGMAX], [])
    assert prepared.proof.classes == 5
    assert names(prepared) == ["noise 0", "noise 1", "contrasts", "black", "white", "one colour"]


def test_more_pictures_are_drawn_until_two_classes_show(prepare: Callable[..., Prepared]) -> None:
    prepared = prepare(19, [RESIZE, ARGMAX], [])
    assert prepared.proof.classes > 1
    assert len(prepared.samples) > 5
    assert len(set(names(prepared))) == len(prepared.samples)


def test_nothing_is_cut_where_one_class_shows(prepare: Callable[..., Prepared]) -> None:
    """Whatever a wrong cut did to the scores, the mask would be the same."""
    prepared = prepare(1e3, [RESIZE, ARGMAX], [])
    assert prepared.proof.classes == 1
    assert prepared.tail.operators == ()
    assert prepared.kept is not None
    assert "no cut can be proven; give pictures of your own with --pictures" in prepared.kept


def test_the_user_s_own_pictures_are_in_the_proof(prepare: Callable[..., Prepared]) -> None:
    own = Picture(name="street.png", image_hwc=BRIGHT)
    prepared = prepare(0, [RESIZE, ARGMAX], [own])
    assert names(prepared) == [
        "street.png",
        "noise 0",
        "noise 1",
        "contrasts",
        "black",
        "white",
        "one colour",
    ]


def test_a_picture_of_another_size_goes_to_the_serving_runtime_too(tmp_path: Path) -> None:
    """Where a runtime differs in scores but not at the network's own pixels, only that shows it."""
    onnx.save(TinyModel(tail=[RESIZE]).model(), tmp_path / "export.onnx")
    spec = tiny_spec()
    stretch = Stretch(height=SIZE_HW[0], width=SIZE_HW[1])
    spec = replace(spec, preprocessing=replace(spec.preprocessing, resize=stretch))
    prepared = prepare_network(spec, tmp_path / "export.onnx")
    other = prepared.samples[-1]
    assert other.question.geometry.image_hw != SIZE_HW == other.question.geometry.network_hw
    assert other.mask is not None
    assert other.mask.classes_hw.shape == other.question.geometry.image_hw
