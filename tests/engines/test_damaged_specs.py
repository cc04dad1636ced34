"""A thousand broken specifications: each is read, or refused in one line, and none is a traceback.

`scripts/fuzz_specs.py` prints what is said of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from damaged_specs import WHOLE, damaged_spec, outcome_of_spec

LONGEST = 700


def test_the_whole_one_is_built(tmp_path: Path) -> None:
    import yaml

    assert outcome_of_spec(yaml.safe_dump(WHOLE), tmp_path, build=True) is None


@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_a_broken_one_is_read_or_refused_in_a_line(first: int, tmp_path: Path) -> None:
    refused = 0
    for seed in range(first, first + 250):
        line = outcome_of_spec(damaged_spec(seed), tmp_path, build=False)
        if line is not None:
            refused += 1
            assert len(line.splitlines()) == 1, (seed, line)
            assert line.startswith(str(tmp_path)), (seed, line)
            assert len(line) < LONGEST, (seed, line)
    assert 50 < refused < 240


def test_what_can_be_read_is_built_or_refused_in_a_line(tmp_path: Path) -> None:
    for seed in range(2000, 2060):
        line = outcome_of_spec(damaged_spec(seed), tmp_path, build=True)
        assert line is None or len(line.splitlines()) == 1, (seed, line)
