"""A model is built into a repository that Triton polls: no caller notices but by the digest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from own_mask import own_mask
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import RetryPolicy, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.serving import ServerConfig, TritonServer

POLLED = ("--model-control-mode=poll", "--repository-poll-secs=1")
SETTLED_S = 6
"""Longer than a poll and the loading of three Python steps."""
IMAGE = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    onnx.save(TinyModel().model(), tmp_path / "export.onnx")
    return tmp_path / "export.onnx"


@contextmanager
def asked_all_along(url: str) -> Iterator[list[np.ndarray | BaseException]]:
    """Segment one picture after the other, without retries; yield what came of each."""
    answers: list[np.ndarray | BaseException] = []
    ends = threading.Event()

    def ask() -> None:
        retry = RetryPolicy(max_retries=0)
        with SegmentationClient(url, model="tiny", retry=retry) as client:
            while not ends.is_set():
                try:
                    answers.append(client.segment(IMAGE).class_map)
                except Exception as error:  # noqa: BLE001 - looked at by the test
                    answers.append(error)
                    time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        ends.set()
        thread.join()


def test_something_serves_whatever_layout_is_built(export: Path, tmp_path: Path) -> None:
    repository, options = tmp_path / "repository", BuildOptions(grace_s=SETTLED_S)
    build_model(tiny_spec(), export, repository, layout="ensemble")
    config = ServerConfig(repositories=(repository,), extra_arguments=POLLED)
    expected, is_stable = own_mask(export, tiny_spec(), IMAGE)
    with TritonServer(config) as server, asked_all_along(server.grpc_url) as answers:
        for layout in ("single", "ensemble", "fused"):
            asked = len(answers)
            build_model(tiny_spec(), export, repository, layout=layout, options=options)
            time.sleep(SETTLED_S)
            failed = [one for one in answers[asked:] if isinstance(one, BaseException)]
            assert (failed, len(answers) > asked + 20) == ([], True), layout
            with SegmentationClient(server.grpc_url, model="tiny") as client:
                assert client.model.takes_files == (layout != "fused")  # the new one serves
    assert all(np.array_equal(one[is_stable], expected[is_stable]) for one in answers)
    assert [folder.name for folder in repository.iterdir()] == ["tiny"]
