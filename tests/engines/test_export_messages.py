"""What does not fit its specification is refused in one line, in the user's names and keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.prepare import prepare_network
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.graph.chance import RANDOM
from tritonseg_engines.spec import InputSpec, ModelSpec
from written_exports import FULL, SCORES, written_export, written_spec

INNER = re.compile(r"model\.onnx|NORMALIZED|SCORES|ONNXRuntimeError|onnxruntime|/tmp|'(s|full)'")
"""Of tritonseg, of runtimes, or tensors between input and output."""
ONE = "float[N, 1, 64, 96] output"
FIVE = "float[N, 5, 64, 96] output"
MASK_OF_BYTES = (
    FULL
    + """above = Greater (full, zero)
         bit = Cast <to=6> (above)
         scaled = Mul (bit, most)
         output = Cast <to={code}> (scaled)"""
)
OF_BYTES = {"zero": np.float32(0), "most": np.int32(255), "classes": 1}
QUERIES = (
    SCORES
    + """pooled = GlobalAveragePool (s)
         queries = Reshape (pooled, to_rows)
         class_queries = MatMul (queries, to_classes)
         masks = Resize <mode="linear"> (s, roi, four)"""
)
OF_QUERIES = {
    "to_rows": np.array([-1, 5, 1]),
    "to_classes": np.array([[1, -1, 0.5, 0]], np.float32),
}
TWO_OF_QUERIES = "float[N, 5, 4] class_queries, float[N, 5, 64, 96] masks"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, what is said of it, and the message."""

    says: str
    body: str = FULL + "output = Identity (full)"
    output: str = FIVE
    kind: str = "scores"
    spec: dict[str, Any] = field(default_factory=dict)
    file: dict[str, Any] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    output_keys: dict[str, Any] = field(default_factory=dict)


