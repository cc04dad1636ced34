"""What the build makes of a random export: right, wrong, refused, or a traceback."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

from random_exports import Export
from served_map import build_and_segment
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.spec_yaml import spec_from_document

EQUAL = {"class_map": 0.995}
"""Of a class map that is cut, near ties cannot be told apart."""
EQUAL_STABLE = 0.999


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one export ended: "right", "wrong", "refused" or "traceback", with words."""

    kind: str
    words: str


def outcome_of(export: Export, *, layout: str = "single", precision: str = "fp32") -> Outcome:
    """Build an export in process, and hold the mask of its picture against its own."""
    expected_hw, stable_hw = export.mask()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "export.onnx"
            onnx.save(export.model, path)
            spec = spec_from_document(export.document)
            _, actual_hw = build_and_segment(
                spec, path, export.image_hwc, path.parent, layout=layout, precision=precision
            )
    except EngineBuildError as error:
        lines = len(str(error).strip().splitlines())
        return Outcome(kind="refused" if lines == 1 else "traceback", words=str(error))
    except Exception as error:  # noqa: BLE001 - what is no error of the build is looked for
        return Outcome(kind="traceback", words=f"{type(error).__name__}: {error}")
    equal_hw = actual_hw == expected_hw
    share = float(equal_hw[stable_hw].mean()) if stable_hw.any() else 1.0
    least = EQUAL.get(export.document["output"]["kind"], EQUAL_STABLE)
    return Outcome(kind="right" if share >= least else "wrong", words=f"{share:.4%} of the pixels")
