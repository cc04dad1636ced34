"""One gRPC channel to one server, with the calls that the client needs of it.

The stub is tritonclient's, generated from Triton's protobufs; the channel is our own, because
`tritonclient.grpc.InferenceServerClient` copies the picture once more and drops what gRPC says
about an error.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ._config import MAX_MESSAGE_BYTES
from ._connection_watch import ConnectionWatch
from ._errors import ClientClosedError, ModelNotReadyError, OverloadedError, ServerError
from ._status import error_from_rpc
from ._version import __version__

CONNECT_TIMEOUT_S: Final = 5.0
MAX_RECONNECT_DELAY_S: Final = 1.0

_MAX_CONFIG_BYTES: Final = 16 * 2**20


class GrpcTransport:
    """The calls to one model, each with a deadline, each raising only this package's errors.

    Attributes:
        model_version: Of the model; empty for the server's choice.
        watch: Counts lost connections once it is started.

    Args:
        address: 'host:port'.
        model_name: The model that all calls are about.
        model_version: Its version; empty for the server's choice.
        max_response_bytes: Largest answer to receive, beside a few fields.
        credentials: TLS; without them the connection is in the clear.
    """

    def __init__(
        self,
        address: str,
        *,
        model_name: str,
        model_version: str,
        max_response_bytes: int,
        credentials: grpc.ChannelCredentials | None,
    ) -> None:
        options = _channel_options(max_response_bytes + _MAX_CONFIG_BYTES)
        self._channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._model = {"name": model_name, "version": model_version}
        version = f" version {model_version}" if model_version else ""
        self._subject = f"model '{model_name}'{version} at {address}"
        self.model_version = model_version
        self._closed = threading.Event()
        self.watch = ConnectionWatch(self._channel)
        self._process_id = os.getpid()

    def is_model_ready(self, timeout_s: float) -> bool:
        """Ask whether the model can take requests."""
        request = service_pb2.ModelReadyRequest(**self._model)
        response = self._call(self._stub.ModelReady, request, timeout_s, ModelNotReadyError)
        return bool(response.ready)

    def fetch_metadata(self, timeout_s: float) -> service_pb2.ModelMetadataResponse:
        """Fetch the model's versions and tensors."""
        request = service_pb2.ModelMetadataRequest(**self._model)
        return self._call(self._stub.ModelMetadata, request, timeout_s, ModelNotReadyError)

    def fetch_parameters(self, timeout_s: float) -> dict[str, str]:
        """Fetch the string value of each of the `parameters` in the model's config."""
        request = service_pb2.ModelConfigRequest(**self._model)
        response = self._call(self._stub.ModelConfig, request, timeout_s, ModelNotReadyError)
        return {key: value.string_value for key, value in response.config.parameters.items()}

    def infer(
        self, request: service_pb2.ModelInferRequest, timeout_s: float
    ) -> service_pb2.ModelInferResponse:
        """Send one inference request, to the version that it names."""
        return self._call(self._stub.ModelInfer, request, timeout_s, OverloadedError)

    def pause(self, delay_s: float) -> None:
        """Wait, unless the transport is closed meanwhile.

        Raises:
            ClientClosedError: It was.
        """
        self._closed.wait(delay_s)
        self.require_open()

    def require_open(self) -> None:
        """Raise `ClientClosedError` if no call can be made from here any more."""
        if self._closed.is_set():
            raise ClientClosedError("the client is closed; make a new one")
        if os.getpid() != self._process_id:
            raise ClientClosedError(
                f"the client belongs to process {self._process_id}, from which this one was "
                "forked, and its connection cannot be shared; make one client in each process"
            )

    def close(self) -> None:
        """Close the channel; calls under way end with `ClientClosedError`."""
        self._closed.set()
        if os.getpid() == self._process_id:
            self.watch.stop()
            self._channel.close()

    def _call(self, method: Any, request: Any, timeout_s: float, refusal: type[ServerError]) -> Any:
        self.require_open()
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as exc:
            self.require_open()
            raise error_from_rpc(exc, subject=self._subject, refusal=refusal) from exc
        except ValueError:
            # What gRPC raises where the channel is closed between the check and the call.
            self.require_open()
            raise


def _channel_options(max_response_bytes: int) -> list[tuple[str, int | str]]:
    return [
        # Without these two, gRPC's own limit of 4 MiB for what is received would hold.
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", min(max_response_bytes, MAX_MESSAGE_BYTES)),
        # gRPC's name for how long one attempt to connect may take, despite the "min".
        ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # gRPC's own 120 s would leave a client out long after its server is back.
        ("grpc.max_reconnect_backoff_ms", int(MAX_RECONNECT_DELAY_S * 1000)),
        # Otherwise all clients of a process share one connection, and its backoff.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.primary_user_agent", f"tritonseg/{__version__}"),
    ]
