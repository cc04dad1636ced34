"""Quantize one ONNX file with NVIDIA ModelOpt: a program for an interpreter that has it.

Started by `modelopt.convert_with_modelopt` as a file, isolated (`python -I`), with a JSON document
as its only argument. ModelOpt pins other versions of onnx and onnxruntime than this project and
needs torch; and it leaves patches behind that break a second call in the same process. Imports
nothing of the project.
"""

from __future__ import annotations

import json
import sys

import numpy as np


def main(argument: str) -> None:
    """Quantize; the document has the keywords of ModelOpt's call, and files for its data."""
    from modelopt.onnx.quantization import quantize  # type: ignore[import-not-found, unused-ignore]

    document = json.loads(argument)
    with np.load(document.pop("calibration_file")) as arrays:
        calibration = {name: arrays[name] for name in arrays.files}
    # Its own default falls back from one provider to the next without a word.
    quantize(**document, calibration_data=calibration, calibration_eps=["cpu"])


if __name__ == "__main__":
    main(sys.argv[1])
