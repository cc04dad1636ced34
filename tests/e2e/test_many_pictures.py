"""Many pictures at once, by both clients, against a real Triton: each mask is its picture's own."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from demo_model.scenes import draw_scene
from tritonseg import AsyncSegmentationClient, SegmentationClient
from tritonseg_engines.serving import TritonServer

PICTURES = [
    draw_scene(seed, height=96 + 8 * seed, width=160 + 16 * seed).image_hwc for seed in range(8)
]


@pytest.fixture(scope="module")
def alone(demo_server: TritonServer) -> list[np.ndarray]:
    """The mask of each picture, one after the other."""
    with SegmentationClient(demo_server.grpc_url, model="street-demo") as client:
        return [client.segment(picture).class_map for picture in PICTURES]


def test_in_threads(client: SegmentationClient, alone: list[np.ndarray]) -> None:
    results = [result for _, result in client.segment_many(PICTURES * 3, on_error="raise")]
    assert len({mask.tobytes() for mask in alone}) == len(PICTURES)
    for result, mask in zip(results, alone * 3, strict=True):
        assert np.array_equal(result.class_map, mask)


def test_in_asyncio(demo_server: TritonServer, alone: list[np.ndarray]) -> None:
    async def masks() -> list[np.ndarray]:
        async with AsyncSegmentationClient(demo_server.grpc_url, model="street-demo") as client:
            await client.wait_ready(timeout_s=10)
            assert await client.is_ready()
            assert (await client.describe()).name == "street-demo"
            return [
                result.class_map
                async for _, result in client.segment_many(PICTURES * 3, on_error="raise")
            ]

    for got, mask in zip(asyncio.run(masks()), alone * 3, strict=True):
        assert np.array_equal(got, mask)
