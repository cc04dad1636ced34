"""Which model a job is of, and that no two are mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulk_jobs import planned
from red_model import RED_CLASSES, RED_MODEL
from tritonseg import ConnectError, ModelNotFoundError
from tritonseg._fake_service import FakeService
from tritonseg.testing import FakeTriton
from tritonseg_engines.bulk.job import Servers
from tritonseg_engines.bulk.order import BulkOrder
from tritonseg_engines.errors import BulkError

Orders = Callable[..., BulkOrder]


def test_another_model(order: Orders, fake: FakeTriton) -> None:
    planned(order())
    key = "tritonseg_provenance"
    provenance = json.loads(fake.parameters[key])
    fake.parameters[key] = json.dumps({**provenance, "onnx_sha256": "f" * 64})
    with pytest.raises(BulkError, match=r"model\.onnx_sha256 was .*, is \"f{64}\""):
        planned(order(resume=True))


def test_the_jobs_version_stays_the_jobs(order: Orders, fake: FakeTriton) -> None:
    planned(order())
    fake.versions.append("2")
    assert planned(order(resume=True)).job.model["version"] == "1"
    with pytest.raises(BulkError, match=r'model\.version was "1", is "2"'):
        planned(order(resume=True, version="2"))
    fake.versions.remove("1")
    with pytest.raises(ModelNotFoundError):
        planned(order(resume=True))


def test_servers_of_different_models(order: Orders, fake: FakeTriton) -> None:
    with FakeTriton(model="red", classes=["road", "car"]) as other:
        servers = Servers(urls=[fake.url, other.url])
        with pytest.raises(BulkError, match=f"{other.url} serves another model than {fake.url}"):
            planned(order(servers=servers))
    with FakeTriton(model="green") as other:
        servers = Servers(urls=[fake.url, other.url])
        with pytest.raises(ModelNotFoundError, match=f"^{other.url}: "):
            planned(order(servers=servers))
    assert not Path(order().results).exists()


def test_builds_of_one_export_that_publish_something_else(order: Orders, fake: FakeTriton) -> None:
    """What no field of a model's description says, as the sizes that a network takes."""
    classes = [f"red {value}" for value in range(RED_CLASSES)]
    with FakeTriton(model=RED_MODEL, classes=classes) as other:
        other.parameters["tritonseg_digest"] = json.dumps("e" * 64)
        servers = Servers(urls=[fake.url, other.url])
        with pytest.raises(BulkError, match=rf'{other.url} serves another.*digest was .*"e{{64}}"'):
            planned(order(servers=servers))
    planned(order())
    fake.parameters["tritonseg_digest"] = json.dumps("f" * 64)
    with pytest.raises(BulkError, match=r'model\.digest was ".*", is "f{64}"'):
        planned(order(resume=True))


def test_a_model_whose_answers_do_not_say_whose_they_are(
    order: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = FakeService.ModelMetadata

    def as_of_an_earlier_build(service: FakeService, request: Any, context: Any) -> Any:
        response = described(service, request, context)
        assert response.outputs.pop().name == "MODEL_DIGEST"
        return response

    monkeypatch.setattr(FakeService, "ModelMetadata", as_of_an_earlier_build)
    with FakeTriton(model=RED_MODEL) as first, FakeTriton(model=RED_MODEL) as second:
        for urls in ([first.url, second.url], [f"dns:///{first.url}"]):
            with pytest.raises(BulkError, match="do not say which build they are of, so masks"):
                planned(order(servers=Servers(urls=urls)))
        told: list[str] = []
        planned(order(servers=Servers(urls=[first.url])), told)
    assert len(told) == 1
    assert "only its version is held against the job's" in told[0]


@pytest.mark.parametrize(("key", "value"), [("precision", "int8"), ("runtime", "tensorrt")])
def test_engines_that_nothing_tells_apart(
    order: Orders, fake: FakeTriton, key: str, value: str
) -> None:
    provenance = json.loads(fake.parameters["tritonseg_provenance"])
    fake.parameters["tritonseg_provenance"] = json.dumps({**provenance, key: value})
    told: list[str] = []
    planned(order(), told)
    assert told == []
    planned(order(resume=True, servers=Servers(urls=[fake.url, fake.url])), told)
    assert ["cannot be told apart: see that all servers" in line for line in told] == [True, False]


def test_a_server_that_is_not_there(order: Orders, fake: FakeTriton) -> None:
    told: list[str] = []
    planned(order(servers=Servers(urls=["127.0.0.1:9", fake.url], timeout_s=2.0)), told)
    assert told[0].startswith("127.0.0.1:9 is left out until it answers: ")
    with pytest.raises(ConnectError):
        planned(order(resume=True, servers=Servers(urls=["127.0.0.1:9"], timeout_s=2.0)))
