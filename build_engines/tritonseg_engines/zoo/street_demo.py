"""The demo model that ships with the package: drawn streets, 19 Cityscapes classes.

It shows that the way works and nothing about how well a street can be segmented: the project
trained it on pictures that `scripts/demo_model` draws. `street-demo.json` has its figures.
"""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.spec_yaml import read_spec

DEMO_NAME = "street-demo"
DEMO_FOLDER = Path(__file__).with_name(DEMO_NAME)
DEMO_ONNX = DEMO_FOLDER / "street-demo.onnx"
DEMO_SPEC = DEMO_FOLDER / "street-demo.yaml"
DEMO_FIGURES = DEMO_FOLDER / "street-demo.json"
STREET = DEMO_FOLDER / "street.jpg"
"""What the demo segments; of no seed below."""
JUDGED = DEMO_FOLDER / "judged"
JUDGED_LABELS = DEMO_FOLDER / "judged_labels"
"""Streets on which a build is judged, with their labels: drawn with seeds that no training uses."""
CALIBRATION = DEMO_FOLDER / "calibration"
"""Other streets, from which int8 learns its scales."""


def demo_spec() -> ModelSpec:
    """Return the specification of the demo model."""
    return read_spec(DEMO_SPEC)


def is_demo(onnx_path: Path) -> bool:
    """Return whether a file is the demo model's export, by its content."""
    if not onnx_path.is_file() or onnx_path.stat().st_size != DEMO_ONNX.stat().st_size:
        return False
    return sha256_of(onnx_path) == sha256_of(DEMO_ONNX)
