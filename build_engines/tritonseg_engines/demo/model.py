"""The demo model that ships with the package: drawn streets, 19 Cityscapes classes.

It shows that the way works and nothing about how well a street can be segmented: the project
trained it on pictures that `tritonseg_engines.scenes` draws. `street-demo.json` has its figures.
"""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.spec_yaml import read_spec

DEMO_FOLDER = Path(__file__).parent
DEMO_ONNX = DEMO_FOLDER / "street-demo.onnx"
DEMO_SPEC = DEMO_FOLDER / "street-demo.yaml"
DEMO_FIGURES = DEMO_FOLDER / "street-demo.json"


def demo_spec() -> ModelSpec:
    """Return the specification of the demo model."""
    return read_spec(DEMO_SPEC)
