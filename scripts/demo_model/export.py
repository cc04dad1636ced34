"""Turn the weights that `train.py` saved into the demo model that ships.

    PYTHONPATH=scripts python -m demo_model.export WEIGHTS.pth FIGURES.json

Writes `street-demo.onnx` and `street-demo.json` into the package. The weights are stored as
float16, which halves the file; the arithmetic stays float32.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from tritonseg_engines.checkpoints import load_checkpoint
from tritonseg_engines.graph.half_weights import store_weights_as_half
from tritonseg_engines.graph.onnx_file import load_onnx, save_onnx
from tritonseg_engines.graph.surgery import as_proto, editable
from tritonseg_engines.zoo.export import export_onnx
from tritonseg_engines.zoo.street_demo import DEMO_FIGURES, DEMO_ONNX, demo_spec

ARCHITECTURE = "hrnetv2-w18-small-v1-cityscapes"
MAX_BYTES = 4_000_000


def main() -> None:
    """Export, round the weights, and copy the figures beside the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("figures", type=Path)
    arguments = parser.parse_args()
    spec = demo_spec()
    network = load_checkpoint(ARCHITECTURE, arguments.weights, len(spec.classes))
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / DEMO_ONNX.name
        export_onnx(network, exported, size_hw=spec.input.size_hw)
        model = editable(load_onnx(exported))
    store_weights_as_half(model)
    save_onnx(as_proto(model), DEMO_ONNX)
    shutil.copyfile(arguments.figures, DEMO_FIGURES)
    size = DEMO_ONNX.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{DEMO_ONNX}: expected at most {MAX_BYTES} bytes, got {size}")
    print(f"wrote {DEMO_ONNX} ({size / 1e6:.2f} MB)")  # noqa: T201


if __name__ == "__main__":
    main()
