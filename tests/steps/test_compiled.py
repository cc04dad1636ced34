"""What processes compile, keep, share and bring along, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from llvmlite import binding

from tritonseg_steps.compiled import PORTABLE_CPU, PORTABLE_FEATURES, SHIPPED, is_portable

PROGRAM = """
import json, sys
import numpy as np
{before}
from tritonseg_steps.compiled import cache_directory
from tritonseg_steps.kernels import lowest_argmax
scores_chw = np.random.default_rng(1).standard_normal((5, 7, 9), np.float32)
classes_hw = np.empty((7, 9), np.uint8)
lowest_argmax(scores_chw, classes_hw)
stats = lowest_argmax.stats
print(json.dumps({{
    "hits": sum(stats.cache_hits.values()),
    "right": bool((classes_hw == scores_chw.argmax(axis=0)).all()),
    "folder": cache_directory().name,
    "path": stats.cache_path,
}}))
"""
EVERY_BIT = """
import hashlib
import numpy as np
from tritonseg_steps.float_antialiasing import antialiased_floats
from tritonseg_steps.geometry import Geometry
from tritonseg_steps.upsampling import class_map_from_scores
random = np.random.default_rng(1)
resized_hw = antialiased_floats(random.standard_normal((61, 83), np.float32), (23, 40), "bicubic")
scores_chw = random.standard_normal((7, 31, 29), np.float32)
class_map_hw = class_map_from_scores(scores_chw, Geometry((250, 333), (124, 116), (124, 116)))
print(hashlib.sha256(resized_hw.tobytes() + class_map_hw.tobytes()).hexdigest())
"""
NO_FOLDER = "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []"
ONE_FOLDER = """
import tritonseg_steps.compiled
from pathlib import Path
tritonseg_steps.compiled.cache_directory = lambda: Path(tritonseg_steps.compiled.CONFIG.CACHE_DIR)
"""
THIS_CPU = binding.get_host_cpu_name()
portable = pytest.mark.skipif(
    not is_portable(binding.get_host_cpu_features()), reason=f"this CPU is below {PORTABLE_CPU}"
)


def start(cache: Path, *, before: str = "", **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **variables}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    answer = json.loads(output)
    assert isinstance(answer, dict)
    assert answer["right"]
    return answer


def run(cache: Path, *, before: str = "", **variables: str) -> dict[str, Any]:
    return finish(start(cache, before=before, **variables))


def code_files(cache: Path) -> set[str]:
    return {str(file.relative_to(cache)) for file in cache.rglob("*.nbc")}


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert (first["hits"], second["hits"]) == (0, 1)
    assert first["folder"].startswith(f"{THIS_CPU}-")
    assert Path(first["path"]).is_relative_to(tmp_path / first["folder"])


def test_code_for_another_cpu_is_neither_loaded_nor_overwritten(tmp_path: Path) -> None:
    mine = run(tmp_path)
    other = run(tmp_path, NUMBA_CPU_NAME="generic")
    fewer = run(tmp_path, NUMBA_CPU_NAME=THIS_CPU, NUMBA_CPU_FEATURES="-avx512f")
    again = run(tmp_path)
    assert [one["hits"] for one in (mine, other, fewer, again)] == [0, 0, 0, 1]
    assert len({one["folder"] for one in (mine, other, fewer)}) == 3


def test_numba_itself_tells_cpus_apart_in_one_folder(tmp_path: Path) -> None:
    assert run(tmp_path, before=ONE_FOLDER, NUMBA_CPU_NAME="generic")["hits"] == 0
    assert run(tmp_path, before=ONE_FOLDER)["hits"] == 0
    assert run(tmp_path, before=ONE_FOLDER)["hits"] == 1
    assert len(code_files(tmp_path)) == 2


def test_processes_that_start_at_once_share_a_cache(tmp_path: Path) -> None:
    for process in [start(tmp_path) for _ in range(4)]:
        finish(process)
    assert len(code_files(tmp_path)) == 1
    assert run(tmp_path)["hits"] == 1


def test_without_a_folder_that_can_be_written_loops_run_all_the_same(tmp_path: Path) -> None:
    answer = run(tmp_path, before=NO_FOLDER)
    assert (answer["hits"], answer["path"]) == (0, None)
    assert not code_files(tmp_path)


@portable
def test_an_image_brings_its_code_along(tmp_path: Path) -> None:
    shipped, cache = tmp_path / "shipped", tmp_path / "cache"
    run(shipped, **{SHIPPED: str(shipped)})
    (code,) = code_files(shipped)
    assert code.startswith(f"{PORTABLE_CPU}-")
    started = [start(cache, **{SHIPPED: str(shipped)}) for _ in range(3)]
    assert [finish(process)["hits"] for process in started] == [1, 1, 1]
    assert code_files(cache) == {code}
    assert [entry.name for entry in cache.iterdir()] == [Path(code).parts[0]]


@portable
def test_the_code_of_an_image_gives_the_same_in_every_bit(tmp_path: Path) -> None:
    """As code for the first x86-64, which cannot join a product and a sum."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", EVERY_BIT],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / next(iter(kind))), **kind},
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in ({SHIPPED: str(tmp_path)}, {"NUMBA_CPU_NAME": "generic"})
    ]
    digests = {process.communicate(timeout=120)[0] for process in started}
    assert len(digests) == 1
    assert len(digests.pop()) == 65
    folders = {path.parts[0] for path in map(Path, code_files(tmp_path / SHIPPED))}
    assert {name.startswith(PORTABLE_CPU) for name in folders} == {True}


@portable
def test_where_the_code_cannot_be_copied_it_is_compiled(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    run(shipped, **{SHIPPED: str(shipped)})
    file = tmp_path / "file"
    file.touch()
    assert run(file / "cache", before=NO_FOLDER, **{SHIPPED: str(shipped)})["hits"] == 0


def test_an_older_cpu_does_not_get_the_code_of_an_image(tmp_path: Path) -> None:
    features = dict.fromkeys(PORTABLE_FEATURES, True)
    assert is_portable({**features, "avx512f": False})
    assert not is_portable({**features, "avx2": False})
    assert not is_portable(dict.fromkeys(PORTABLE_FEATURES - {"fma"}, True))
    shipped = tmp_path / "shipped"
    without_avx2 = (
        "from llvmlite import binding; features = binding.get_host_cpu_features();"
        "features['avx2'] = False; binding.get_host_cpu_features = lambda: features"
    )
    answer = run(shipped, before=without_avx2, **{SHIPPED: str(shipped)})
    assert answer["folder"].startswith(f"{THIS_CPU}-")
