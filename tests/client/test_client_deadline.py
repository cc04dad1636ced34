"""The clock of one call."""

from __future__ import annotations

import time

import pytest

from tritonseg import DeadlineExceededError
from tritonseg._calls.deadline import Deadline


def test_time_left_shrinks():
    deadline = Deadline(5.0)
    before_s = deadline.require_s()
    time.sleep(0.02)
    assert 4.0 < deadline.remaining_s() <= before_s - 0.02 < 5.0


def test_nothing_left():
    deadline = Deadline(0.01)
    time.sleep(0.02)
    assert deadline.remaining_s() <= 0
    with pytest.raises(DeadlineExceededError, match=r"within 0\.01 s"):
        deadline.require_s()
