"""The command that a problem recommends is one that the command line takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tritonseg_engines.checksum import sha256_of
from tritonseg_engines.cli.build_command import command
from tritonseg_engines.rebuild import rebuild_command
from tritonseg_engines.zoo.street_demo import DEMO_NAME, DEMO_ONNX

TENSORRT = {"runtime": "tensorrt", "precision": "fp16"}
DEMO = {"runtime": "openvino", "precision": "int8", "onnx_sha256": sha256_of(DEMO_ONNX)}

COMMANDS: dict[str, tuple[dict[str, Any], str]] = {
    "published": (
        {"model": "fastseg-small", "layout": "ensemble", "provenance": TENSORRT},
        "fastseg-small --onnx FILE --runtime tensorrt --precision fp16",
    ),
    "not built yet": (
        {"model": "fastseg-small", "provenance": {"runtime": "tensorrt", "precision": "none"}},
        "fastseg-small --onnx FILE --runtime tensorrt",
    ),
    "one's own": (
        {"model": "mine", "layout": "fused", "provenance": TENSORRT},
        "SPEC.yaml --onnx FILE --runtime tensorrt --layout fused --precision fp16",
    ),
    "int8": (
        {"model": "mine", "layout": "single", "provenance": {**DEMO, "onnx_sha256": "0"}},
        "SPEC.yaml --onnx FILE --runtime openvino --precision int8 --calibration FOLDER",
    ),
    "upsampled as the export does": (
        {"model": "mine", "output": {"upsampling": "export"}, "provenance": TENSORRT},
        "SPEC.yaml --onnx FILE --runtime tensorrt --precision fp16 --upsampling export",
    ),
    "the demo": (
        {"model": DEMO_NAME, "layout": "ensemble", "provenance": DEMO},
        f"{DEMO_NAME} --runtime openvino --layout ensemble --precision int8",
    ),
    "another file of that name": (
        {"model": DEMO_NAME, "layout": "single", "provenance": {**DEMO, "onnx_sha256": "0"}},
        "SPEC.yaml --onnx FILE --runtime openvino --precision int8 --calibration FOLDER",
    ),
}


@pytest.mark.parametrize(("manifest", "arguments"), COMMANDS.values(), ids=COMMANDS)
def test_it_is_the_build_that_the_manifest_records(
    manifest: dict[str, Any], arguments: str, tmp_path: Path
) -> None:
    assert rebuild_command(manifest) == f"tritonseg build {arguments}"
    (tmp_path / "FOLDER").mkdir()
    words = shlex.split(rebuild_command(manifest, tmp_path / "my repository"))
    assert words[:2] == ["tritonseg", "build"]
    words = [str(tmp_path / word) if word == "FOLDER" else word for word in words]
    with click.Context(command) as context:
        command.parse_args(context, words[2:])
    assert context.params["repository"] == tmp_path / "my repository"
    assert context.params["model"] == words[2]


def test_the_demos_works_as_it_stands(tmp_path: Path) -> None:
    manifest = {**COMMANDS["the demo"][0], "provenance": {**DEMO, "precision": "fp32"}}
    words = shlex.split(rebuild_command(manifest, tmp_path / "r"))
    outcome = CliRunner().invoke(command, words[2:])
    assert outcome.exit_code == 0, outcome.output
