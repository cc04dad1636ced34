"""A real Triton with small models of every layout, watched while it is asked hostile things."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
import onnx
import psutil
from PIL import Image
from tritonclient.grpc import service_pb2_grpc

from hostile_requests import Target, described, hostile_request, problem
from tiny_models import CLASSES, SIZE_HW, STRIDE, TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_steps.resize_policy import FitPad

PICTURE = np.random.default_rng(3).integers(0, 256, (1, *SIZE_HW, 3)).astype(np.uint8)
LARGEST_MESSAGE = 2**31 - 1
STUB = "triton_python_backend_stub"


def picture_file() -> np.ndarray:
    """Return `PICTURE` as ENCODED_IMAGE."""
    file = io.BytesIO()
    Image.fromarray(PICTURE[0]).save(file, "PNG")
    return np.array([[file.getvalue()]], object)


def build_layouts(repository: Path, folder: Path) -> dict[str, list[Target]]:
    """Build a small model in every layout; return what can be called, by layout.

    The ensemble leaves the size of its pictures open, "single" pads and resizes.
    """
    height, width = SIZE_HW
    open_model = TinyModel(size_hw=(None, None)).model()
    onnx.save(open_model, folder / "open.onnx")
    onnx.save(TinyModel().model(), folder / "fixed.onnx")
    fitted = tiny_spec(name="single")
    fit = replace(fitted.preprocessing, resize=FitPad(height=height, width=width))
    specs = {
        "ensemble": (tiny_spec(name="ensemble", height=None, width=None), "open.onnx"),
        "single": (replace(fitted, preprocessing=fit), "fixed.onnx"),
        "fused": (tiny_spec(name="fused"), "fixed.onnx"),
    }
    for layout, (spec, export) in specs.items():
        build_model(spec, folder / export, repository, layout=layout)
    pictures = {"IMAGE": PICTURE, "ENCODED_IMAGE": picture_file()}
    normalized = np.ones((1, 3, *SIZE_HW), np.float32)
    scores = np.random.default_rng(4).standard_normal(
        (1, CLASSES, height // STRIDE, width // STRIDE)
    )
    argmax = {"SCORES": scores.astype(np.float32), "IMAGE_SIZE": np.array([SIZE_HW], np.int32)}
    either = ("IMAGE", "ENCODED_IMAGE")
    return {
        "ensemble": [
            Target(name="ensemble", inputs=pictures, either=either),
            Target(name="ensemble_normalize", inputs=pictures, either=either),
            Target(name="ensemble_engine", inputs={"NORMALIZED": normalized}),
            Target(name="ensemble_argmax", inputs=argmax),
        ],
        "single": [Target(name="single", inputs=pictures, either=either)],
        "fused": [Target(name="fused", inputs={"IMAGE": PICTURE})],
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """A server, and what is held against it."""

    server: TritonServer
    layouts: dict[str, list[Target]]
    stub: service_pb2_grpc.GRPCInferenceServiceStub

    def answers(self) -> dict[str, dict[str, bytes]]:
        """Return what every model answers to a good request, by model and output."""
        found = {}
        for target in (one for targets in self.layouts.values() for one in targets):
            answer = self.stub.ModelInfer(target.good_request(), timeout=60)
            names = [output.name for output in answer.outputs]
            found[target.name] = dict(zip(names, answer.raw_output_contents, strict=True))
        return found

    def processes(self) -> list[psutil.Process]:
        """Return the server and its Python processes."""
        server = psutil.Process(self.server.pid)
        family = [server, *server.children(recursive=True)]
        return [one for one in family if one.status() != psutil.STATUS_ZOMBIE]

    def ask(
        self,
        target: Target,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, bool] | None = None,
        **inputs: np.ndarray,
    ) -> dict[str, tuple[int, ...]]:
        """Return the outputs' shapes of a good request, in which some inputs are others.

        Raises:
            grpc.RpcError: It was refused.
        """
        request = replace(target, inputs={**target.inputs, **inputs}).good_request()
        for name in outputs:
            request.outputs.add(name=name)
        for name, value in (parameters or {}).items():
            request.parameters[name].bool_param = value
        answer = self.stub.ModelInfer(request, timeout=60)
        return {output.name: tuple(output.shape) for output in answer.outputs}

    def target(self, name: str) -> Target:
        """Return a model by its name."""
        return next(one for many in self.layouts.values() for one in many if one.name == name)

    def stub_pids(self) -> set[int]:
        """Return the process of every Python step."""
        return {one.pid for one in self.processes() if STUB in " ".join(one.cmdline())}

    def resident_mb(self) -> float:
        """Return the memory of server and Python processes, each page once."""
        return sum(one.memory_full_info().pss for one in self.processes()) / 1e6

    def problems(self, layout: str, count: int, first_seed: int = 0) -> list[str]:
        """Send hostile requests to the models of a layout in turn; return what is wrong."""
        found, targets = [], self.layouts[layout]
        for seed in range(first_seed, first_seed + count):
            target = targets[seed % len(targets)]
            request = hostile_request(target, seed)
            wrong = problem(self.stub, request)
            if wrong is not None:
                found.append(f"seed {seed}: {described(request)}: {wrong}")
            if not self.server.is_running:
                return [*found, f"seed {seed}: the server is gone"]
        return found


@contextmanager
def watched_server(folder: Path, http_port: int | None = None) -> Iterator[Watched]:
    """Serve `build_layouts`."""
    layouts = build_layouts(folder / "repository", folder)
    config = ServerConfig(repositories=(folder / "repository",), http_port=http_port)
    options = [
        ("grpc.max_send_message_length", LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ]
    with (
        TritonServer(config) as server,
        grpc.insecure_channel(server.grpc_url, options=options) as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        yield Watched(server=server, layouts=layouts, stub=stub)
