"""Files with a few bytes changed, or cut short: built, or refused in one line, no traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from random_exports import random_export
from tritonseg_engines.build.model import build_model
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.spec_yaml import spec_from_document

EXPORTS = range(20_000, 20_010)
DAMAGES = range(10)


@pytest.mark.parametrize("seed", EXPORTS)
def test_a_damaged_file_ends_in_one_line(seed: int, tmp_path: Path) -> None:
    export = random_export(seed)
    spec = spec_from_document(export.document)
    whole = export.model.SerializeToString()
    path = tmp_path / "export.onnx"
    for damage in DAMAGES:
        path.write_bytes(damaged(whole, np.random.default_rng((seed, damage))))
        refusal = ""
        try:
            build_model(spec, path, tmp_path / "repository")
        except EngineBuildError as error:
            refusal = str(error)
        assert len(refusal.strip().splitlines()) <= 1, (seed, damage)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut short in one case of four, else with one to five bytes changed."""
    if rng.integers(4) == 0:
        return content[: rng.integers(len(content))]
    changed = bytearray(content)
    for position in rng.integers(len(changed), size=rng.integers(1, 6)):
        changed[position] = rng.integers(256)
    return bytes(changed)
