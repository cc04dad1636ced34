"""`tritonseg tune` against real servers: what it finds, and that it leaves everything as it was."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from click.testing import CliRunner

from own_mask import own_mask
from stepped_queue import Steps
from tiny_models import SIZE_HW, TinyModel, tiny_spec
from tritonseg import SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_engines.cli.app import cli
from tritonseg_engines.load_test.result import LoadResult
from tritonseg_engines.serving import TritonServer
from tritonseg_engines.tuning.candidate import Candidate, Measured
from tritonseg_engines.tuning.contest import contest
from tritonseg_engines.tuning.trial import PREFIX, refuse_ended, served
from tritonseg_engines.tuning.variant import read_variants

pytestmark = pytest.mark.e2e
LAYOUTS = ("ensemble", "single")
INTERRUPTS = 5
Regions = Callable[[int], list[str]]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tune")
    onnx.save(TinyModel().model(), folder / "tiny.onnx")
    for layout in LAYOUTS:
        build_model(tiny_spec(), folder / "tiny.onnx", folder / layout, layout=layout)
    return {layout: folder / layout for layout in LAYOUTS}


def digest(folder: Path) -> str:
    """Return a digest of all names and contents below a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


def tune(repositories: dict[str, Path], out: Path, *options: str) -> subprocess.Popen[str]:
    folders = [word for path in repositories.values() for word in ("--repository", str(path))]
    command = ["tune", "tiny", "--latency-ms", "2000", "--loader", "built-in", "-o", str(out)]
    return subprocess.Popen(
        [sys.executable, "-m", "tritonseg", *command, *folders, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(out.parent)},
        start_new_session=True,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tuned_model_gives_the_exports_masks(repositories: dict[str, Path], layout: str) -> None:
    (variant,) = read_variants("tiny", [repositories[layout]])
    steps = {"normalize_instances": 2, "argmax_instances": 2} if layout == "ensemble" else {}
    settings = replace(variant.settings, engine_instances=2, engine_threads=1, **steps)
    assert settings != variant.settings
    picture = np.random.default_rng(5).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    onnx_path = repositories[layout].parent / "tiny.onnx"
    expected, stable = own_mask(onnx_path, tiny_spec(), picture)
    candidate = Candidate(variant=variant, settings=settings)
    with served(candidate) as server, SegmentationClient(server.grpc_url, model="tiny") as client:
        masks = [client.segment(picture).class_map for _ in range(4)]
    assert stable.mean() > 0.9
    for mask in masks:
        assert np.array_equal(mask[stable], expected[stable])


def test_it_writes_a_report_and_changes_nothing(
    repositories: dict[str, Path], tmp_path: Path, shm_regions: Regions
) -> None:
    before = {layout: digest(path) for layout, path in repositories.items()}
    process = tune(repositories, tmp_path / "out", "--max-minutes", "0.5")
    output, _ = process.communicate(timeout=180)
    assert not shm_regions(process.pid)
    assert process.returncode == 0, output
    assert {layout: digest(path) for layout, path in repositories.items()} == before
    document = json.loads((tmp_path / "out" / "tune.json").read_text())
    tried = [one["configuration"] for one in document["searched"]]
    assert tried[:2] == ["ensemble fp32, as it is", "single fp32, as it is"]
    assert document["recommended"] in tried
    assert document["measured_by"].startswith("built-in")
    recommended = next(
        one for one in document["in_turns"] if one["configuration"] == document["recommended"]
    )
    assert (
        recommended["goodput_per_s"] == max(one["goodput_per_s"] for one in document["in_turns"])
        or document["keeps_default"]
    )
    assert "today:" in output
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_copy_and_no_server(
    repositories: dict[str, Path], tmp_path: Path, number: signal.Signals
) -> None:
    process = tune(repositories, tmp_path / "out", "--max-minutes", "5")
    while not list(tmp_path.glob(f"{PREFIX}*/models/*")):
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, list(tmp_path.iterdir())) == (128 + number, [])
    assert output.endswith(f"stopped by {number.name}\n")
    assert not psutil.wait_procs(family, timeout=10)[1]