CASES = {
    "channels last": Case(
        body="nchw = Transpose <perm=[0, 3, 1, 2]> (image)\n"
        + FULL.replace("(image", "(nchw")
        + "output = Identity (full)",
        file={"picture": "float[1, 64, 96, 3] image"},
        says="input 'image' is (1, 64, 96, 3) in the file: write input.layout: NHWC",
    ),
    "channels first": Case(
        spec={"layout": "NHWC"},
        says="input 'image' is (?, 3, 64, 96) in the file: write input.layout: NCHW",
    ),
    "bytes": Case(
        body="x = Cast <to=1> (image)\n" + FULL.replace("(image", "(x") + "output = Relu (full)",
        file={"picture": "uint8[N, 3, 64, 96] image"},
        says="input 'image': expected float32, got uint8 in the file: write input.dtype: uint8 "
        "with mean: [0, 0, 0] and scale: [1, 1, 1]",
    ),
    "float64": Case(
        body="x = Cast <to=1> (image)\n" + FULL.replace("(image", "(x") + "output = Relu (full)",
        file={"picture": "double[N, 3, 64, 96] image"},
        says="input 'image': expected float32, got double in the file, which cannot be served; "
        "export it with float32, float16, uint8",
    ),
    "grey": Case(
        body="x = Concat <axis=1> (image, image, image)\n"
        + FULL.replace("(image", "(x")
        + "output = Relu (full)",
        file={"picture": "float[N, 1, 64, 96] image"},
        says="input 'image' is (?, 1, 64, 96) in the file, where axis 1 is 1; a picture has 3 "
        "channels, R, G, B: export a network that takes these",
    ),
    "no batch axis": Case(
        body="x = Unsqueeze (image, zero)\n" + FULL.replace("(image", "(x") + "output = Relu(full)",
        file={"picture": "float[3, 64, 96] image", "zero": np.array([0])},
        says="input 'image': expected 4 dimensions, (N, 3, h, w) or (N, h, w, 3), got (3, 64, 96) "
        "in the file; export it with its batch axis",
    ),
    "size": Case(
        input={"height": 128, "width": 96},
        says="input 'image' is 64x96 in the file, 128x96 in the specification: write "
        "input.height: 64 and input.width: 96, or neither",
    ),
    "input name": Case(
        input={"name": "pixels"},
        says="input 'pixels' is not in the file, whose input is 'image': write input.name: image",
    ),
    "output name": Case(
        body=FULL + "output = Relu (full)\n aux = Sigmoid (full)",
        output=FIVE + ", float[N, 5, 64, 96] aux",
        spec={"name": "logits"},
        says="output 'logits' is not in the file, which has 'output', 'aux': write the one that "
        "is meant as output.name",
    ),
    "fewer names": Case(
        spec={"classes": 4},
        says="output 'output' is (1, 5, 64, 96) of float32, 5 classes where the specification "
        "names 4: name all 5 under classes, in the network's order",
    ),
    "more names": Case(
        spec={"classes": 6},
        says="output 'output' is (1, 5, 64, 96) of float32, 5 classes where the specification "
        "names 6: name all 5 under classes, in the network's order",
    ),
    "columns taken for classes": Case(
        spec={"classes": 96},
        says="output 'output' is (1, 5, 64, 96) of float32, 5 classes where the specification "
        "names 96: name all 5 under classes, in the network's order",
    ),
    "layout of the output": Case(
        body=FULL + "output = Transpose <perm=[0, 2, 3, 1]> (full)",
        output="float[N, 64, 96, 5] output",
        output_keys={"layout": "NCHW"},
        says="output 'output' is (1, 64, 96, 5) of float32: write output.layout: NHWC",
    ),
    "rank": Case(
        body=SCORES + "p = GlobalAveragePool (s)\n output = Flatten (p)",
        output="float[N, 5] output",
        says="output 'output' is (1, 5) of float32, expected scores (N, 5, h, w); another output "
        "may be meant by output.name",
    ),
    "rows and columns in one axis": Case(
        body=FULL
        + """last = Transpose <perm=[0, 2, 3, 1]> (full)
             flat = Reshape (last, dims)
             output = Softmax <axis=-1> (flat)""",
        output="float[N, 6144, 5] output",
        file={"dims": np.array([0, -1, 5])},
        says="output 'output' is (1, 6144, 5) of float32, expected scores (N, 5, h, w); another "
        "output may be meant by output.name",
    ),
    "no tensor": Case(
        body=FULL + "output = SequenceConstruct (full, full)",
        output="seq(float) output",
        says="output 'output' is no tensor of numbers; another output may be meant by output.name",
    ),
    "indices said to be scores": Case(
        body=FULL + "best = ArgMax <axis=1> (full)\n output = Add (best, zero)",
        output="int64[N, 1, 64, 96] output",
        file={"zero": np.int64(0)},
        says="output 'output' is (1, 1, 64, 96) of int64 and looks like class indices, 0 to 4: "
        "write output.kind: class_map",
    ),
    "indices said to be binary": Case(
        body=FULL + "best = ArgMax <axis=1> (full)\n output = Add (best, zero)",
        output="int64[N, 1, 64, 96] output",
        kind="binary",
        file={"zero": np.int64(0), "classes": 2},
        says="output 'output': expected scores on both sides of the threshold 0, got 0 to 1 on all "
        "pictures, where every pixel is 'class_1'; 0 and 1 are class indices: write output.kind: "
        "class_map",
    ),
    "scores said to be indices": Case(
        kind="class_map",
        says="output 'output' is (1, 5, 64, 96) of float32, no class map: write output.kind: "
        "scores",
    ),
    "one score said to be indices": Case(
        body=FULL + "output = Sigmoid (full)",
        output=ONE,
        kind="class_map",
        spec={"classes": 2},
        file={"classes": 1},
        says="no class indices but one score a pixel: write output.kind: binary",
    ),
    "one score said to be scores": Case(
        output=ONE,
        spec={"classes": 2},
        file={"classes": 1},
        says="output 'output' is (1, 1, 64, 96) of float32, one score a pixel where the "
        "specification names 2 classes: write output.kind: binary, which has two",
    ),
    "two channels said to be binary": Case(
        output="float[N, 2, 64, 96] output",
        kind="binary",
        file={"classes": 2},
        says="output 'output' is (1, 2, 64, 96) of float32, 2 scores a pixel where kind binary has "
        "one, (N, 1, h, w): write output.kind: scores and name 2 classes",
    ),
    "classes of queries": Case(
        body=QUERIES,
        output=TWO_OF_QUERIES,
        spec={"name": "class_queries", "classes": 3},
        file=OF_QUERIES,
        says="output 'class_queries' is of a network of queries, 'class_queries' (N, Q, C+1) and "
        "'masks' (N, Q, h, w): export scores of classes as one output, torch.einsum("
        "'nqc,nqhw->nchw', class_queries.softmax(-1)[..., :-1], masks.sigmoid())",
    ),
    "masks of queries": Case(
        body=QUERIES,
        output=TWO_OF_QUERIES,
        spec={"name": "masks", "classes": 3},
        file=OF_QUERIES,
        says="output 'masks' is of a network of queries, 'class_queries' (N, Q, C+1) and",
    ),
    "several indices": Case(
        body=FULL + "best, output = TopK <axis=1> (full, three)",
        output="int64[N, 3, 64, 96] output",
        kind="class_map",
        file={"three": np.array([3])},
        says="output 'output' is (1, 3, 64, 96) of int64, several indices a pixel, as a TopK gives "
        "or an ArgMax over another axis than the classes': export the best class alone, or the "
        "scores",
    ),
    "indices that nobody named": Case(
        body=FULL + "output = ArgMax <axis=1> (full)",
        output="int64[N, 1, 64, 96] output",
        kind="class_map",
        spec={"classes": 4},
        says="output 'output' has class indices 0 to 4, expected 0 to 3: name all 5 classes under "
        "classes, in the network's order",
    ),
    "indices from 1": Case(
        body=FULL + "best = ArgMax <axis=1> (full)\n output = Add (best, one)",
        output="int64[N, 1, 64, 96] output",
        kind="class_map",
        file={"one": np.int64(1)},
        says="output 'output' has class indices 1 to 5, expected 0 to 4: if they begin at 1, name "
        "a class for 0 as the first of classes",
    ),
    "indices from -1": Case(
        body=FULL + "best = ArgMax <axis=1> (full)\n output = Sub (best, one)",
        output="int64[N, 1, 64, 96] output",
        kind="class_map",
        file={"one": np.int64(1)},
        says="output 'output' has class indices -1 to 3, expected 0 to 4: indices begin at 0; add "
        "1 in the export",
    ),
    "mask of bytes": Case(
        body=MASK_OF_BYTES.format(code=2),
        output="uint8[N, 1, 64, 96] output",
        kind="class_map",
        spec={"classes": 2},
        file=OF_BYTES,
        says="output 'output' has the values 0 and 255, a mask: divide by 255 in the export, or "
        "write output.kind: binary with output.threshold: 127.5",
    ),
    "mask of bytes as binary": Case(
        body=MASK_OF_BYTES.format(code=1),
        output=ONE,
        kind="binary",
        file=OF_BYTES,
        says="output 'output': scores lie between 0 and 255, neither a probability nor even around "
        "0, so that their threshold cannot be told; give output.threshold, which is 127.5 for a "
        "probability on that scale",
    ),
    "argmax over rows": Case(
        body=FULL + "output = ArgMax <axis=2, keepdims=0> (full)",
        output="int64[N, 5, 96] output",
        kind="class_map",
        says="output 'output' is (1, 5, 96) for a picture of 64x96: its ArgMax is not over the "
        "classes; give it their axis, which is 1 of (N, C, h, w) and 3 of (N, h, w, C)",
    ),
    "argmax over columns": Case(
        body=FULL + "output = ArgMax <axis=3, keepdims=1> (full)",
        output="int64[N, 5, 64, 1] output",
        kind="class_map",
        says="output 'output' is (1, 5, 64, 1) for a picture of 64x96: its ArgMax is not over the",
    ),
    "an operator that OpenVINO does not have": Case(
        body=SCORES
        + """output = Resize <mode="linear",
                 coordinate_transformation_mode="half_pixel_symmetric"> (s, roi, nearly_four)""",
        output="float[N, 5, h, w] output",
        file={
            "opset": 19,
            "ir_version": 9,
            "nearly_four": np.array([1, 1, 3.9, 3.9], np.float32),
        },
        says="OpenVINO cannot load the network: Resize: half_pixel_symmetric - this type of",
    ),
}


