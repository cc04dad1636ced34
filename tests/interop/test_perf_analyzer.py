"""NVIDIA's perf_analyzer by the lines of docs/interop.md; every answer it got is compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo_model.scenes import draw_scene
from interop import LAYOUTS, Served, fences, run_bash
from tritonseg import SegmentationClient

REQUESTS = 6
OTHER_HW = (150, 260)
OUTPUTS = re.compile(rb'"response_outputs":\[(\{[^{}]*\})\]')
DEFAULT_LAYOUTS = ("ensemble", "single")

Answers = list[dict[str, np.ndarray]]
Measure = Callable[[str, str], Answers]


def lines(block: int) -> tuple[list[str], list[str]]:
    """Return the commands of a block of the page: ours, and perf_analyzer's."""
    every = fences("perf_analyzer", "bash")[block].splitlines()
    return (
        [line for line in every if line.startswith("tritonseg perf-input ")],
        [line for line in every if line.startswith("perf_analyzer ")],
    )


PIXELS, CONFIDENCE, FILES = (lines(block) for block in range(3))


@pytest.fixture
def perf_path(tools: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join([str(tools / "bin"), os.environ["PATH"]])}


@pytest.fixture
def measure(street: Served, perf_path: dict[str, str]) -> Measure:
    """Run a line, asking for few requests and for what was answered."""

    def run(line: str, layout: str) -> Answers:
        exported = street.folder / "answers.json"
        exported.unlink(missing_ok=True)
        few = f" --request-count {REQUESTS} --profile-export-file {exported.name}"
        run_bash(street.written(line, layout) + few, street.folder, perf_path)
        # By their braces: files stand in it as they are, so that the whole is no JSON.
        outputs = [json.loads(found) for found in OUTPUTS.findall(exported.read_bytes())]
        assert len(outputs) >= REQUESTS
        return [
            {name: np.array(values or [], np.int64) for name, values in output.items()}
            for output in outputs
        ]

    return run


@pytest.fixture
def write_input(street: Served) -> Callable[[list[str], str], None]:
    """Run our line for a layout, with a picture of another size where that is taken."""

    def write(commands: list[str], layout: str) -> None:
        other = street.folder / "pictures" / "other.png"
        if layout == "fused":
            other.unlink(missing_ok=True)
        else:
            drawn = draw_scene(12, height=OTHER_HW[0], width=OTHER_HW[1]).image_hwc
            Image.fromarray(drawn).save(other)
        (command,) = commands
        url = f" --overwrite --url {street.server.grpc_url}"
        run_bash(street.written(command, layout) + url, street.folder)

    return write


def check(street: Served, layout: str, answers: Answers) -> None:
    """Hold every mask against the export; those of the other size against our client's."""
    pixels = [answer["CLASS_MAP"].size for answer in answers]
    assert street.expected_hw.size in pixels
    assert layout == "fused" or OTHER_HW[0] * OTHER_HW[1] in pixels
    for answer in answers:
        class_map = answer["CLASS_MAP"].astype(np.uint8)
        if class_map.size == street.expected_hw.size:
            street.check(class_map.reshape(street.expected_hw.shape))
            continue
        with SegmentationClient(street.server.grpc_url, model=f"street-{layout}") as client:
            expected = client.segment(street.folder / "pictures" / "other.png").class_map
        assert np.array_equal(class_map.reshape(OTHER_HW), expected)


@pytest.mark.parametrize("line", PIXELS[1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels(
    street: Served, measure: Measure, write_input: Callable[..., None], layout: str, line: str
) -> None:
    write_input(PIXELS[0], layout)
    check(street, layout, measure(line, layout))


@pytest.mark.parametrize("line", FILES[1])
@pytest.mark.parametrize("layout", DEFAULT_LAYOUTS)
def test_files(
    street: Served, measure: Measure, write_input: Callable[..., None], layout: str, line: str
) -> None:
    write_input(FILES[0], layout)
    check(street, layout, measure(line, layout))


@pytest.mark.parametrize("layout", DEFAULT_LAYOUTS)
def test_confidence(
    street: Served, measure: Measure, write_input: Callable[..., None], layout: str
) -> None:
    write_input(PIXELS[0], layout)
    (line,) = CONFIDENCE[1]
    answers = measure(line, layout)
    check(street, layout, answers)
    for answer in answers:
        assert answer["CONFIDENCE"].size == answer["CLASS_MAP"].size
        assert answer["CLASS_PIXELS"].size == 0  # which nobody asked for


def refused(command: str, street: Served, path: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=street.folder,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


@pytest.mark.parametrize("layout", DEFAULT_LAYOUTS)
def test_without_data_it_sends_both_inputs(
    street: Served, perf_path: dict[str, str], layout: str
) -> None:
    line = "perf_analyzer -m street-demo -u localhost:8001 -i grpc --shape IMAGE:512,1024,3"
    answer = refused(street.written(line, layout), street, perf_path)
    assert "expected either IMAGE or ENCODED_IMAGE, got both" in answer


def test_without_data_where_there_is_one_input(street: Served, perf_path: dict[str, str]) -> None:
    line = "perf_analyzer -m street-demo -u localhost:8001 -i grpc --request-count 2"
    assert "throughput" in run_bash(street.written(line, "fused"), street.folder, perf_path)


def test_pictures_of_two_sizes_are_no_batch(
    street: Served, perf_path: dict[str, str], write_input: Callable[..., None]
) -> None:
    write_input(PIXELS[0], "single")
    answer = refused(street.written(f"{PIXELS[1][0]} -b 2", "single"), street, perf_path)
    assert "can not batch tensors with different shapes together" in answer


SHARED_MEMORY = " --shared-memory system"


@pytest.mark.parametrize("layout", DEFAULT_LAYOUTS)
def test_shared_memory_where_inputs_are_optional(
    street: Served, perf_path: dict[str, str], write_input: Callable[..., None], layout: str
) -> None:
    write_input(PIXELS[0], layout)
    line = street.written(PIXELS[1][0], layout) + SHARED_MEMORY
    assert "does not support optional inputs" in refused(line, street, perf_path)


def test_shared_memory_where_they_are_not(
    street: Served, perf_path: dict[str, str], write_input: Callable[..., None]
) -> None:
    write_input(PIXELS[0], "fused")
    line = street.written(PIXELS[1][0], "fused") + SHARED_MEMORY + " --request-count 2"
    assert "throughput" in run_bash(line, street.folder, perf_path)
