"""A sample of `make verify-mutations`: changed and forged repositories, without a server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forged_repositories import FORGERIES, copied, forge
from repository_mutations import LAYOUTS, MUTATIONS, mutate
from served_in_process import ServedInProcess
from told_verdicts import fault_in_words, verdict_lines
from tritonseg_engines.verification.asking import canaries_of
from tritonseg_engines.verification.files import check_files

SEEDS = 5


@pytest.mark.parametrize("kind", MUTATIONS)
def test_no_change_passes(good: Path, spare: Path, tmp_path: Path, kind: str) -> None:
    for seed in range(SEEDS):
        work = copied(good, tmp_path / "r")
        mutation = mutate(work, kind, np.random.default_rng(seed), spare)
        fault = fault_in_words(verdict_lines(work, exact=True), mutation.files)
        assert fault is None, (seed, mutation.files)


@pytest.mark.parametrize("model", LAYOUTS)
def test_what_was_built_passes(good: Path, model: str) -> None:
    (checked,) = check_files(good, [model], exact=True)
    assert checked.problem is None
    assert not checked.remarks
    for threads in (1, 2):
        served = ServedInProcess(good, model, threads=threads)
        for canary in canaries_of(checked.receipt):
            assert canary.difference(served.class_map(canary.picture())) is None


@pytest.mark.parametrize("model", LAYOUTS)
@pytest.mark.parametrize("kind", FORGERIES)
def test_canaries_see_what_checksums_do_not(
    good: Path, tmp_path: Path, kind: str, model: str
) -> None:
    work = copied(good, tmp_path / "r")
    forge(work, model, kind, np.random.default_rng(0))
    (checked,) = check_files(work, [model], exact=True)
    assert checked.problem is None  # every checksum agrees
    served = ServedInProcess(work, model)
    told = [
        canary.difference(served.class_map(canary.picture()))
        for canary in canaries_of(checked.receipt)
    ]
    assert any(line is not None and "expected the build's class" in line for line in told)