def test_ctrl_c_at_any_time_leaves_everything_as_it_was(
    repositories: dict[str, Path], tmp_path: Path, shm_regions: Regions
) -> None:
    before = {layout: digest(path) for layout, path in repositories.items()}
    chance = random.Random(time.time_ns())
    for _ in range(INTERRUPTS):
        process = tune(repositories, tmp_path / "out", "--max-minutes", "5", "--apply")
        wait_s = chance.uniform(0.5, 12)
        time.sleep(wait_s)
        family = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130, (wait_s, output)
        assert output.rstrip().endswith("stopped by Ctrl-C"), (wait_s, output)
        assert {layout: digest(path) for layout, path in repositories.items()} == before, wait_s
        assert not list(tmp_path.iterdir()), wait_s
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, (wait_s, alive)
        assert not shm_regions(process.pid), wait_s
    assert not (tmp_path / "out").exists()


def test_a_crash_leaves_the_repository_and_no_server(
    repositories: dict[str, Path], tmp_path: Path
) -> None:
    before = {layout: digest(path) for layout, path in repositories.items()}
    process = tune(repositories, tmp_path / "out", "--max-minutes", "5")
    deadline = time.monotonic() + 60
    family: list[psutil.Process] = []
    while time.monotonic() < deadline and not any(one.name() == "tritonserver" for one in family):
        time.sleep(0.2)
        family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert {layout: digest(path) for layout, path in repositories.items()} == before


def test_a_finalist_whose_server_dies_is_left_out_and_said(repositories: dict[str, Path]) -> None:
    entrants = []
    for path in (repositories["ensemble"], repositories["single"]):
        (variant,) = read_variants("tiny", [path])
        entrants.append(Measured(candidate=Candidate.as_built(variant), by_callers={}))
    result = Steps((1.0, 1.0, 1.0), 100.0).result(entrants[0].candidate, 1)

    def measure(server: TritonServer, one: Measured) -> LoadResult:
        if one is entrants[1]:
            os.kill(server.pid, signal.SIGKILL)
            server.wait(timeout_s=10)
        refuse_ended(server)
        return result

    contestants, dropped = contest(entrants, measure, has_time=lambda: True)
    assert [(one.candidate, len(one.turns)) for one in contestants] == [(entrants[0].candidate, 3)]
    assert len(dropped) == 1
    assert "single fp32, as it is, in turns: could not be measured: its server ended" in dropped[0]
    log = Path(dropped[0].rpartition(" ")[2])
    assert log.is_file()
    shutil.rmtree(log.parent)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--latency-ms", "nan"], "expected a finite number, got nan"),
        (["--latency-ms", "300", "--max-minutes", "nan"], "expected a finite number, got nan"),
        (["--latency-ms", "300", "--repository", "missing"], "holds no model 'tiny'"),
        (["--latency-ms", "300", "--pictures", "{no_picture}"], "expected a picture"),
        (["--latency-ms", "300", "--pictures", "{folder}"], "holds no picture"),
        (["--latency-ms", "300", "-o", "{no_picture}/out"], "Not a directory"),
    ],
)
def test_what_is_wrong_is_said_before_servers_start(
    repositories: dict[str, Path], tmp_path: Path, options: list[str], said: str
) -> None:
    no_picture = tmp_path / "notes.png"
    no_picture.write_text("no picture")
    (folder := tmp_path / "no pictures").mkdir()
    words = [word.format(no_picture=no_picture, folder=folder) for word in options]
    if "--repository" not in words:
        words += ["--repository", str(repositories["single"])]
    outcome = CliRunner().invoke(cli, ["tune", "tiny", "-o", str(tmp_path / "out"), *words])
    assert outcome.exit_code != 0
    assert said in outcome.output
    assert "pictures/s" not in outcome.output
