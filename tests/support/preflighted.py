"""What NVIDIA's compiler says of a random export that the build takes for TensorRT."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from export_masks import CannotRunError
from fuzzed import BY_NVIDIA, WARNED, Outcome, calibration_pictures, refused
from random_exports import Export
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.errors import EngineBuildError, OnnxModelError
from tritonseg_engines.gate.layer_precision import shares_text
from tritonseg_engines.preflight import Preflight, PreflightError
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.spec_yaml import spec_from_document

NVIDIAS_REFUSAL = re.compile(r"for sm_\d+: ")
"""How `Preflight.raise_if_refused` begins."""


def preflight_outcome(export: Export, gpu: str, *, layout: str, precision: str) -> Outcome:
    """Build an export up to its ONNX, whatever the gate says of its masks, and ask about that."""
    if export.refusal is None:
        try:
            export.mask()
        except CannotRunError as error:
            return Outcome(kind="cannot be run", words=str(error))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.onnx"
        path.write_bytes(export.model.SerializeToString())
        pictures = calibration_pictures(path.parent, export) if precision == "int8" else None
        spec = spec_from_document(export.document)
        outcome = file_outcome(
            spec, path, gpu, layout=layout, precision=precision, pictures=pictures,
            must_be_refused=export.refusal is not None,
        )  # fmt: skip
    if export.refusal is not None and outcome.kind in ("right", WARNED, BY_NVIDIA):
        return Outcome(kind="wrong", words=f"was built, although it {export.refusal}")
    return outcome


def file_outcome(
    spec: ModelSpec,
    onnx_path: Path,
    gpu: str,
    *,
    layout: str,
    precision: str,
    pictures: Path | None = None,
    must_be_refused: bool = False,
) -> Outcome:
    """Build any file up to its ONNX, and ask NVIDIA's compiler about that."""
    options = BuildOptions(
        calibration=pictures, minimum_pictures=1, accept=True, onnx_only=True, preflight_gpus=(gpu,)
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = build_model(
                spec, onnx_path, Path(folder) / "repository", runtime="tensorrt", layout=layout,
                precision=precision, options=options,
            )  # fmt: skip
        except (OnnxModelError, PreflightError) as error:
            if isinstance(error, PreflightError) or NVIDIAS_REFUSAL.match(str(error)):
                return Outcome(kind=BY_NVIDIA, words=str(error))
            return refused(error, layout, must=must_be_refused)
        except EngineBuildError as error:
            return refused(error, layout, must=must_be_refused)
        except Exception as error:  # noqa: BLE001 - what is no error of the build is looked for
            return Outcome(kind="traceback", words=f"{type(error).__name__}: {error}")
    return _judged(report.compiler.found)


def _judged(found: Preflight | None) -> Outcome:
    if found is None:
        raise AssertionError("a build that names a GPU asks about it")
    (verdict,) = found.verdicts
    # A note with a known reason has that written behind the compiler's words.
    unexplained = [note for note in verdict.notes if note in verdict.answer.warnings]
    if unexplained:
        return Outcome(kind=WARNED, words="; ".join(unexplained))
    return Outcome(kind="right", words=shares_text(found.layers))
