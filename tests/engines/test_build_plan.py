"""A build for TensorRT on a machine with a GPU: what is served was judged, or nothing is written.

On a stand-in for TensorRT whose plans are ONNX files; see `tensorrt_runtime_double`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from residual_network import SIZE_HW, residual_network, residual_spec, write_pictures
from tensorrt_double import Scenario, tensorrt_double
from tensorrt_machines import L4_MACHINE, TENSORRT_VERSION
from tensorrt_runtime_double import HostDevice
from tritonseg_engines.build import model as build_module
from tritonseg_engines.build.model import BuildReport, build_model
from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.gate.thresholds import GateError
from tritonseg_engines.tensorrt import check_manifest, loaded_plan

Build = Callable[..., BuildReport]


@pytest.fixture
def build(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    api = json.loads((shared / "tensorrt" / "api" / f"{TENSORRT_VERSION}.json").read_text())
    monkeypatch.setattr(build_module, "inspect_machine", lambda: L4_MACHINE)
    monkeypatch.setattr(loaded_plan, "CudaDevice", HostDevice)
    onnx.save(residual_network(), tmp_path / "export.onnx")
    pictures = write_pictures(tmp_path / "pictures", 3)

    def build(plan: bytes | None, *, layout: str = "ensemble", accept: bool = False) -> BuildReport:
        shape = (-1, 3, *SIZE_HW) if layout == "ensemble" else (-1, *SIZE_HW, 3)
        scenario = Scenario(plan=plan, input_shape=shape)
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(api, scenario))
        return build_model(
            residual_spec(),
            tmp_path / "export.onnx",
            tmp_path / "repository",
            precision="fp16",
            runtime="tensorrt",
            layout=layout,
            options=BuildOptions(pictures=pictures, accept=accept),
        )

    return build


@pytest.mark.parametrize("layout", ["ensemble", "fused"])
def test_the_verdict_is_that_on_the_plan(build: Build, layout: str) -> None:
    report = build(None, layout=layout)
    assert report.note is None
    assert report.gate.verdict == "passed"
    assert report.gate.facts["built network ran in"] == "TensorRT 10.16.1.11 on NVIDIA L4"
    manifest = json.loads((report.model / "1" / "manifest.json").read_text())
    assert manifest["gate"]["facts"] == report.gate.facts
    assert check_manifest(manifest, L4_MACHINE) == []
    assert "TensorRT 10.16.1.11 on NVIDIA L4" in report.report.read_text()


def test_a_plan_with_other_masks_is_not_written(build: Build, tmp_path: Path) -> None:
    wrong = residual_network(seed=1).SerializeToString()
    with pytest.raises(GateError, match=r"No engine was written; see .*residual\.fp16\.refused"):
        build(wrong)
    assert not (tmp_path / "repository").exists()
    refused = json.loads((tmp_path / "residual.fp16.refused.json").read_text())
    assert refused["verdict"] == "refused"
    assert refused["facts"]["built network ran in"].startswith("TensorRT")


def test_an_older_model_stays_if_the_new_plan_is_refused(build: Build) -> None:
    older = build(None).model
    content = (older / "1" / "manifest.json").read_bytes()
    with pytest.raises(GateError):
        build(residual_network(seed=1).SerializeToString())
    assert (older / "1" / "manifest.json").read_bytes() == content


def test_a_plan_with_other_masks_is_written_on_demand(build: Build) -> None:
    report = build(residual_network(seed=1).SerializeToString(), accept=True)
    assert report.gate.verdict == "accepted"
    manifest = json.loads((report.model / "1" / "manifest.json").read_text())
    assert manifest["gate"]["verdict"] == "accepted"
