"""One model on one server, and the requests that it is asked with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tritonclient.grpc import service_pb2

from .._errors import ModelNotReadyError, OverloadedError
from .flow import Rpc


class LossCounter(Protocol):
    """Counts how often the connection was lost, from `start` on."""

    losses: int

    def start(self) -> None:
        """Begin to count, unless that has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """Where a model is.

    Attributes:
        address: Of its server, for messages.
        name: What the server calls it.
        version: Its version; empty for the server's choice.
        watch: Tells of the connection.
    """

    address: str
    name: str
    version: str
    watch: LossCounter

    @property
    def subject(self) -> str:
        """What messages begin with."""
        version = f" version {self.version}" if self.version else ""
        return f"model '{self.name}'{version} at {self.address}"

    def is_ready(self, timeout_s: float) -> Rpc:
        """Ask whether the model can take requests."""
        request = service_pb2.ModelReadyRequest(name=self.name, version=self.version)
        return self._ask("ModelReady", request, timeout_s)

    def fetch_metadata(self, timeout_s: float) -> Rpc:
        """Fetch the model's versions and tensors."""
        request = service_pb2.ModelMetadataRequest(name=self.name, version=self.version)
        return self._ask("ModelMetadata", request, timeout_s)

    def fetch_config(self, timeout_s: float) -> Rpc:
        """Fetch the model's config, `parameters` and all."""
        request = service_pb2.ModelConfigRequest(name=self.name, version=self.version)
        return self._ask("ModelConfig", request, timeout_s)

    def infer(
        self,
        request: service_pb2.ModelInferRequest,
        timeout_s: float,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Rpc:
        """Send one inference request."""
        return Rpc(
            method="ModelInfer",
            request=request,
            timeout_s=timeout_s,
            subject=self.subject,
            refusal=OverloadedError,
            headers=headers,
        )

    def _ask(self, method: str, request: object, timeout_s: float) -> Rpc:
        return Rpc(
            method=method,
            request=request,
            timeout_s=timeout_s,
            subject=self.subject,
            refusal=ModelNotReadyError,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEndpoint:
    """Where a server is.

    Attributes:
        address: Its own, for messages.
        watch: Tells of the connection.
    """

    address: str
    watch: LossCounter

    @property
    def subject(self) -> str:
        """What messages begin with."""
        return f"the server at {self.address}"

    def list_models(self, timeout_s: float) -> Rpc:
        """Ask which models are ready."""
        request = service_pb2.RepositoryIndexRequest(ready=True)
        return self._ask("RepositoryIndex", request, timeout_s)

    def share_memory(self, name: str, size: int, timeout_s: float) -> Rpc:
        """Have the server map memory that has the same name in this host's `/dev/shm`."""
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name=name, key=f"/{name}", offset=0, byte_size=size
        )
        return self._ask("SystemSharedMemoryRegister", request, timeout_s)

    def forget_memory(self, name: str, timeout_s: float) -> Rpc:
        """Have the server forget memory that it mapped."""
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        return self._ask("SystemSharedMemoryUnregister", request, timeout_s)

    def model(self, name: str, version: str) -> ModelEndpoint:
        """Return one of its models."""
        return ModelEndpoint(address=self.address, name=name, version=version, watch=self.watch)

    def _ask(self, method: str, request: object, timeout_s: float) -> Rpc:
        return Rpc(
            method=method,
            request=request,
            timeout_s=timeout_s,
            subject=self.subject,
            refusal=ModelNotReadyError,
        )
