"""Pictures in tiles, through both clients, against a fake whose mask sees a window of its own."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections import deque

import grpc
import numpy as np
import pytest
from PIL import Image

import tritonseg
from tritonseg import Tiling

BEFORE, AFTER, GRID, CLASSES = 5, 3, 4, 5
TILES = Tiling(size=32)


def windowed_mask(image_hwc):
    """A network with a reach: sums over a window with zeros around, and its place on a grid."""
    red = np.pad(image_hwc[..., 0].astype(np.int64), ((BEFORE, AFTER), (BEFORE, AFTER)))
    windows = np.lib.stride_tricks.sliding_window_view(red, (BEFORE + AFTER + 1,) * 2)
    rows, columns = np.indices(image_hwc.shape[:2]) % GRID
    return ((windows.sum(axis=(2, 3)) + 3 * rows + columns) % CLASSES).astype(np.uint8)


def publish(triton, reach, **sizes):
    model = json.loads(triton.parameters["tritonseg_model"])
    if reach is not None:
        model["reach"] = reach
    preprocessing = {
        "mean": [0, 0, 0], "scale": [1.5, 1, 1], "color_order": "RGB", "padding": None,
        "resize": {"policy": "native", "size_divisor": 1, "align": "top_left"},
    }  # fmt: skip
    usual = {"height": None, "width": None, "multiple_of": 1, "at_least": 1, "at_most_hw": None}
    triton.parameters |= {
        "tritonseg_model": json.dumps(model),
        "tritonseg_preprocessing": json.dumps(preprocessing),
        "tritonseg_network_sizes": json.dumps({**usual, **sizes}),
    }


@pytest.fixture
def network(triton):
    """The fake, as a model whose reach is known."""
    publish(triton, {"before_hw": [BEFORE] * 2, "after_hw": [AFTER] * 2, "grid_hw": [GRID] * 2})
    triton.mask = windowed_mask
    return triton


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (104, 132, 3), np.uint8)


def test_what_the_model_says_is_described(client, network):
    model = client.describe()
    assert model.reach == tritonseg.Reach(before_hw=(5, 5), after_hw=(3, 3), grid_hw=(4, 4))
    assert model.preprocessing.scale == (1.5, 1.0, 1.0)
    assert model.preprocessing.resize.policy == "native"
    assert model.preprocessing.network_hw == (None, None)


def test_tiles_with_the_reach_as_margin_are_the_whole(client, network, image):
    result = client.segment(image, tiling=TILES, confidence=True)
    assert (result.class_map == windowed_mask(image)).all()
    assert (result.confidence == image[..., 1]).all()
    assert (result.image_hwc == image).all()
    report = result.tiling
    assert (report.is_exact, report.reason, report.size_hw) == (True, None, (32, 32))
    assert report.tile_count == len(network.requests) > 20
    assert {one.image_hwc.shape[:2] for one in network.requests} == {(32, 32)}
    assert not result.class_map.flags.writeable
    assert not result.confidence.flags.writeable


def test_less_overlap_is_not_the_whole_and_says_so(client, network, image):
    result = client.segment(image, tiling=Tiling(size=32, overlap=4))
    assert not result.tiling.is_exact
    assert "sees 8" in result.tiling.reason
    assert (result.class_map != windowed_mask(image)).any()


def test_auto_of_a_picture_that_fits_is_one_request(client, network, image):
    result = client.segment(image, tiling="auto")
    assert (result.class_map == windowed_mask(image)).all()
    assert (result.tiling.tile_count, result.tiling.is_exact) == (1, True)
    assert len(network.requests) == 1


def test_a_model_of_an_earlier_build_says_nothing_and_is_not_exact(client, triton, image):
    result = client.segment(image, tiling=Tiling(size=64, overlap=0))
    assert not result.tiling.is_exact
    assert client.describe().reach is None
    assert (result.class_map == image[..., 0] % CLASSES).all()  # of each pixel alone


def test_the_surer_tile_decides_by_confidence(client, triton, image):
    publish(triton, {"unbounded_by": "Everything 'x' sees everything"})
    # Each tile gives one class, from its first pixel; as sure as that pixel is green.
    triton.mask = lambda one: np.full(one.shape[:2], one[0, 0, 0] % CLASSES, np.uint8)
    triton.confidence = lambda one: np.full(one.shape[:2], one[0, 0, 1], np.uint8)
    tiling = Tiling(size=64, overlap=32, blend="confidence")
    result = client.segment(image, tiling=tiling, confidence=True)
    assert "Everything 'x'" in result.tiling.reason
    best = np.full(image.shape[:2], -1.0)
    expected = np.zeros((2, *image.shape[:2]), np.uint8)
    starts = [_starts(side, 64) for side in image.shape[:2]]
    for row in starts[0]:
        for column in starts[1]:
            weights = [
                _ramp(side, start, 64, of) for side, start, of in
                zip(image.shape[:2], (row, column), starts, strict=True)
            ]  # fmt: skip
            weight = np.multiply.outer(*weights) // 255
            weight *= int(image[row, column, 1]) + 1
            area = (slice(row, row + 64), slice(column, column + 64))
            wins = weight > best[area]
            best[area][wins] = weight[wins]
            expected[0][area][wins] = image[row, column, 0] % CLASSES
            expected[1][area][wins] = image[row, column, 1]
    assert (result.class_map == expected[0]).all()
    assert (result.confidence == expected[1]).all()


def _starts(length, size):
    """On multiples of 32, half a tile apart."""
    return list(range(0, -(-(length - size) // 32) * 32 + 1, 32))


def _ramp(length, start, size, starts):
    """From 1 to 255 over what two tiles share, full at the picture's own borders."""
    stop = min(start + size, length)
    place = np.arange(stop - start)
    ramp = np.ones(stop - start)
    if start:
        ramp = np.minimum(ramp, (place + 1) / (min(start - 32 + size, length) - start + 1))
    if start != starts[-1]:
        ramp = np.minimum(ramp, (stop - start - place) / (stop - start - 32 + 1))
    return np.rint(255 * ramp).clip(1).astype(np.int64)


