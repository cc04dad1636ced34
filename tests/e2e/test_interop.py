"""What docs/interop.md says of curl and tritonclient, line by line, against every layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from interop import (
    LAYOUTS,
    Served,
    build_layouts,
    fences,
    interop_config,
    run_bash,
    run_python,
    served,
)
from tiny_models import CLASSES, RESIZE, TinyModel, tiny_spec
from tritonseg_engines.cli.app import cli
from tritonseg_engines.serving import TritonServer

DEFAULT_LAYOUTS = ("ensemble", "single")


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("interop")
    export = folder / "export.onnx"
    onnx.save(TinyModel(tail=[RESIZE]).model(), export)
    spec = tiny_spec()
    build_layouts(spec, export, folder / "repository")
    with TritonServer(interop_config(folder / "repository")) as server:
        yield served(server, spec, export, folder)


@pytest.fixture
def curl() -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("needs curl and bash: apt-get install curl bash")


def bash_of(street: Served, heading: str, layout: str) -> str:
    (script,) = fences(heading, "bash")
    return street.written(script, layout)


@pytest.mark.usefixtures("curl")
class TestCurl:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_the_classes(self, street: Served, layout: str) -> None:
        line = fences("What goes in and out", "bash")[1]
        config = json.loads(run_bash(street.written(line, layout), street.folder))
        model = json.loads(config["parameters"]["tritonseg_model"]["string_value"])
        assert model["classes"] == [f"class {index}" for index in range(CLASSES)]

    @pytest.mark.parametrize("layout", DEFAULT_LAYOUTS)
    def test_a_file(self, street: Served, layout: str) -> None:
        run_bash(bash_of(street, "A file", layout), street.folder)
        street.check_file()

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_pixels(self, street: Served, layout: str) -> None:
        run_bash(bash_of(street, "Pixels", layout), street.folder)
        street.check_file()

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_json(self, street: Served, layout: str) -> None:
        run_bash(bash_of(street, "JSON", layout), street.folder)
        (output,) = json.loads((street.folder / "answer.json").read_text())["outputs"]
        street.check(np.array(output["data"], np.uint8).reshape(output["shape"])[0])

    def test_the_raw_body_where_there_is_one_input(self, street: Served) -> None:
        run_bash(bash_of(street, "Pixels", "fused"), street.folder)
        (street.folder / "mask.gray").unlink()
        run_bash(bash_of(street, "The raw body", "fused"), street.folder)
        street.check_file()

    @pytest.mark.parametrize("layout", DEFAULT_LAYOUTS)
    def test_the_raw_body_where_there_are_two(self, street: Served, layout: str) -> None:
        run_bash(bash_of(street, "Pixels", layout), street.folder)
        (street.folder / "mask.gray").unlink()
        with pytest.raises(AssertionError):
            run_bash(bash_of(street, "The raw body", layout), street.folder)
        refusal = (street.folder / "answer").read_text()
        assert "Raw request must only have 1 input (found 1) to be deduced but got 2" in refusal

    def test_a_block_that_gets_another_picture_fails(self, street: Served) -> None:
        """Or the checks above would hold nothing."""
        script = bash_of(street, "Pixels", "single")
        run_bash(script.replace("image.tofile", "image[::-1].tofile"), street.folder)
        with pytest.raises(AssertionError, match="pixels are not the export's"):
            street.check_file()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tritonclient_grpc(street: Served, layout: str) -> None:
    script = street.written(fences("gRPC", "python")[0], layout)
    street.check(run_python(script, street.folder))


@pytest.mark.parametrize("layout", DEFAULT_LAYOUTS)
def test_tritonclient_grpc_with_a_file_and_confidence(street: Served, layout: str) -> None:
    script = street.written(fences("gRPC", "python")[1], layout)
    street.check(run_python(f"{script}assert confidence.shape == class_map.shape", street.folder))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tritonclient_http(street: Served, layout: str, binary: bool) -> None:
    pytest.importorskip("gevent", reason="needs tritonclient[http]")
    (script,) = fences("HTTP", "python")
    assert script.count("binary_data=True") == 2
    script = script.replace("binary_data=True", f"binary_data={binary}")
    street.check(run_python(street.written(script, layout), street.folder))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_system_shared_memory(street: Served, layout: str) -> None:
    (script,) = fences("Shared memory", "python")
    street.check(run_python(street.written(script, layout), street.folder))
    left = {path.name for path in Path("/dev/shm").glob("street_*")}
    assert not left & {"street_pixels", "street_mask"}


def perf_input(street: Served, layout: str, *options: str) -> Result:
    arguments = [str(street.folder / "pictures"), "-o", str(street.folder / "perf.json")]
    server = ["--model", f"street-{layout}", "--url", street.server.grpc_url]
    return CliRunner().invoke(cli, ["perf-input", *arguments, "--overwrite", *server, *options])


@pytest.mark.parametrize("transport", ["raw", "encoded"])
def test_perf_input_that_a_model_takes(street: Served, transport: str) -> None:
    outcome = perf_input(street, "single", "--transport", transport)
    assert outcome.exit_code == 0, outcome.output
    url, output = street.server.grpc_url, street.folder / "perf.json"
    line = f"perf_analyzer -m street-single -u {url} -i grpc --input-data {output}"
    assert outcome.output.splitlines()[-1] == f"next: {line}"


def test_perf_input_that_it_does_not(street: Served) -> None:
    assert perf_input(street, "fused").exit_code == 0
    written = (street.folder / "perf.json").read_bytes()
    outcome = perf_input(street, "fused", "--transport", "encoded")
    assert outcome.exit_code == 1
    assert "'street-fused' takes pixels, not files; give --transport raw" in outcome.stderr
    other = street.folder / "pictures" / "other.png"
    Image.new("RGB", (20, 10)).save(other)
    outcome = perf_input(street, "fused")
    other.unlink()
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"Error: {other}: ")
    assert "Expected [-1,64,96,3], got [1,10,20,3]" in outcome.stderr
    assert (street.folder / "perf.json").read_bytes() == written
