"""int8 by NVIDIA ModelOpt, in an environment of its own.

Which layers become int8 and with which scales is ModelOpt's; what stays in fp32 and the typing to
fp16 is this package's, so that the result goes through the same lint and the same gate.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir

from tritonseg_engines.errors import CalibrationError, EngineBuildError
from tritonseg_engines.graph.nodes import name_nodes
from tritonseg_engines.graph.onnx_file import load_onnx, save_onnx
from tritonseg_engines.graph.surgery import as_proto, editable, maker
from tritonseg_engines.precision.activations import Batches, activation_ranges, float_tensors
from tritonseg_engines.precision.conversion import Converted
from tritonseg_engines.precision.half import half_precision
from tritonseg_engines.precision.quantize import quantizable_layers
from tritonseg_engines.precision.sensitive import named_nodes, sensitive_nodes

METHODS: Final = {"entropy": "entropy", "minmax": "max"}
"""Our names of calibrators, and ModelOpt's."""
LEFT: Final = "ModelOpt left it in high precision"
TIMEOUT_S: Final = 4 * 3600.0
_PROGRAM: Final = Path(__file__).with_name("_modelopt_program.py")
_WEIGHTS: Final = 1


class ModelOptError(EngineBuildError):
    """ModelOpt could not be started, or did not quantize the network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptOptions:
    """How ModelOpt is run.

    Attributes:
        python: Interpreter of the environment that has it.
        calibrator: A key of `METHODS`.
        keep_fp32: Patterns of the names of nodes to leave in fp32.
        half_rest: Whether what is not int8 becomes fp16 (for TensorRT) or stays fp32.
    """

    python: Path
    calibrator: str
    keep_fp32: Sequence[str] = ()
    half_rest: bool

    def __post_init__(self) -> None:
        if self.calibrator not in METHODS:
            raise CalibrationError(
                f"calibrator: ModelOpt calibrates with {' or '.join(METHODS)}, got "
                f"{self.calibrator!r}; give --calibrator entropy"
            )


def convert_with_modelopt(
    network: onnx.ModelProto, batches: Batches, options: ModelOptOptions
) -> Converted:
    """Return the network in int8 as ModelOpt quantizes it.

    All calibration pictures are in memory at once, here and in ModelOpt: 25 MB for one of
    1024x2048.

    Args:
        network: In fp32; every node has a name of its own.
        batches: Calibration pictures.
        options: How.

    Raises:
        CalibrationError: There are no pictures; ModelOpt would take random numbers.
        SpecificationError: A pattern matches no node.
        ModelOptError: It is not there, failed, or quantized nothing.
    """
    named = named_nodes(network, options.keep_fp32)
    kept = named
    if options.half_rest:
        ranges = activation_ranges(network, float_tensors(network), batches)
        kept = {**sensitive_nodes(network, ranges), **named}
    model = _quantized(network, batches, options, kept)
    layers = quantizable_layers(network)
    quantized = _with_int8_weights(editable(model).graph, layers)
    if not quantized:
        raise ModelOptError(
            "ModelOpt quantized none of the network's layers; it leaves convolutions of few "
            "channels as they are, for which --quantizer tritonseg is to be used"
        )
    left = {name: LEFT for name in layers if name not in quantized}
    if options.half_rest:
        model = half_precision(model, kept)
    return Converted(model=model, kept_float={**left, **kept}, quantized=tuple(quantized))


def _quantized(
    network: onnx.ModelProto, batches: Batches, options: ModelOptOptions, kept: Collection[str]
) -> onnx.ModelProto:
    pictures = list(batches())
    if not pictures:
        raise CalibrationError("expected pictures to calibrate with, got none")
    with tempfile.TemporaryDirectory() as workspace:
        folder = Path(workspace)
        save_onnx(network, folder / "network.onnx")
        calibration = {network.graph.input[0].name: np.concatenate(pictures)}
        np.savez(folder / "calibration.npz", **calibration)  # type: ignore[arg-type, unused-ignore]
        document = {
            "onnx_path": str(folder / "network.onnx"),
            "output_path": str(folder / "quantized.onnx"),
            "calibration_file": str(folder / "calibration.npz"),
            "quantize_mode": "int8",
            "calibration_method": METHODS[options.calibrator],
            # Patterns there, which are only bound to the beginning of a name.
            "nodes_to_exclude": [f"{re.escape(name)}$" for name in kept],
            "high_precision_dtype": "fp32",
            "dq_only": not options.half_rest,
            "log_level": "ERROR",
        }
        _run(options.python, document)
        return _read(folder / "quantized.onnx")


def _run(python: Path, document: dict[str, Any]) -> None:
    command = [str(python), "-I", str(_PROGRAM), json.dumps(document)]
    try:
        done = subprocess.run(  # noqa: S603 - the user's interpreter and our own program
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except OSError as error:
        raise ModelOptError(f"{python}: expected a Python with nvidia-modelopt: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ModelOptError(f"ModelOpt did not end within {TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ModelOptError(
            f"ModelOpt failed in {python}: {lines[-1]}. What its environment needs stands in "
            "docs/precision.md"
        )


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ModelOptError("ModelOpt ended without an error and wrote no network")
    model = editable(load_onnx(path))
    name_nodes(model.graph)
    return as_proto(model)


def _with_int8_weights(graph: ir.Graph, layers: Collection[str]) -> list[str]:
    """Return those of the layers whose weights are dequantized."""
    return [
        node.name or ""
        for node in graph
        if node.name in layers and maker(node.inputs[_WEIGHTS], "DequantizeLinear") is not None
    ]
