"""Hundreds of random faults to each client: every call gives the exact mask or an error of ours."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import tritonseg

CALLS, CALLERS = 500, 8
TIMEOUT_S, GRACE_S = 0.4, 0.5
"""The grace is for a machine that is busy with other tests; see `test_client_faults` for 0.25 s."""
STATUSES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


def drop_an_output(response, rng):
    position = rng.randrange(len(response.outputs))
    del response.outputs[position], response.raw_output_contents[position]


def cut_the_contents(response, rng):
    content = response.raw_output_contents[0]
    response.raw_output_contents[0] = content[: rng.randrange(len(content))]


def lengthen_the_contents(response, rng):
    response.raw_output_contents[0] += bytes(rng.randrange(1, 9))


def change_the_shape(response, rng):
    shape = list(response.outputs[0].shape)
    shape[rng.randrange(3)] += rng.choice((-1, 1, 2**40))
    del response.outputs[0].shape[:]
    response.outputs[0].shape.extend(shape)


def change_the_type(response, rng):
    response.outputs[0].datatype = rng.choice(("INT32", "FP32", "BYTES", "", "uint8"))


def name_no_class(response, rng):
    content = bytearray(response.raw_output_contents[0])
    content[rng.randrange(len(content))] = rng.randrange(5, 256)
    response.raw_output_contents[0] = bytes(content)


def answer_another(response, rng):
    response.id = "another"


def answer_by_another_model(response, rng):
    response.model_name = "another"


def answer_twice(response, rng):
    response.outputs.add().CopyFrom(response.outputs[0])


def answer_nothing(response, rng):
    response.Clear()


EDITS = (
    drop_an_output, cut_the_contents, lengthen_the_contents, change_the_shape, change_the_type,
    name_no_class, answer_another, answer_by_another_model, answer_twice, answer_nothing,
)  # fmt: skip


def fault(triton, wire, rng):
    """Let the next answers go wrong in some way; sometimes in none."""
    triton.fail(grpc.StatusCode.OK, times=0)
    triton.delay(0)
    triton.edit_answer = lambda response: None
    kind = rng.choice(("none", "status", "edit", "edit", "slow", "cut", "describe"))
    if kind == "status":
        triton.fail(rng.choice(STATUSES), "no", times=rng.randrange(1, 4))
    elif kind == "describe":
        method = rng.choice(("ModelMetadata", "ModelConfig"))
        triton.fail(rng.choice(STATUSES), "no", method=method, times=1)
    elif kind == "edit":
        edit = rng.choice(EDITS)
        triton.edit_answer = lambda response: edit(response, rng)
    elif kind == "slow":
        triton.delay(rng.choice((0.05, TIMEOUT_S + 0.3)))
    elif kind == "cut":
        wire.cut()


def test_the_exact_mask_or_an_error_of_ours_in_time(connect, triton, wire):
    rng = random.Random(20261127)
    client = connect(wire.address, timeout_s=TIMEOUT_S)
    pictures = [rng_picture(number) for number in range(CALLERS)]

    def call(number: int) -> str:
        picture = pictures[number % CALLERS]
        begin_s = time.monotonic()
        try:
            result = client.segment(picture)
        except tritonseg.SegmentationError as error:
            outcome = type(error).__name__
        else:
            assert np.array_equal(result.class_map, picture[..., 0] % 5)
            outcome = "mask"
        assert time.monotonic() - begin_s < TIMEOUT_S + GRACE_S
        return outcome

    outcomes = []
    with ThreadPoolExecutor(CALLERS) as pool:
        for first in range(0, CALLS, CALLERS):
            fault(triton, wire, rng)
            outcomes += pool.map(call, range(first, first + CALLERS))
    assert len(outcomes) >= CALLS
    assert 0.2 < outcomes.count("mask") / len(outcomes) < 0.9
    assert len(set(outcomes)) > 6, set(outcomes)  # the faults did happen


def rng_picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (5 + number, 7, 3), np.uint8)


@pytest.mark.parametrize("edit", EDITS)
def test_each_broken_answer_is_an_error_by_itself(client, triton, edit):
    """So that no edit of the test above does nothing."""
    rng = random.Random(1)
    client.describe()
    triton.edit_answer = lambda response: edit(response, rng)
    with pytest.raises(tritonseg.SegmentationError):
        client.segment(rng_picture(1))
