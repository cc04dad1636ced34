"""Which model a job is of, and that no two are mixed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from bulk_jobs import planned
from red_model import RED_CLASSES, RED_MODEL
from residual_network import residual_network, residual_spec, write_pictures
from tritonseg import ConnectError, ModelNotFoundError
from tritonseg._fake_service import FakeService
from tritonseg.testing import FakeTriton
from tritonseg_engines.build.model import build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.bulk.job import Servers
from tritonseg_engines.bulk.order import BulkOrder
from tritonseg_engines.errors import BulkError
from tritonseg_engines.serving import ServerConfig, TritonServer

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
def test_engines_of_earlier_builds_that_nothing_tells_apart(
    order: Orders, fake: FakeTriton, key: str, value: str
) -> None:
    provenance = json.loads(fake.parameters["tritonseg_provenance"])
    del provenance["engine_sha256"]
    fake.parameters["tritonseg_provenance"] = json.dumps({**provenance, key: value})
    told: list[str] = []
    planned(order(), told)
    assert told == []
    planned(order(resume=True, servers=Servers(urls=[fake.url, fake.url])), told)
    assert ["does not say which engine it has; an" in line for line in told] == [True, False]


@pytest.fixture(scope="module")
def int8_builds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same export, calibrated with other pictures."""
    folder = tmp_path_factory.mktemp("int8")
    onnx.save(residual_network(), folder / "export.onnx")
    return [int8_build(folder, seed) for seed in (1, 2)]


def int8_build(folder: Path, seed: int) -> Path:
    calibration = write_pictures(folder / f"pictures {seed}", 4, seed=seed)
    repository = folder / f"repository {seed}"
    build_model(
        residual_spec(),
        folder / "export.onnx",
        repository,
        precision="int8",
        options=BuildOptions(calibration=calibration, minimum_pictures=4, accept=True),
    )
    return repository


@pytest.mark.e2e
def test_a_job_of_one_int8_build_is_not_resumed_on_another(
    order: Orders, int8_builds: list[Path]
) -> None:
    told: list[str] = []
    first, second = (ServerConfig(repositories=(one,)) for one in int8_builds)
    with TritonServer(first) as one:
        of_one = {"model": "residual", "servers": Servers(urls=[one.grpc_url])}
        begun = planned(order(**of_one), told)
        assert planned(order(**of_one, resume=True), told).job == begun.job
        with TritonServer(second) as other:
            both = Servers(urls=[one.grpc_url, other.grpc_url])
            with pytest.raises(BulkError, match=f"{other.grpc_url} serves another model than"):
                planned(order(**of_one | {"servers": both}, results=f"{order().results} of both"))
            of_other = {"model": "residual", "servers": Servers(urls=[other.grpc_url])}
            difference = (
                r'model\.digest was "\w+", is "\w+"; model\.engine_sha256 was "\w+", is "\w+"'
            )
            with pytest.raises(BulkError, match=difference) as refused:
                planned(order(**of_other, resume=True), told)
    assert "onnx_sha256" not in str(refused.value)
    assert not [line for line in told if "engine" in line]


def test_a_server_that_is_not_there(order: Orders, fake: FakeTriton) -> None:
    told: list[str] = []
    planned(order(servers=Servers(urls=["127.0.0.1:9", fake.url], timeout_s=2.0)), told)
    assert told[0].startswith("127.0.0.1:9 is left out until it answers: ")
    with pytest.raises(ConnectError):
        planned(order(resume=True, servers=Servers(urls=["127.0.0.1:9"], timeout_s=2.0)))
