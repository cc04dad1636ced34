"""Damaged files: built with the mask that they still have, or refused in one line, no traceback.

`scripts/fuzz_damage.py` takes a thousand, each in a process that may die of it.
"""

from __future__ import annotations

import numpy as np
import pytest

from damages import DAMAGES, damaged
from foreign_graphs import FOREIGN, fed_like
from fuzzed import FAILED, outcome_of_file
from random_exports import random_export

SEEDS = range(20_000, 20_004)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_ends_in_its_mask_or_in_one_line(damage: str) -> None:
    for seed in SEEDS:
        export = random_export(seed)
        content = damaged(export.model, damage, np.random.default_rng(seed))
        outcome = outcome_of_file(export, content)
        assert outcome.kind not in FAILED, (seed, outcome)


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_model_that_segments_nothing_is_refused(foreign: str) -> None:
    export = random_export(10_000)
    model = fed_like(FOREIGN[foreign](), export.model.graph.input[0])
    assert outcome_of_file(export, model.SerializeToString()).kind == "refused"