def test_every_tile_has_a_request_of_its_own_that_names_it(client, network, image):
    client.segment(image, tiling=TILES, request_id="aerial-7")
    names = [one.request_id for one in network.requests]
    assert len(set(names)) == len(names)
    assert "aerial-7.y0x0" in names
    assert "aerial-7.y24x48" in names


def test_a_tile_that_fails_ends_the_call_with_its_error(client, network, image):
    def mask(one):
        if (one[0, 0] == image[24, 48]).all():
            raise ArithmeticError("no")
        return windowed_mask(one)

    network.mask = mask
    with pytest.raises(tritonseg.InferenceFailedError) as caught:
        client.segment(image, tiling=Tiling(size=32, max_in_flight=2), request_id="aerial")
    assert caught.value.request_id == "aerial.y24x48"
    assert caught.value.model_name == "street-demo"
    time.sleep(0.2)
    assert network.calls["ModelInfer"] < 20  # of 24


def test_one_timeout_covers_all_tiles(client, network, image):
    client.describe()
    network.delay(0.2)
    started = time.monotonic()
    with pytest.raises(tritonseg.DeadlineExceededError):
        client.segment(image, tiling=Tiling(size=32, max_in_flight=2), timeout_s=0.7)
    assert time.monotonic() - started < 0.95


def test_an_overload_of_one_tile_is_retried(client, network, image):
    network.fail(grpc.StatusCode.UNAVAILABLE, "queue full", times=2)
    result = client.segment(image, tiling=TILES)
    assert (result.class_map == windowed_mask(image)).all()


def test_a_model_that_is_replaced_meanwhile_is_an_error(client, network, image):
    def mask(one):
        if len(network.requests) == 5:
            model = json.loads(network.parameters["tritonseg_model"])
            network.parameters |= {
                "tritonseg_model": json.dumps({**model, "source": "another training"}),
                "tritonseg_digest": json.dumps("ab" * 32),
            }
        return windowed_mask(one)

    network.mask = mask
    with pytest.raises(tritonseg.ModelNotReadyError, match="replaced") as caught:
        client.segment(image, tiling=Tiling(size=32, max_in_flight=1))
    assert caught.value.retryable


