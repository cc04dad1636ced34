"""What only the asyncio client has: tasks, cancellation, one loop; and the names it shares."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time

import numpy as np
import pytest

import tritonseg
from tritonseg import AsyncSegmentationClient, SegmentationClient
from tritonseg._channels.tasks import AioLock

IMAGE = np.zeros((2, 3, 3), np.uint8)


def public(kind: type) -> dict[str, object]:
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_") and callable(value)
    }


def test_both_clients_have_the_same_methods_and_arguments():
    in_threads, in_asyncio = public(SegmentationClient), public(AsyncSegmentationClient)
    assert in_threads.keys() == in_asyncio.keys()
    for name in ["__init__", *in_threads]:
        one = inspect.signature(getattr(SegmentationClient, name)).parameters
        other = inspect.signature(getattr(AsyncSegmentationClient, name)).parameters
        assert list(one) == list(other), name
        for argument in one.keys() - {"images"}:
            assert str(one[argument]) == str(other[argument]), (name, argument)
            assert one[argument].kind is other[argument].kind


def test_five_hundred_tasks_get_each_their_own(triton):
    async def segment(client: AsyncSegmentationClient, number: int) -> bool:
        picture = np.full((1 + number % 7, 3, 3), number % 256, np.uint8)
        result = await client.segment(picture)
        return bool((result.class_map == number % 256 % 5).all()) and (
            result.image_size == picture.shape[:2]
        )

    async def all_of_them() -> list[bool]:
        async with AsyncSegmentationClient(triton.url, model="street-demo") as client:
            return await asyncio.gather(*(segment(client, number) for number in range(500)))

    assert asyncio.run(all_of_them()) == [True] * 500
    assert triton.calls == {"ModelMetadata": 1, "ModelConfig": 1, "ModelInfer": 500}


def test_a_task_that_is_cancelled_cancels_its_request(triton):
    released = threading.Event()
    triton.hold(lambda _: True, released)

    async def cancelled() -> None:
        async with AsyncSegmentationClient(triton.url, model="street-demo") as client:
            task = asyncio.create_task(client.segment(IMAGE))
            while not triton.calls["ModelInfer"]:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            end_s = time.monotonic() + 5
            while not triton.cancelled and time.monotonic() < end_s:
                await asyncio.sleep(0.01)
            released.set()
            assert (await client.segment(IMAGE)).class_map.shape == (2, 3)  # and goes on

    asyncio.run(cancelled())
    assert triton.cancelled == ["ModelInfer"]


def test_a_time_out_of_asyncio_leaves_the_client_whole(triton):
    async def timed_out() -> None:
        async with AsyncSegmentationClient(triton.url, model="street-demo") as client:
            triton.delay(0.5, method="ModelMetadata")  # while it holds what only one may ask for
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.segment(IMAGE), 0.1)
            triton.delay(0.0, method="ModelMetadata")
            assert (await client.segment(IMAGE)).class_map.shape == (2, 3)

    asyncio.run(timed_out())


def test_the_loop_goes_on_while_a_picture_is_decoded(triton, monkeypatch):
    decoding = threading.Event()
    read = tritonseg._calls.core.read_image

    def slow(image, limits):
        decoding.wait(5)
        return read(image, limits)

    monkeypatch.setattr(tritonseg._calls.core, "read_image", slow)

    async def segment_while_the_loop_turns() -> None:
        async with AsyncSegmentationClient(triton.url, model="street-demo") as client:
            task = asyncio.create_task(client.segment(IMAGE))
            await asyncio.sleep(0.05)
            decoding.set()  # the loop came here: nothing else lets the picture be read
            await task

    begin_s = time.monotonic()
    asyncio.run(segment_while_the_loop_turns())
    assert time.monotonic() - begin_s < 4


def test_another_loop_is_told_so(triton):
    client = AsyncSegmentationClient(triton.url, model="street-demo")

    async def segment() -> None:
        await client.segment(IMAGE)

    asyncio.run(segment())
    with pytest.raises(tritonseg.ClientClosedError, match="another event loop"):
        asyncio.run(segment())


def test_many_from_an_asynchronous_source(triton):
    async def source():
        for number in range(20):
            await asyncio.sleep(0)
            yield np.full((2, 3, 3), number, np.uint8)

    async def classes() -> list[int]:
        async with AsyncSegmentationClient(triton.url, model="street-demo") as client:
            return [
                int(result.class_map[0, 0]) async for _, result in client.segment_many(source())
            ]

    assert asyncio.run(classes()) == [number % 5 for number in range(20)]


def test_stopping_early_cancels_what_has_begun(triton):
    async def stop_after_one() -> int:
        async with AsyncSegmentationClient(triton.url, model="street-demo") as client:
            results = client.segment_many([IMAGE] * 100, max_in_flight=4)
            async for _ in results:
                break
            await results.aclose()
            return len(asyncio.all_tasks())

    assert asyncio.run(stop_after_one()) == 1
    assert triton.calls["ModelInfer"] <= 10


def test_a_source_may_wait_for_results(triton):
    """Items are asked for while results are awaited, so one may depend on the other."""

    async def numbers() -> list[int]:
        answered = asyncio.Event()

        async def source():
            for number in range(5):
                yield np.full((2, 3, 3), number, np.uint8)
                await answered.wait()
                answered.clear()

        found = []
        async with AsyncSegmentationClient(triton.url, model="street-demo") as client:
            async for _, result in client.segment_many(source()):
                found.append(int(result.class_map[0, 0]))
                answered.set()
        return found

    assert asyncio.run(numbers()) == [0, 1, 2, 3, 4]


def test_a_cancellation_is_not_lost_where_the_lock_is_freed_at_once():
    async def freed_and_cancelled_in_one_step() -> bool:
        lock = AioLock()
        assert await lock.enter(1)
        waiting = asyncio.create_task(lock.enter(5))
        await asyncio.sleep(0.01)
        lock.release()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await lock.enter(0.1)  # and the lock is free

    assert asyncio.run(freed_and_cancelled_in_one_step())