def spec_of(case: Case) -> ModelSpec:
    spec = written_spec(case.kind, **case.spec)
    spec = replace(spec, output=replace(spec.output, **case.output_keys))
    return replace(
        spec, input=InputSpec(**{"name": "image", "layout": spec.input.layout, **case.input})
    )


@pytest.mark.parametrize("name", CASES)
def test_one_line_says_what_to_write(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = written_export(case.body, case.output, **case.file)
    onnx.save(model, tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError) as raised:
        build_model(spec_of(case), tmp_path / "export.onnx", tmp_path / "repository")
    message = str(raised.value)
    assert case.says in message
    assert "\n" not in message
    assert not INNER.search(message)
    assert [path.name for path in tmp_path.iterdir()] == ["export.onnx"]


SUBGRAPHS = {
    "branch": """least = ReduceMin <keepdims=0> (image)
        dark = Less (least, far)
        output = If (dark) <
            then_branch = then_graph () => (float[N, 5, 64, 96] a) { NODES },
            else_branch = else_graph () => (float[N, 5, 64, 96] b) { b = Relu (full) }>""",
    "loop": """output = Loop (twice, yes, full) <
        body = body_graph (int64 turn, bool on, float[N, 5, 64, 96] x)
            => (bool onward, float[N, 5, 64, 96] a) { onward = Identity (on) NODES }>""",
}
CHANCE = {
    "random": ("chance = RandomNormalLike (full) a = Add (full, chance)", r"\(RandomNormalLike\)"),
    "training": (
        "a, b1, c1 = BatchNormalization <training_mode=1> (full, ones, nils, nils, ones)",
        r"\(BatchNormalization\) is in training mode",
    ),
}


@pytest.mark.parametrize("where", SUBGRAPHS)
@pytest.mark.parametrize("what", CHANCE)
def test_chance_is_found_in_branches_and_loops(what: str, where: str, tmp_path: Path) -> None:
    nodes, message = CHANCE[what]
    assert "RandomNormalLike" in RANDOM
    constants = {
        "far": np.float32(-1e9),
        "twice": np.int64(2),
        "yes": np.array(True),
        "ones": np.ones(5, np.float32),
        "nils": np.zeros(5, np.float32),
    }
    body = FULL + SUBGRAPHS[where].replace("NODES", nodes)
    onnx.save(written_export(body, FIVE, **constants), tmp_path / "export.onnx")
    with pytest.raises(OnnxModelError, match=message):
        prepare_network(written_spec(), tmp_path / "export.onnx")
