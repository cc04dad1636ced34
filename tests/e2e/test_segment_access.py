"""`tritonseg segment` and servers that ask who is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tls_server import secured
from tritonseg.testing import FakeTriton
from tritonseg_engines.cli.app import cli

SECRET = "s3cr3t-and-long"


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton() as triton:
        yield triton


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 6, 3), 7, np.uint8)).save(path)
    return path


def segment(picture: Path, *arguments: object, environment: dict[str, str] | None = None) -> Result:
    words = ["segment", str(picture), "-o", str(picture.parent / "out"), *map(str, arguments)]
    return CliRunner().invoke(cli, words, env=environment)


def test_headers(triton: FakeTriton, picture: Path) -> None:
    outcome = segment(
        picture, "--model", "street-demo", "--url", triton.url, "--header", f"X-Key={SECRET}=="
    )
    assert outcome.exit_code == 0, outcome.output
    assert triton.requests[-1].headers["x-key"] == f"{SECRET}=="
    assert SECRET not in outcome.output


@pytest.mark.parametrize("header", ["x-key", "=value", ""])
def test_headers_that_are_none(triton: FakeTriton, picture: Path, header: str) -> None:
    outcome = segment(picture, "--model", "street-demo", "--header", header)
    assert outcome.exit_code == 2
    assert "expected NAME=VALUE" in outcome.output


def test_settings_from_the_environment(triton: FakeTriton, picture: Path) -> None:
    variables = {"TRITONSEG_URL": triton.url, "TRITONSEG_MODEL": "street-demo"}
    outcome = segment(picture, environment=variables)
    assert outcome.exit_code == 0, outcome.output
    assert len(triton.requests) == 1


def test_token_over_tls(triton: FakeTriton, picture: Path, tmp_path: Path) -> None:
    with secured(triton, tmp_path) as (address, _):
        outcome = segment(
            picture, "--model", "street-demo", "--url", address,
            "--ca", tmp_path / "certificate.pem",
            environment={"TRITONSEG_TOKEN": SECRET},
        )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert triton.requests[-1].headers["authorization"] == f"Bearer {SECRET}"


def test_certificate_of_the_clients_own(triton: FakeTriton, picture: Path, tmp_path: Path) -> None:
    own = ("--cert", tmp_path / "certificate.pem", "--key", tmp_path / "key.pem")
    with secured(triton, tmp_path, asks_for_certificate=True) as (address, _):
        known = ("--model", "street-demo", "--url", address, "--ca", tmp_path / "certificate.pem")
        assert segment(picture, *known, "--timeout", 2).exit_code == 1
        assert segment(picture, *known, *own).exit_code == 0
    outcome = segment(picture, *known, *own[:2])
    assert outcome.exit_code == 1
    assert "--cert and --key go together" in outcome.output


def test_token_in_the_clear_is_refused(triton: FakeTriton, picture: Path) -> None:
    outcome = segment(
        picture, "--model", "street-demo", "--url", triton.url,
        environment={"TRITONSEG_TOKEN": SECRET},
    )  # fmt: skip
    assert outcome.exit_code == 1
    assert "token= goes over an encrypted connection only" in outcome.output
    assert SECRET not in outcome.output
    assert not triton.requests


@pytest.mark.parametrize(
    ("variable", "value", "match"),
    [
        ("TRITONSEG_MODEL_VERSION", "7", "version 7"),
        ("TRITONSEG_MODEL_VERSION", "latest", "'latest' is not a valid integer"),
        ("TRITONSEG_TIMEOUT_S", "abc", "'abc' is not a valid float"),
    ],
)
def test_environment_is_not_passed_over(
    triton: FakeTriton, picture: Path, variable: str, value: str, match: str
) -> None:
    outcome = segment(
        picture, "--model", "street-demo", "--url", triton.url, environment={variable: value}
    )
    assert outcome.exit_code != 0
    assert match in outcome.output


def test_pictures_of_other_formats_are_named(triton: FakeTriton, picture: Path) -> None:
    other = picture.parent / "anim.GIF"
    other.write_bytes(b"GIF89a")
    outcome = segment(picture.parent, "--model", "street-demo", "--url", triton.url)
    assert outcome.exit_code == 0, outcome.output
    assert f"left out, of a format that is not read: {other}" in outcome.stderr


def test_the_only_picture_that_fails_has_a_document(triton: FakeTriton, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    outcome = segment(broken, "--model", "street-demo", "--url", triton.url, "--json")
    assert outcome.exit_code == 1
    assert json.loads(outcome.stdout)["kind"] == "ImageDecodeError"
