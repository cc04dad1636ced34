"""Running a plan, on the surface of each version; see `tensorrt_runtime_double` for what that is.

The numbers are ONNX Runtime's on both sides; what is tested is that every byte goes where it
should, and that what cannot be right is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tensorrt_double import Scenario, tensorrt_double
from tensorrt_runtime_double import HostDevice, Running
from tiny_models import ARGMAX, CAST, SIZE_HW, TinyModel, run_onnx
from tritonseg_engines.tensorrt import (
    EngineIncompatibleError,
    Gpu,
    PlanInputError,
    TensorRTError,
    TensorRTUnavailableError,
)
from tritonseg_engines.tensorrt.loaded_plan import LoadedPlan, load_plan
from tritonseg_engines.tensorrt.timing import PlanTiming, time_plan

VERSIONS = ("8.6.0", "10.16.1.11", "11.4.0.106")
GPU = Gpu(
    name="NVIDIA L4",
    compute_capability="8.9",
    memory_bytes=24 * 2**30,
    driver_version="570.86.15",
    cuda_version="12.8",
)
Load = Callable[..., AbstractContextManager[LoadedPlan]]


@pytest.fixture(params=VERSIONS)
def load(
    request: pytest.FixtureRequest, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Load:
    api = json.loads((shared / "tensorrt" / "api" / f"{request.param}.json").read_text())

    @contextmanager
    def load(
        model: onnx.ModelProto | bytes, running: Running | None = None, **keywords: Any
    ) -> Iterator[LoadedPlan]:
        scenario = Scenario(runs=running or Running())
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_double(api, scenario))
        path = tmp_path / "model.plan"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        keywords = {"device": HostDevice(), **keywords}
        with load_plan(path, gpu=GPU, **keywords) as plan:
            yield plan

    return load


def batch(count: int = 1, seed: int = 0) -> np.ndarray:
    shape = (count, 3, *SIZE_HW)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_scores_are_the_networks_at_every_batch(load: Load) -> None:
    model, device = TinyModel().model(), HostDevice()
    with load(model, device=device) as plan:
        for count, seed in ((1, 1), (3, 2), (8, 3), (8, 4), (1, 5)):
            expected = run_onnx(model, batch(count, seed))
            np.testing.assert_array_equal(plan.infer(batch(count, seed)), expected)
    assert device.buffers == 2 * 4  # two tensors; the second batch of eight needed none


def test_an_array_that_is_not_contiguous_is_read_as_what_it_means(load: Load) -> None:
    model = TinyModel().model()
    transposed = np.asfortranarray(batch())
    with load(model) as plan:
        np.testing.assert_array_equal(plan.infer(transposed), run_onnx(model, batch()))


def test_types_are_the_plans(load: Load) -> None:
    """float16 in, class indices out."""
    model = TinyModel(tail=[ARGMAX, CAST], dtype="float16").model()
    with load(model) as plan:
        assert plan.tensors.input.dtype == np.float16
        class_map = plan.infer(batch())
    assert class_map.dtype == np.int32
    np.testing.assert_array_equal(class_map, run_onnx(model, batch().astype(np.float16)))


def test_pictures_go_into_a_plan_that_takes_pictures(load: Load) -> None:
    model = TinyModel(layout="NHWC", dtype="uint8").model()
    pictures = np.random.default_rng(0).integers(0, 256, (2, *SIZE_HW, 3), np.uint8)
    with load(model) as plan:
        np.testing.assert_array_equal(plan.infer(pictures), run_onnx(model, pictures))
        with pytest.raises(PlanInputError, match="image: expected uint8, got float32"):
            plan.infer(pictures.astype(np.float32))


@pytest.mark.parametrize("shape", [(9, 3, 64, 96), (1, 3, 64, 97), (3, 64, 96), (0, 3, 64, 96)])
def test_a_shape_outside_the_profile_is_refused(load: Load, shape: tuple[int, ...]) -> None:
    with load(TinyModel().model()) as plan:
        with pytest.raises(PlanInputError) as caught:
            plan.infer(np.zeros(shape, np.float32))
        assert str(caught.value) == (
            f"image: expected a shape from (1, 3, 64, 96) to (8, 3, 64, 96), got {shape}"
        )
        assert plan.infer(batch()).shape == (1, 5, 16, 24)


def test_a_plan_of_another_machine_is_refused_with_the_reason(load: Load) -> None:
    with (
        pytest.raises(EngineIncompatibleError, match=r"on NVIDIA L4: .*magic tag .*again here"),
        load(b"a plan of another TensorRT"),
    ):
        pass


@pytest.mark.parametrize(
    ("running", "error", "message"),
    [
        (Running(fails_at="runtime"), TensorRTUnavailableError, "cannot start on NVIDIA L4 .*35"),
        (Running(fails_at="context"), EngineIncompatibleError, "out of memory"),
        (Running(types={"image": "FP8"}), EngineIncompatibleError, "image: .* types .* got FP8"),
        (Running(formats={"output": "CHW32"}), EngineIncompatibleError, "output: .* got CHW32"),
        (Running(fails_at="shape"), TensorRTError, r"\(1, 3, 64, 96\): the shape is refused"),
        (Running(fails_at="address"), TensorRTError, "memory of image: the address is refused"),
        (Running(fails_at="run"), TensorRTError, "did not run the plan: the run is refused"),
        (Running(open_outputs=True), EngineIncompatibleError, r"output: .*\(-1, 5, 16, 24\)"),
    ],
)
def test_what_tensorrt_refuses_is_an_error(
    load: Load, running: Running, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), load(TinyModel().model(), running) as plan:
        plan.infer(batch())


def test_after_a_refused_shape_nothing_runs_on_the_old_memory(load: Load) -> None:
    running = Running()
    with load(TinyModel().model(), running) as plan:
        plan.infer(batch())
        running.fails_at = "shape"
        with pytest.raises(TensorRTError):
            plan.put(batch(2))
        with pytest.raises(PlanInputError, match="expected an input first"):
            plan.enqueue()


def test_a_plan_with_two_inputs_is_refused(load: Load) -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("a", "b", "c")
    ]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "two", values[:2], values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(EngineIncompatibleError, match=r"inputs \['a', 'b'\]"), load(model):
        pass


def test_without_cupy_it_says_what_to_install(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with (
        pytest.raises(TensorRTUnavailableError, match=r"\[gpu\]|extra 'gpu'"),
        load(TinyModel().model(), device=None),
    ):
        pass


class SlowDevice(HostDevice):
    """Every run takes 4 ms and three more for the whole series; nothing else takes time."""

    def __init__(self) -> None:
        super().__init__()
        self.series: list[int] = []

    def elapsed_ms(self, enqueue: Callable[[], None]) -> float:
        plan: Any = enqueue.__closure__
        runs = next(cell.cell_contents for cell in plan if isinstance(cell.cell_contents, int))
        self.series.append(runs)
        return 4.0 * runs + 3.0


def test_timing_counts_pictures_and_keeps_to_its_budget(load: Load) -> None:
    device = SlowDevice()
    with load(TinyModel().model(), device=device) as plan:
        timing = time_plan(plan, 4, budget_s=0.7)
    assert timing == PlanTiming(
        batch=4, runs=100, latency_ms=7.0, pictures_per_s=1000 * 4 * 100 / 403
    )
    assert device.series == [10, 1, *[1] * 100, 100]


def test_timing_refuses_a_batch_that_the_plan_does_not_take(load: Load) -> None:
    with load(TinyModel().model()) as plan, pytest.raises(PlanInputError):
        time_plan(plan, 16)
