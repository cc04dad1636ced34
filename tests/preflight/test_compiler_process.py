"""NVIDIA's compiler killed, crashed, too slow, out of memory: an error each, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import helper, numpy_helper

from planted_graphs import quantized
from residual_network import CLASSES, residual_network
from tritonseg_engines.preflight import (
    CompilerCrashedError,
    CompilerMemoryError,
    CompilerTimeoutError,
    Limits,
    PreflightUnavailableError,
    read_gpus,
)
from tritonseg_engines.preflight import compiler as compiler_module
from tritonseg_engines.preflight.compiler import PROGRAM
from tritonseg_engines.preflight.libraries import find_compiler
from tritonseg_engines.preflight.scratch import PREFIX
from tritonseg_engines.tensorrt import BatchRange, PlanOptions, PlanOptionsError
from tritonseg_engines.tensorrt._ahead_of_time import GRACE_S

HALF_A_GIB = 2**29
"""What the compiler's libraries and Python take, and little more."""


def compilers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.is_running() and PROGRAM in child.cmdline()
    ]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go; nothing may stay."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
    assert compilers() == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "was killed"),
        (signal.SIGSEGV, r"by SIGSEGV.*16\.0 GiB; --memory-limit"),
        (signal.SIGABRT, r"by SIGABRT.*16\.0 GiB; --memory-limit"),
    ],
)
def test_a_compiler_that_dies_is_an_error(ask, scratch, number: signal.Signals, words: str) -> None:
    def strike() -> None:
        while not (found := compilers()):
            time.sleep(0.01)
        found[0].send_signal(number)

    killer = threading.Thread(target=strike)
    killer.start()
    with pytest.raises(CompilerCrashedError, match=words) as caught:
        ask(residual_network())
    killer.join()
    assert "for sm_86" in str(caught.value)


def test_a_compiler_that_takes_too_long_is_stopped(ask, scratch) -> None:
    started = time.monotonic()
    with pytest.raises(CompilerTimeoutError, match=r"sm_86 after 0.2 s.*--time-limit"):
        ask(residual_network(), limits=Limits(seconds=0.2))
    assert time.monotonic() - started < 10


def test_a_compiler_without_memory_says_how_much_it_had(ask, scratch) -> None:
    model = residual_network()
    wide = np.zeros((4096, CLASSES, 64, 64), np.float32)  # 256 MiB
    model.graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    model.graph.node.append(
        helper.make_node("Conv", ["SCORES", "wide"], ["more"], "/wide", pads=[32] * 4)
    )
    model.graph.output[0].name = "more"
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    with pytest.raises(CompilerMemoryError, match=r"may take 0\.5 GiB; --memory-limit"):
        ask(model, limits=Limits(memory_bytes=HALF_A_GIB, seconds=60))


def test_a_compiler_without_memory_for_its_libraries_says_so_too(ask, scratch) -> None:
    with pytest.raises(CompilerMemoryError, match=r"0\.2 GiB; --memory-limit"):
        ask(residual_network(), limits=Limits(memory_bytes=2**28))


def test_a_full_disk_is_said(ask, scratch, monkeypatch) -> None:
    run = compiler_module._run

    def run_on_a_full_disk(compiler, arguments, *rest):
        Path(arguments[1]).symlink_to("/dev/full")
        return run(compiler, arguments, *rest)

    monkeypatch.setattr(compiler_module, "_run", run_on_a_full_disk)
    with pytest.raises(PreflightUnavailableError, match=r"no space left; .*TMPDIR"):
        ask(residual_network())


def test_a_folder_that_takes_no_files_is_said(ask, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(PreflightUnavailableError, match=r"No such file or directory.*TMPDIR"):
        ask(residual_network())


def test_a_name_is_no_reason(ask, scratch) -> None:
    """Neither for an error of ours nor for a cure."""
    model = quantized(zero=np.int8(5))
    model.graph.node[0].name = "out of memory: antialias, dilations"
    (verdict,) = ask(model).verdicts
    assert "node 'out of memory: antialias, dilations' (QuantizeLinear)" in verdict.refusal
    assert "TensorRT's int8 is symmetric" in verdict.refusal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_compiler_ends_with_who_asked_it(
    ask, tmp_path: Path, number: signal.Signals, monkeypatch
) -> None:
    """And the next one removes what it left."""
    onnx.save(residual_network(), tmp_path / "export.onnx")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    asking = subprocess.Popen(
        [Path(sys.executable).with_name("tritonseg"), "preflight", tmp_path / "export.onnx"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        # What runs the tests may ignore it, as nohup does.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else 0,
    )
    while not (found := compilers()):
        time.sleep(0.01)
    asking.send_signal(number)
    assert asking.wait(timeout=10) == -number
    _, alive = psutil.wait_procs(found, timeout=10)
    assert alive == []
    assert list(tmp_path.glob(f"{PREFIX}*"))
    assert ask(residual_network()).accepted
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_the_compiler_has_a_limit_of_its_own(ask, scratch, monkeypatch) -> None:
    """Should whoever asked not be there to end it."""
    request = compiler_module._request
    monkeypatch.setattr(
        compiler_module,
        "_request",
        lambda *arguments: {**request(*arguments), "seconds": 0.05 - GRACE_S},
    )
    with pytest.raises(CompilerTimeoutError, match="after 600 s"):
        ask(residual_network())


def test_bindings_without_their_library_are_named(ask, scratch, monkeypatch, tmp_path) -> None:
    empty = tmp_path / "libcudart.so.12.0"
    empty.write_bytes(b"no library")
    broken = find_compiler()
    monkeypatch.setattr(
        compiler_module,
        "find_compiler",
        lambda: type(broken)(
            bindings=broken.bindings,
            files=dict.fromkeys(broken.files, empty),
            version=broken.version,
        ),
    )
    with pytest.raises(PreflightUnavailableError, match="does not start: ImportError"):
        ask(residual_network())


def test_what_is_not_installed_has_a_command(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(PreflightUnavailableError, match=r"preflight.*171 MB.*licence, https"):
        find_compiler()


def test_batches_that_the_graph_does_not_take_are_no_refusal(ask, scratch) -> None:
    model = residual_network()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(PlanOptionsError, match="batch axis is fixed at 1"):
        ask(model, options=PlanOptions(batch=BatchRange(maximum=8)))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["sm_99"], "expected some of sm_75, .*, got 'sm_99'"),
        (["sm_90"], "no compiler for data-centre Hopper"),
        ([""], "got none"),
    ],
)
def test_gpus_have_names(names: list[str], words: str) -> None:
    with pytest.raises(PlanOptionsError, match=words):
        read_gpus(names)
