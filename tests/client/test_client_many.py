"""Many pictures at once: each with what became of it, and no more of them than were asked for."""

from __future__ import annotations

import itertools
import threading
import time

import grpc
import numpy as np
import pytest

import tritonseg

MAX_IN_FLIGHT = 3


def image(number: int) -> np.ndarray:
    """A picture whose red value, and so its class in the fake, is its number."""
    return np.full((2, 3, 3), number % 256, np.uint8)


def number_of(result: tritonseg.Segmentation) -> int:
    assert len(np.unique(result.class_map)) == 1
    return int(result.class_map[0, 0])


def test_every_picture_comes_back_with_its_own_result_and_in_order(client, triton):
    images = [image(number) for number in range(40)]
    pairs = list(client.segment_many(images))
    assert [id(picture) for picture, _ in pairs] == [id(picture) for picture in images]
    assert [number_of(result) for _, result in pairs] == [number % 5 for number in range(40)]
    assert len({result.request_id for _, result in pairs}) == 40
    assert triton.calls["ModelInfer"] == 40


def test_unordered_brings_all_of_them_too(client):
    images = [image(number) for number in range(40)]
    pairs = list(client.segment_many(images, ordered=False))
    assert {id(picture) for picture, _ in pairs} == {id(picture) for picture in images}
    assert all(number_of(result) == picture[0, 0, 0] % 5 for picture, result in pairs)


def test_unordered_does_not_wait_for_the_slow(client, triton):
    images = [image(number) for number in (4, 1, 2, 3)]
    released = threading.Event()
    triton.hold(lambda request: request.raw_input_contents[0][0] == 4, released)
    results = client.segment_many(images, ordered=False)
    early = {number_of(next(results)[1]) for _ in range(3)}
    released.set()
    assert (early, number_of(next(results)[1])) == ({1, 2, 3}, 4)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_bad_picture_stops_no_other(client, ordered):
    images = [image(1), b"<html>", image(2), np.zeros((2, 2), np.float32), image(3)]
    pairs = enumerate(client.segment_many(images, ordered=ordered))
    outcomes = {index: outcome for index, (_, outcome) in pairs}
    kinds = sorted(type(outcome).__name__ for outcome in outcomes.values())
    assert kinds == ["ImageDecodeError", *["Segmentation"] * 3, "UnsupportedImageError"]
    if ordered:
        assert isinstance(outcomes[1], tritonseg.ImageDecodeError)
        assert outcomes[1].request_id is not None


def test_errors_are_raised_in_their_place_if_asked(client):
    results = client.segment_many([image(1), b"<html>", image(2)], on_error="raise")
    assert number_of(next(results)[1]) == 1
    with pytest.raises(tritonseg.ImageDecodeError):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_an_endless_source_is_taken_only_as_fast_as_results_are(client, triton, ordered):
    taken = []

    def source():
        while True:
            taken.append(len(taken))
            yield image(taken[-1])

    results = client.segment_many(
        source(),
        max_in_flight=MAX_IN_FLIGHT,
        ordered=ordered,
    )
    for received in range(1, 21):
        next(results)
        assert len(taken) <= received + 2 * MAX_IN_FLIGHT
    results.close()
    assert triton.most_at_once["ModelInfer"] <= MAX_IN_FLIGHT


def test_so_many_are_in_flight(client, triton):
    released = threading.Event()
    triton.hold(lambda _: True, released)
    client.describe()
    threading.Timer(0.5, released.set).start()
    results = client.segment_many((image(1) for _ in range(20)), max_in_flight=MAX_IN_FLIGHT)
    assert len(list(results)) == 20
    assert triton.most_at_once["ModelInfer"] == MAX_IN_FLIGHT


def test_one_outage_is_one_error_for_each_picture(client, triton):
    triton.fail(grpc.StatusCode.INTERNAL, "no")
    outcomes = [outcome for _, outcome in client.segment_many([image(1)] * 5)]
    assert [type(outcome) for outcome in outcomes] == [tritonseg.InferenceFailedError] * 5


def test_what_the_source_raises_comes_out_as_it_is(client):
    def source():
        yield image(1)
        raise LookupError("no more disks")

    with pytest.raises(LookupError, match="no more disks"):
        list(client.segment_many(source()))


def test_nothing_of_nothing(client, triton):
    assert list(client.segment_many([])) == []
    assert not triton.calls


@pytest.mark.parametrize(
    "options",
    [{"max_in_flight": 0}, {"max_in_flight": 2000}, {"max_in_flight": True},
     {"on_error": "ignore"}, {"timeout_s": 0}],
)  # fmt: skip
def test_unusable_arguments_are_refused_at_once(client, options):
    with pytest.raises(tritonseg.ConfigurationError, match=next(iter(options))):
        client.segment_many([], **options)


def test_closed_meanwhile(client):
    results = client.segment_many((image(1) for _ in itertools.repeat(None)), on_error="raise")
    next(results)
    client.close()
    with pytest.raises(tritonseg.ClientClosedError):
        list(itertools.islice(results, 20))


def test_a_slow_source_holds_no_result_back(triton):
    """In threads; in asyncio a source that does not await holds up the loop."""
    seen = []

    def source():
        for number in range(3):
            yield image(number)
            time.sleep(0.3)  # far longer than a picture takes
            seen.append(number)

    with tritonseg.SegmentationClient(triton.url, model="street-demo") as client:
        for number, (_, result) in enumerate(client.segment_many(source())):
            assert number_of(result) == number
            assert len(seen) <= number + 1


def test_what_had_begun_comes_before_what_the_source_raises(client):
    def source():
        yield from (image(number) for number in range(5))
        raise LookupError("no more disks")

    numbers = []
    with pytest.raises(LookupError, match="no more disks"):
        numbers.extend(number_of(result) for _, result in client.segment_many(source()))
    assert numbers == [0, 1, 2, 3, 4]


def test_a_closed_client_ends_an_endless_source(client):
    results = client.segment_many(image(1) for _ in itertools.repeat(None))
    next(results)
    client.close()
    with pytest.raises(tritonseg.ClientClosedError):
        list(results)


def test_no_iterable(client):
    with pytest.raises(tritonseg.ConfigurationError, match="images"):
        client.segment_many(5)


@pytest.mark.parametrize("images", ["street.jpg", b"bytes", np.zeros((2, 2, 3), np.uint8)])
def test_one_picture_is_not_many(client, images):
    with pytest.raises(tritonseg.ConfigurationError, match=r"pass \[image\], or call segment"):
        client.segment_many(images)
