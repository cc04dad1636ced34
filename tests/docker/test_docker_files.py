"""The image definitions as text: linted, consistent with each other and with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dockerfiles import DOCKER, context_files, stages
from tritonseg_engines.repository import Deployment, Engine, Provenance, write_model
from tritonseg_engines.repository.shared_memory import shared_memory_mib
from tritonseg_engines.target import Runtime, ServingLayout
from tritonseg_engines.zoo.street_demo import demo_spec
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.upsampling import Upsampling

PROJECT = DOCKER.parent
BIN = Path(sys.executable).parent
DOCKERFILES = ["Dockerfile.build", "Dockerfile.cpu", "Dockerfile.server"]
SERVERS = ["Dockerfile.cpu", "Dockerfile.server"]
PROFILES = ["cpu", "gpu"]


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text())[
        "services"
    ]
    return found


def lint(tool: str, *arguments: object, text: str | None = None) -> None:
    if not (BIN / tool).exists():
        pytest.skip(f"needs {tool}, of the dependency group `docker`")
    command = [str(BIN / tool), *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_dockerfiles_are_looked_at() -> None:
    assert sorted(path.name for path in DOCKER.glob("Dockerfile*")) == DOCKERFILES


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_no_objection(name: str) -> None:
    lint("hadolint", DOCKER / name)


def test_compose_files_are_of_the_compose_specification() -> None:
    files = sorted(DOCKER.glob("compose*.yaml"))
    assert len(files) == 3
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)


@pytest.mark.parametrize(
    "script", ["docker/helm/tritonseg/files/build_engines.sh", "scripts/deploy_tools.sh"]
)
def test_shellcheck_has_no_objection_to_scripts(script: str) -> None:
    lint("shellcheck", PROJECT / script)


def test_the_charts_values_fit_their_schema() -> None:
    schema = DOCKER / "helm" / "tritonseg" / "values.schema.json"
    lint("check-jsonschema", "--check-metaschema", schema)
    lint("check-jsonschema", "--schemafile", schema, DOCKER / "helm" / "tritonseg" / "values.yaml")


@pytest.mark.parametrize("profile", PROFILES)
def test_shellcheck_has_no_objection_to_what_the_job_runs(
    services: dict[str, dict[str, Any]], profile: str
) -> None:
    shell, options, script = services[f"build-{profile}"]["entrypoint"]
    assert (shell, options) == ("/bin/sh", "-ec")
    declared = "export MODEL RUNTIME\n"
    lint("shellcheck", "--shell=sh", "-", text=declared + script.replace("$$", "$"))


def test_both_servers_have_one_entrypoint() -> None:
    """Of options that the command has: the next tests run it."""
    cpu, server = (stages(name)[-1].command("ENTRYPOINT") for name in SERVERS)
    assert cpu == server
    assert cpu[:2] == ["tritonseg", "serve"]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_as_nobody_and_writes_to_tmp(name: str) -> None:
    last = stages(name)[-1]
    assert last.of("USER") == ["1000:1000"]
    environment = last.environment()
    places = {value for key, value in environment.items() if key in {"HOME", "NUMBA_CACHE_DIR"}}
    assert places == {"/tmp", "/tmp/numba"}
    assert [keyword for keyword, _ in last.instructions].count("ADD") == 0


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_image_brings_compiled_loops_where_it_looks_for_them(name: str) -> None:
    found = stages(name)
    folder = found[-1].environment()["TRITONSEG_COMPILED"]
    (command,) = (
        text
        for stage in found
        for text in stage.of("RUN")
        if "tritonseg_steps.compile_ahead" in text
    )
    assert command.startswith(f"TRITONSEG_COMPILED={folder} NUMBA_CACHE_DIR={folder} ")


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_image_has_no_compiler_and_no_sources(name: str) -> None:
    last = stages(name)[-1]
    installed = " ".join(last.of("RUN"))
    assert not re.search(r"\b(gcc|g\+\+|clang|build-essential|make|cmake)\b", installed)
    assert all(copied.startswith("--from=") for copied in last.of("COPY"))


def test_build_and_server_are_of_one_release() -> None:
    texts = [(DOCKER / f"Dockerfile.{name}").read_text() for name in ("build", "server")]
    defaults = [re.findall(r"^ARG TRITON_RELEASE=(.+)$", text, re.MULTILINE) for text in texts]
    assert defaults[0] == defaults[1]
    (release,) = defaults[0]
    # Source: the bulletins and fixes in python_backend and core that are first in 26.04 to 26.07.
    assert tuple(map(int, release.split("."))) >= (26, 7)
    compose = (DOCKER / "compose.yaml").read_text()
    assert set(re.findall(r"TRITON_RELEASE:-([\d.]+)", compose)) == {release}


def test_numpy_fits_the_triton_of_its_image() -> None:
    """Triton on PyPI is 2.51, whose Python backend makes empty tensors of NumPy 2."""

    def pinned(name: str) -> dict[str, str]:
        lines = (DOCKER / f"constraints.{name}.txt").read_text().splitlines()
        return dict(line.split("==") for line in lines if not line.startswith("#"))

    cpu, gpu = pinned("cpu"), pinned("gpu")
    assert (cpu["numpy"].split(".")[0], gpu["numpy"].split(".")[0]) == ("1", "2")
    # Masks follow these, so one build must give the same in every image.
    for package in ("opencv-python-headless", "openvino", "numba", "pillow"):
        assert cpu[package] == gpu[package]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_server_waits_for_the_engines_and_is_closed(
    services: dict[str, dict[str, Any]], profile: str
) -> None:
    server, job = services[f"server-{profile}"], services[f"build-{profile}"]
    condition = {"condition": "service_completed_successfully"}
    assert server["depends_on"] == {f"build-{profile}": condition}
    assert server["profiles"] == job["profiles"] == [profile]
    assert server["command"] == ["${TRITONSEG_MODEL:-street-demo}"]
    assert server["read_only"] is True
    assert server["cap_drop"] == job["cap_drop"] == ["ALL"]
    assert "exec" in server["tmpfs"][0].split(":")[1].split(",")
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    (drain_s,) = (
        int(word.partition("=")[2])
        for word in stages("Dockerfile.cpu")[-1].command("ENTRYPOINT")
        if word.startswith("--drain-timeout")
    )
    # The keeper adds 15 s for Triton's own end.
    assert int(server["stop_grace_period"].removesuffix("s")) > drain_s + 15


def test_shared_memory_is_what_the_formula_says_for_the_demo(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    layouts = {
        "cpu": (Runtime.OPENVINO, ServingLayout.SINGLE, "model.onnx"),
        "gpu": (Runtime.TENSORRT, ServingLayout.ENSEMBLE, "model.plan"),
    }
    for profile, (runtime, layout, file) in layouts.items():
        repository = tmp_path / profile
        write_model(repository, demo_as_built(runtime, layout, file), None, {})
        size = f"${{TRITONSEG_SHM_SIZE:-{shared_memory_mib(repository)}m}}"
        assert services[f"server-{profile}"]["shm_size"] == size


def demo_as_built(runtime: Runtime, layout: ServingLayout, file: str) -> Deployment:
    """What the job writes configs from, at the demo's stride of 4; only the engine is missing."""
    spec = demo_spec()
    height, width = spec.input.size_hw or (0, 0)
    engine = Engine(
        file=file,
        sizes=NetworkSizes(height=height, width=width),
        output_dims=(len(spec.classes), height // 4, width // 4),
        upsampling=Upsampling(),
    )
    provenance = replace(Provenance.not_built(runtime), engine_sha256="0" * 64)
    return Deployment(spec=spec, engine=engine, provenance=provenance, layout=layout)


def test_a_wheel_can_be_made_of_what_dockerignore_lets_through(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    tracked = [PROJECT / line for line in listed.stdout.splitlines()]
    names = {path.relative_to(PROJECT).as_posix() for path in context_files(tracked, PROJECT)}
    assert {"pyproject.toml", "README.md", "LICENSE", "docker/constraints.cpu.txt"} <= names
    sources = ("client/tritonseg/", "steps/tritonseg_steps/", "build_engines/tritonseg_engines/")
    wanted = {
        path.relative_to(PROJECT).as_posix()
        for path in tracked
        if path.relative_to(PROJECT).as_posix().startswith(sources)
    }
    assert wanted <= names
    assert not any(name.startswith(("tests/", "model_repository/", "docs/")) for name in names)
