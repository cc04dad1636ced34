"""How much shared memory models need: sums made by hand, from configs as they are committed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.shared_memory import shared_memory_mib

COMMITTED = Path(__file__).parents[2] / "model_repository"
MODEL = "hrnetv2-w18-small-v1-cityscapes"
"""Pictures of 1024x2048, 19 classes at a quarter; batches of 4, four processes a step; a plan."""
PIXELS = 1024 * 2048
FIXED = 8 + 32 + 8 * 19
"""IMAGE_SIZE, MODEL_DIGEST and CLASS_PIXELS."""
OVERHEAD = 4 * 2**20


def by_hand(picture_pixels: int, batch: int) -> int:
    network_input, scores = 4 * 3 * PIXELS, 4 * 19 * PIXELS // 16
    normalize = 3 * picture_pixels + network_input + 8
    argmax = scores + 2 * picture_pixels + FIXED  # CLASS_MAP and CONFIDENCE
    total = 4 * (OVERHEAD + batch * normalize) + 4 * (OVERHEAD + batch * argmax)
    return math.ceil(total / 2**20)


def test_processes_batches_and_tensors_are_counted_and_a_plan_is_not() -> None:
    assert shared_memory_mib(COMMITTED, [MODEL]) == by_hand(PIXELS, 4)
    assert shared_memory_mib(COMMITTED, [MODEL], largest_batch=1) == by_hand(PIXELS, 1)


def test_a_larger_picture_needs_more() -> None:
    assert shared_memory_mib(COMMITTED, [MODEL], picture_hw=(2160, 3840)) == by_hand(2160 * 3840, 4)


def test_the_command_prints_what_docker_takes() -> None:
    outcome = CliRunner().invoke(cli, ["shm-size", "--repository", str(COMMITTED), MODEL])
    assert (outcome.exit_code, outcome.output) == (0, f"{by_hand(PIXELS, 4)}m\n")


def test_all_models_are_the_sum_of_each() -> None:
    names = sorted({path.parent.parent.name for path in COMMITTED.glob("*/1/manifest.json")})
    each = [shared_memory_mib(COMMITTED, [name]) for name in names]
    assert len(each) == 6
    assert sum(each) - len(each) <= shared_memory_mib(COMMITTED) <= sum(each)


def test_what_tritonseg_did_not_build_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    config = (
        'name: "foreign"\nbackend: "python"\ninput { name: "X" data_type: TYPE_FP32 dims: -1 }\n'
    )
    (tmp_path / "foreign" / "config.pbtxt").write_text(config)
    assert shared_memory_mib(tmp_path) == 0


def test_an_empty_folder_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="holds no model"):
        shared_memory_mib(tmp_path)