def test_so_many_tiles_are_in_flight(client, network, image):
    released = threading.Event()
    network.hold(lambda _: True, released)
    client.describe()
    threading.Timer(0.4, released.set).start()
    client.segment(image, tiling=Tiling(size=32, max_in_flight=3))
    assert network.most_at_once["ModelInfer"] == 3


def test_progress_is_told_tile_by_tile(client, network, image):
    told = []
    tiling = Tiling(size=32, on_progress=lambda done, count: told.append((done, count)))
    count = client.segment(image, tiling=tiling).tiling.tile_count
    assert told == [(done, count) for done in range(1, count + 1)]


@pytest.mark.parametrize("transport", ["raw", "encoded"])
def test_files_are_turned_first_and_cut_then(connect, network, image, transport):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(buffer, "PNG", exif=exif)
    client = connect(network.url, transport=transport)
    result = client.segment(buffer.getvalue(), tiling=TILES)
    turned = np.rot90(image, -1)
    assert (result.image_hwc == turned).all()
    assert (result.class_map == windowed_mask(turned)).all()
    assert (result.stored_size, result.image_size) == ((104, 132), (132, 104))


def test_many_pictures_in_tiles(client, network, image):
    images = [image, image[::-1], b"<html>", image[:, ::-1]]
    outcomes = [outcome for _, outcome in client.segment_many(images, tiling=TILES)]
    assert isinstance(outcomes.pop(2), tritonseg.ImageDecodeError)
    for one, outcome in zip([image, image[::-1], image[:, ::-1]], outcomes, strict=True):
        assert (outcome.class_map == windowed_mask(one)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tiling": "yes"}, "tiling"),
        ({"tiling": True}, "tiling"),
        ({"tiling": np.zeros(2)}, "tiling"),
        ({"tiling": TILES, "request_id": "x" * 128}, "request_id"),
        ({"tiling": TILES, "timeout_s": 0}, "timeout_s"),
    ],
)
def test_unusable_arguments_are_refused(client, network, image, options, words):
    with pytest.raises(tritonseg.ConfigurationError, match=words):
        client.segment(image, **options)
    assert not network.requests


def test_limits_hold_for_the_whole_picture(connect, network, image):
    limits = tritonseg.ImageLimits(max_pixels=10_000)
    with pytest.raises(tritonseg.ImageTooLargeError, match="raise ImageLimits"):
        connect(network.url, limits=limits).segment(image, tiling=TILES)
    assert not network.requests


def test_a_closed_client(client, network, image):
    client.close()
    with pytest.raises(tritonseg.ClientClosedError):
        client.segment(image, tiling=TILES)


def test_untiled_results_have_no_report(client, network, image):
    assert client.segment(image).tiling is None


def test_a_cancelled_task_cancels_its_tiles(network, image):
    released = threading.Event()
    network.hold(lambda _: True, released)
    network.requests = deque(maxlen=1)

    async def cancelled():
        async with tritonseg.AsyncSegmentationClient(network.url, model="street-demo") as client:
            task = asyncio.ensure_future(client.segment(image, tiling=TILES))
            while network.most_at_once["ModelInfer"] < 4:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(cancelled())
    released.set()
    assert network.calls["ModelInfer"] == 4


@pytest.mark.parametrize(
    ("reach", "key"),
    [
        ({"before_hw": [1, 1], "after_hw": [1, 1]}, "grid_hw"),
        ({"before_hw": [1], "after_hw": [1, 1], "grid_hw": [1, 1]}, "before_hw"),
        ({"before_hw": [1, -1], "after_hw": [1, 1], "grid_hw": [1, 1]}, "before_hw"),
        ({"before_hw": [1, 1], "after_hw": [1, 1.5], "grid_hw": [1, 1]}, "after_hw"),
        ({"before_hw": [1, 1], "after_hw": [1, 1], "grid_hw": [0, 1]}, "grid_hw"),
        ({"unbounded_by": 5}, "unbounded_by"),
        (7, "reach"),
    ],
)
def test_a_malformed_reach_is_no_reach(client, network, reach, key):
    publish(network, reach)
    with pytest.raises(tritonseg.ProtocolError, match=key):
        client.describe()
