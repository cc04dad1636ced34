"""The canaries of a build: drawn pictures, answered by the engine that the gate judged."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tritonseg_engines.build.boundary_proof import interpolated_once
from tritonseg_engines.build.built_graph import BuiltGraph
from tritonseg_engines.build.fuse_check import fixed_sizes, without_resize
from tritonseg_engines.build.proof_pictures import OPEN_SIZES
from tritonseg_engines.errors import OnnxModelError
from tritonseg_engines.running.networks import FoldedSteps, Infer, infer_in_onnx_runtime
from tritonseg_engines.running.pictures import Picture
from tritonseg_engines.running.served import infer_as_served
from tritonseg_engines.tensorrt.plan import PlanReport
from tritonseg_engines.verification.canary import Canary
from tritonseg_engines.verification.choice import Answer, choose_canaries
from tritonseg_steps.contract import CONTRACT_VERSION, NO_CLASS
from tritonseg_steps.geometry import Size
from tritonseg_steps.int8_cpu import this_int8_cpu
from tritonseg_steps.picture_sizes import picture_refusal
from tritonseg_steps.preprocessing import Normalizer

USUAL_HW: Final = OPEN_SIZES[0]
OTHER_HW: Final = OPEN_SIZES[1:3]
"""Sizes that no usual stride divides."""
PACKAGES: Final = ("tritonseg", "numpy", "opencv-python-headless", "onnxruntime", "openvino")


def receipt_of(built: BuiltGraph, plan: PlanReport | None) -> dict[str, Any]:
    """Return what a build knows of its receipt.

    Args:
        built: What passed its gate.
        plan: The TensorRT plan made of it, on this machine's GPU; None for OpenVINO.

    Raises:
        OnnxModelError: The runtime does not take the graph.
    """
    if plan is None:
        with infer_as_served(built.graph, built.target) as infer:
            canaries = _canaries(built, infer)
    else:
        from tritonseg_engines.tensorrt.loaded_plan import load_plan

        with load_plan(plan.plan, gpu=plan.gpu) as loaded:
            canaries = _canaries(built, loaded.infer)
    return {
        "precision": built.target.precision,
        "runtime": built.target.runtime,
        "made_with": {"contract": CONTRACT_VERSION, **_versions(plan)},
        "made_on": _machine(plan),
        "canaries": [canary.to_json() for canary in canaries],
    }


def _canaries(built: BuiltGraph, infer: Infer) -> tuple[Canary, ...]:
    sizes_hw = _sizes_hw(built)
    if not sizes_hw:
        return ()
    steps = without_resize(built.prepared.spec) if built.target.is_fused else built.prepared.spec
    network_hw = steps.preprocessing.resize.geometry(sizes_hw[0]).network_hw
    return choose_canaries(
        _Asked(built, infer).answer,
        sizes_hw,
        network_pixels=int(np.prod(network_hw)),
        gate_equal_pixels=built.judged.bar.thresholds.equal_pixels,
    )


class _Asked:
    """The engine between the server's steps, beside the fp32 network in ONNX Runtime."""

    def __init__(self, built: BuiltGraph, infer: Infer) -> None:
        prepared = built.prepared
        spec = without_resize(prepared.spec) if built.target.is_fused else prepared.spec
        self._built, self._infer = built, infer
        self._reference = infer_in_onnx_runtime(prepared.network)
        self._normalizer = Normalizer(spec.preprocessing)
        self._steps = (
            FoldedSteps(fixed_sizes(prepared).image_hw)
            if built.target.is_fused
            else prepared.server_steps
        )

    def answer(self, image_hwc: NDArray[np.uint8]) -> Answer | None:
        picture = Picture(name="canary", image_hwc=image_hwc)
        with contextlib.suppress(OnnxModelError):  # scores that are no numbers, as of a black one
            class_map = self._steps.class_map(self._infer(self._steps.batch(picture)), picture)
            if class_map.max() < min(NO_CLASS, len(self._built.prepared.spec.classes)):
                class_map = class_map.copy()  # from memory that the next run overwrites
                return Answer(class_map=class_map, equal_to_fp32=self._equal(image_hwc, class_map))
        return None

    def _equal(self, image_hwc: NDArray[np.uint8], class_map: NDArray[np.uint8]) -> float:
        height, width = image_hwc.shape[:2]
        (output,) = self._reference(self._normalizer.batch(image_hwc[None]))
        geometry = self._normalizer.geometry((height, width))
        mask = interpolated_once(output, geometry, self._built.prepared.upsampling)
        return mask.share_equal(class_map)


def _sizes_hw(built: BuiltGraph) -> Sequence[Size]:
    """Return sizes of pictures that the model takes, its own first."""
    if built.target.is_fused:
        return (fixed_sizes(built.prepared).image_hw,)
    spec, sizes = built.prepared.spec, built.deployment("").engine.sizes
    resize = spec.preprocessing.resize
    own = sizes.fixed_hw or spec.input.size_hw or USUAL_HW
    found: dict[Size, None] = {}
    for wanted in (own, *OTHER_HW):
        for image_hw in (wanted, sizes.nearest(wanted)):
            if picture_refusal(resize, sizes, image_hw) is None:
                found.setdefault(image_hw)
                break
    return tuple(found)


def _versions(plan: PlanReport | None) -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions if plan is None else {**versions, "tensorrt": plan.tensorrt_version}


def _machine(plan: PlanReport | None) -> dict[str, str]:
    """Return what computed: the GPU, or the CPU and what its int8 arithmetic is."""
    if plan is not None:
        return {"gpu": plan.gpu.name}
    machine = {"cpu": _cpu_name() or platform.machine()}
    with contextlib.suppress(ModuleNotFoundError):
        machine["int8"] = this_int8_cpu().value
    return machine


def _cpu_name() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return None
