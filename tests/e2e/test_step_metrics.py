"""What the steps tell Prometheus is what callers saw; Triton's own figures are not."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from tiny_models import SIZES, TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.target import ServingLayout
from tritonseg_steps.contract import QUEUE_PARAMETER
from tritonseg_steps.resize_policy import Stretch

pytestmark = pytest.mark.e2e

FIRST = {ServingLayout.SINGLE: "tiny", ServingLayout.ENSEMBLE: "tiny_normalize"}
NO_PICTURE = b"no picture"
STEPS = {
    ServingLayout.SINGLE: {"whole"},
    ServingLayout.ENSEMBLE: {"normalize", "engine", "argmax"},
}
OUTCOMES = {"answered", "refused", "invalid", "cancelled", "failed"}
CALLERS = 24
SETTLED_S = 10.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module", params=list(FIRST))
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two processes of the first step, whose figures must add up, and a line of one each."""
    folder = Path(tmp_path_factory.mktemp("metrics") / request.param)
    folder.mkdir()
    onnx.save(TinyModel().model(), folder / "tiny.onnx")
    repository = folder / "model_repository"
    spec, stretch = tiny_spec(), Stretch(height=SIZES.height, width=SIZES.width)
    spec = replace(spec, preprocessing=replace(spec.preprocessing, resize=stretch))
    build_model(spec, folder / "tiny.onnx", repository, layout=request.param)
    path = repository / FIRST[request.param] / "config.pbtxt"
    config = read_config(path)
    config.instance_group[0].count = 2
    config.parameters[QUEUE_PARAMETER].string_value = "2"
    path.write_text(str(config))
    return repository


@pytest.fixture(scope="module")
def started(repository: Path) -> Iterator[tuple[TritonServer, Samples]]:
    """A server, and what it told before the first request."""
    with TritonServer(ServerConfig(repositories=(repository,))) as server:
        yield server, scrape(server)


@pytest.fixture
def server(started: tuple[TritonServer, Samples]) -> TritonServer:
    return started[0]


def layout_of(repository: Path) -> ServingLayout:
    return ServingLayout(repository.parent.name)


def scrape(server: TritonServer) -> Samples:
    assert server.metrics_url is not None
    with urllib.request.urlopen(server.metrics_url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(v for (one, has), v in samples.items() if one == name and labels.items() <= {*has})


def ask(url: str, file: bytes) -> tuple[str, float]:
    began_s = time.monotonic()
    tensor = triton.InferInput("ENCODED_IMAGE", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[file]], object))
    with triton.InferenceServerClient(url) as client:
        try:
            client.infer("tiny", [tensor], client_timeout=60)
        except InferenceServerException as error:
            return str(error.status()), time.monotonic() - began_s
    return "answered", time.monotonic() - began_s


def slow_to_read() -> bytes:
    """A file that is sent much faster than it is decoded, so that a line of two is soon full."""
    file = BytesIO()
    Image.new("RGB", (4096, 4096)).save(file, "JPEG")
    return file.getvalue()


def outcomes(samples: Samples) -> Counter[str]:
    """What became of requests to the model: every one ends in one step, answers in the last."""
    ends = Counter[str]()
    for (name, labels), value in samples.items():
        of = dict(labels)
        is_end = of.get("outcome") != "answered" or of.get("step") in {"argmax", "whole"}
        if name == "tritonseg_requests_total" and of["served_model"] == "tiny" and is_end:
            ends[of["outcome"]] += int(value)
    return +ends


def settled(server: TritonServer, requests: int) -> Samples:
    """A step counts once it has answered, so a moment after the caller has the answer."""
    deadline_s = time.monotonic() + SETTLED_S
    while outcomes(samples := scrape(server)).total() < requests:
        assert time.monotonic() < deadline_s, outcomes(samples)
        time.sleep(0.05)
    return samples


def test_before_the_first_request_every_outcome_is_there_and_zero(
    repository: Path, started: tuple[TritonServer, Samples]
) -> None:
    """Warm-ups are none; and a rate of what is not there is not 0 but nothing."""
    found = {
        (labels["step"], labels["outcome"]): value
        for (name, has), value in started[1].items()
        if name == "tritonseg_requests_total" and (labels := dict(has))
    }
    steps = STEPS[layout_of(repository)]
    assert found == dict.fromkeys(((step, one) for step in steps for one in OUTCOMES), 0.0)


def test_steps_count_what_callers_saw_and_how_long_they_waited(
    repository: Path, server: TritonServer
) -> None:
    picture = slow_to_read()
    before = settled(server, 0)
    with ThreadPoolExecutor(CALLERS) as callers:
        asked = [callers.submit(ask, server.grpc_url, picture) for _ in range(2 * CALLERS)]
        seen = [one.result() for one in asked]
    seen += [ask(server.grpc_url, NO_PICTURE) for _ in range(3)]
    after = settled(server, outcomes(before).total() + len(seen))
    words = {
        "answered": "answered",
        "StatusCode.UNAVAILABLE": "refused",
        "StatusCode.INVALID_ARGUMENT": "invalid",
    }
    assert outcomes(after) - outcomes(before) == Counter(words[status] for status, _ in seen)

    assert {status for status, _ in seen} == words.keys()
    answered = [took_s for status, took_s in seen if status == "answered"]

    def rise(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    first = FIRST[layout_of(repository)]
    assert rise("tritonseg_request_seconds_count", model=first) == len(answered)
    assert rise("tritonseg_compute_seconds_count", model=first) == len(answered)
    request_s = rise("tritonseg_request_seconds_sum", model=first)
    assert rise("tritonseg_compute_seconds_sum", model=first) <= request_s <= sum(answered)


def test_triton_itself_calls_refusals_and_errors_successes(
    repository: Path, server: TritonServer
) -> None:
    """Why steps count: if this fails, a newer Triton is better than docs/monitoring.md says."""
    first = FIRST[layout_of(repository)]
    before = scrape(server)
    for _ in range(3):
        assert ask(server.grpc_url, NO_PICTURE)[0] == "StatusCode.INVALID_ARGUMENT"
    after = settled(server, outcomes(before).total() + 3)
    counted = {
        name: total(after, name, model=first) - total(before, name, model=first)
        for name in ("nv_inference_request_success_total", "nv_inference_request_failure_total")
    }
    assert counted == {
        "nv_inference_request_success_total": 3,
        "nv_inference_request_failure_total": 0,
    }
