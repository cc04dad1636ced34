"""The fake server that ships says of itself what a real Triton says of a real model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tritonseg.testing import FakeTriton
from tritonseg_engines.serving import TritonServer
from tritonseg_steps import contract

MODEL = "street-demo"


@contextmanager
def stub_of(url: str) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def described(url: str) -> tuple[dict[str, object], set[str]]:
    """Tensors by name and the keys of the parameters."""
    with stub_of(url) as stub:
        metadata = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=MODEL))
        config = stub.ModelConfig(service_pb2.ModelConfigRequest(name=MODEL)).config
    tensors = [*metadata.inputs, *metadata.outputs]
    return {one.name: (one.datatype, list(one.shape)) for one in tensors}, set(config.parameters)


def status_of(url: str, name: str, version: str) -> grpc.StatusCode:
    request = service_pb2.ModelInferRequest(model_name=name, model_version=version)
    with stub_of(url) as stub:
        try:
            stub.ModelInfer(request, timeout=5)
        except grpc.RpcError as error:
            return error.code()
    raise AssertionError("there is no such model")


def test_it_has_the_tensors_and_what_a_client_reads(demo_server: TritonServer) -> None:
    real, real_keys = described(demo_server.grpc_url)
    with FakeTriton(model=MODEL) as fake:
        tensors, keys = described(fake.url)
    assert tensors.items() <= real.items()
    assert real.keys() - tensors.keys() == {contract.CLASS_PIXELS}  # no client of ours asks for it
    assert keys <= real_keys


def test_it_refuses_what_it_does_not_have_as_triton_does(demo_server: TritonServer) -> None:
    with FakeTriton(model=MODEL) as fake:
        for name, version in (("no-such-model", ""), (MODEL, "7")):
            real = status_of(demo_server.grpc_url, name, version)
            assert status_of(fake.url, name, version) == real
