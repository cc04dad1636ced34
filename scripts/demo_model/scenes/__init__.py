"""Street scenes drawn by a program, with exact labels: no photographs, and any number of them.

They train the small model of the demo and stand in for a data set in tests and calibration.
"""

from __future__ import annotations

from demo_model.scenes._labels import IGNORE
from demo_model.scenes._scene import Scene, draw_scene
from tritonseg_engines.zoo.label_sets import CITYSCAPES_CLASSES as CLASSES

__all__ = ["CLASSES", "IGNORE", "Scene", "draw_scene"]
