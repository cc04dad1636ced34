"""Damaged files: built with the mask that they still have, or refused in one line, no traceback.

`scripts/fuzz_damage.py` takes a thousand, each in a process that may die of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from damages import DAMAGES, damaged
from foreign_graphs import FOREIGN, fed_like
from fuzzed import FAILED, outcome_of_file
from random_exports import random_export
from tiny_models import TinyModel, tiny_spec
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import OnnxModelError

SEEDS = range(20_000, 20_004)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_ends_in_its_mask_or_in_one_line(damage: str) -> None:
    for seed in SEEDS:
        export = random_export(seed)
        content = damaged(export.model, damage, np.random.default_rng(seed))
        outcome = outcome_of_file(export, content)
        assert outcome.kind not in FAILED, (seed, outcome)


def test_a_constant_of_no_type_is_refused_by_its_node(tmp_path: Path) -> None:
    """onnx_ir looks at a type when it is asked for, ONNX's checker not in a Constant node."""
    model = TinyModel().model()
    value = onnx.TensorProto(name="value", data_type=77, dims=[1], raw_data=bytes(4))
    constant = onnx.NodeProto(name="odd", op_type="Constant", output=["odd"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(value)
    model.graph.node.insert(0, constant)
    (tmp_path / "export.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(OnnxModelError, match=r"node 'odd' \(Constant\): expected a tensor of a ty"):
        prepare_network(tiny_spec(), tmp_path / "export.onnx")


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_model_that_segments_nothing_is_refused(foreign: str) -> None:
    export = random_export(10_000)
    model = fed_like(FOREIGN[foreign](), export.model.graph.input[0])
    assert outcome_of_file(export, model.SerializeToString()).kind == "refused"
