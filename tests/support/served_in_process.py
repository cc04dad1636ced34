"""What a repository would give if it were served: its configs and engines, without Triton.

Files are taken as they are, so that canaries can be shown what checksums would have refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from repository_mutations import LAYOUTS, engine_of
from tritonseg_engines.repository.files import read_config
from tritonseg_steps import contract
from tritonseg_steps.openvino_engine import OpenvinoEngine
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.upsampling import Upsampling, class_map_from_scores


class ServedInProcess:
    """One model of `LAYOUTS` with its steps."""

    def __init__(self, repository: Path, model: str, *, threads: int | None = None) -> None:
        self._fused = LAYOUTS[model] == "fused"
        steps = {"ensemble": ("_normalize", "_argmax")}.get(LAYOUTS[model], ("", ""))
        first, last = (repository / f"{model}{step}" for step in steps)
        self._normalizer = Normalizer(
            Preprocessing.from_json(_parameter(first, contract.PREPROCESSING_PARAMETER))
        )
        engine = repository / engine_of(repository, model)
        described = _parameter(engine.parents[1], contract.ENGINE_PARAMETER)
        self._engine = OpenvinoEngine(str(engine), described["precision"], threads=threads)
        if not self._fused:
            document = _parameter(last, contract.UPSAMPLING_PARAMETER)
            self._upsampling = Upsampling.from_json(document)

    def class_map(self, image_hwc: np.ndarray) -> np.ndarray:
        """Answer one picture."""
        if self._fused:
            return self._engine.infer(image_hwc[None])[0]
        (scores,) = self._engine.infer(self._normalizer.batch(image_hwc[None]))
        geometry = self._normalizer.geometry(image_hwc.shape[:2])
        return class_map_from_scores(scores, geometry, align_corners=self._upsampling.align_corners)


def _parameter(folder: Path, key: str) -> Any:
    return json.loads(read_config(folder / "config.pbtxt").parameters[key].string_value)
