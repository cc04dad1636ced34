"""Pauses against the written formula, the budget against a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonseg import ConfigurationError, RetryPolicy, SegmentationError
from tritonseg._calls.retry import RetryBudget, RetrySequence, compute_delay_s

TRANSIENT = SegmentationError("try again", retryable=True)
PERMANENT = SegmentationError("do not")


class TestDelay:
    @pytest.mark.parametrize(
        ("retry", "delay_s"),
        [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (60, 8.0)],
    )
    def test_doubles_from_half_a_second_to_eight(self, retry, delay_s):
        assert compute_delay_s(RetryPolicy(), retry, 0.0) == delay_s

    @given(retry=st.integers(1, 20), jitter=st.floats(0, 1, exclude_max=True))
    def test_jitter_shortens_by_at_most_a_quarter(self, retry, jitter):
        full_s = compute_delay_s(RetryPolicy(), retry, 0.0)
        assert 0.75 * full_s <= compute_delay_s(RetryPolicy(), retry, jitter) <= full_s


class TestSequence:
    def test_two_retries_by_default(self):
        sequence = RetrySequence(RetryPolicy(), RetryBudget())
        delays_s = [sequence.next_delay_s(TRANSIENT, 100.0) for _ in range(2)]
        assert 0.375 <= delays_s[0] <= 0.5
        assert 0.75 <= delays_s[1] <= 1.0
        assert sequence.next_delay_s(TRANSIENT, 100.0) is None
        assert sequence.attempts == 3

    def test_permanent_errors_are_final(self):
        sequence = RetrySequence(RetryPolicy(), RetryBudget())
        assert sequence.next_delay_s(PERMANENT, 100.0) is None
        assert sequence.attempts == 1

    def test_does_not_sleep_past_the_deadline(self):
        budget = RetryBudget()
        sequence = RetrySequence(RetryPolicy(), budget)
        assert sequence.next_delay_s(TRANSIENT, 0.3) is None
        assert sequence.attempts == 1

    def test_gives_up_when_the_budget_is_spent(self):
        budget = RetryBudget(clock=lambda: 0.0)
        while budget.try_spend():
            pass
        assert RetrySequence(RetryPolicy(), budget).next_delay_s(TRANSIENT, 100.0) is None


class TestBudget:
    def test_reserve_and_a_fifth_of_the_calls(self):
        budget = RetryBudget(clock=lambda: 0.0)
        for _ in range(100):
            budget.record_call()
        retries = 0
        while budget.try_spend():
            retries += 1
        assert retries == 10 + 0.2 * 100

    def test_long_outage_at_a_steady_rate(self):
        now_s = 0.0
        budget = RetryBudget(clock=lambda: now_s)
        retries = 0
        for call in range(10_000):  # 100 calls a second, each wanting two retries
            now_s = call / 100
            budget.record_call()
            retries += sum(budget.try_spend() for _ in range(2))
        assert 0.19 * 10_000 < retries < 0.21 * 10_000 + 10 * (1 + 100 / 30)

    def test_client_with_few_calls_can_always_retry(self):
        now_s = 0.0
        budget = RetryBudget(clock=lambda: now_s)
        for call in range(100):
            now_s = 10.0 * call
            budget.record_call()
            assert budget.try_spend()
            assert budget.try_spend()

    def test_room_comes_back_with_time(self):
        now_s = 0.0
        budget = RetryBudget(clock=lambda: now_s)
        while budget.try_spend():
            pass
        now_s = 30.0 * 2.303  # ten times fewer are remembered
        assert [budget.try_spend() for _ in range(10)] == [True] * 9 + [False]


class TestPolicy:
    @pytest.mark.parametrize(
        "policy",
        [
            {"max_retries": -1},
            {"max_retries": 11},
            {"max_retries": 1.0},
            {"initial_delay_s": 0},
            {"initial_delay_s": float("nan")},
            {"max_delay_s": float("inf")},
            {"initial_delay_s": 9.0},
        ],
        ids=str,
    )
    def test_impossible_ones(self, policy):
        with pytest.raises(ConfigurationError):
            RetryPolicy(**policy)
