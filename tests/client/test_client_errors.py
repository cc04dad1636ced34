"""The error tree, and how gRPC's statuses map into it."""

from __future__ import annotations

import pickle

import grpc
import pytest

import tritonseg
from tritonseg._calls.status import error_from_rpc, summarize

ERRORS = [
    value
    for value in vars(tritonseg).values()
    if isinstance(value, type) and issubclass(value, tritonseg.SegmentationError)
]


class Failure(grpc.RpcError):
    """What the stub raises, as far as the mapping looks at it."""

    def __init__(self, status: grpc.StatusCode, details: str | None = "") -> None:
        self._status, self._details = status, details

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str | None:
        return self._details


def map_status(status, details="", refusal=tritonseg.OverloadedError):
    failure = Failure(grpc.StatusCode[status], details)
    return error_from_rpc(failure, subject="model 'm' at h:1", refusal=refusal)


class TestTree:
    @pytest.mark.parametrize(
        ("error", "bases"),
        [
            ("ConfigurationError", "SegmentationError ValueError"),
            ("InvalidImageError", "SegmentationError ValueError"),
            ("ImageDecodeError", "InvalidImageError"),
            ("ImageTooLargeError", "InvalidImageError"),
            ("UnsupportedImageError", "InvalidImageError"),
            ("TransportError", "SegmentationError"),
            ("ConnectError", "TransportError"),
            ("ConnectionLostError", "TransportError"),
            ("DeadlineExceededError", "TransportError TimeoutError"),
            ("MessageTooLargeError", "TransportError"),
            ("ServerError", "SegmentationError"),
            ("AccessDeniedError", "ServerError"),
            ("ModelNotFoundError", "ServerError"),
            ("ModelNotReadyError", "ServerError"),
            ("OverloadedError", "ServerError"),
            ("RequestRejectedError", "ServerError"),
            ("InferenceFailedError", "ServerError"),
            ("ProtocolError", "SegmentationError"),
            ("ClientClosedError", "SegmentationError RuntimeError"),
        ],
    )
    def test_bases(self, error, bases):
        assert [base.__name__ for base in getattr(tritonseg, error).__bases__] == bases.split()

    @pytest.mark.parametrize("error_type", ERRORS)
    def test_survives_the_way_to_another_process(self, error_type):
        error = error_type("what happened", retryable=True, debug_details="more")
        error.attempts, error.request_id, error.model_name = 3, "frame-17", "street-demo"
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is error_type
        assert vars(copy) == vars(error)
        assert str(copy) == "what happened (after 3 attempts) [request frame-17]"

    def test_message_alone(self):
        error = tritonseg.SegmentationError("what happened")
        assert str(error) == "what happened"
        assert (error.retryable, error.attempts, error.request_id) == (False, 0, None)


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "details", "error"),
        [
            ("DEADLINE_EXCEEDED", "Deadline Exceeded", "DeadlineExceededError"),
            ("NOT_FOUND", "Request for unknown model: 'm' is not found", "ModelNotFoundError"),
            ("INVALID_ARGUMENT", "unexpected inference input 'X'", "RequestRejectedError"),
            ("UNAUTHENTICATED", "", "AccessDeniedError"),
            ("PERMISSION_DENIED", "", "AccessDeniedError"),
            ("FAILED_PRECONDITION", "", "RequestRejectedError"),
            ("OUT_OF_RANGE", "", "RequestRejectedError"),
            ("INTERNAL", "", "InferenceFailedError"),
            ("UNKNOWN", "", "InferenceFailedError"),
            ("ABORTED", "", "InferenceFailedError"),
            ("CANCELLED", "", "ConnectionLostError"),
            ("UNIMPLEMENTED", "", "ProtocolError"),
            ("RESOURCE_EXHAUSTED", "CLIENT: Sent message larger than max", "MessageTooLargeError"),
            ("RESOURCE_EXHAUSTED", "response pool is empty", "OverloadedError"),
        ],
    )
    def test_final_ones(self, status, details, error):
        mapped = map_status(status, details)
        assert type(mapped) is getattr(tritonseg, error)
        assert not mapped.retryable
        assert str(mapped).startswith("model 'm' at h:1: ")
        assert details in mapped.debug_details

    @pytest.mark.parametrize(
        ("details", "error"),
        [
            ("failed to connect to all addresses; last error: …", "ConnectError"),
            ("errors resolving h:1: Domain name not found", "ConnectError"),
            ("DNS resolution failed for h:1", "ConnectError"),
            ("Trying to connect an http1.x server", "ConnectError"),
            ("Socket closed", "ConnectionLostError"),
            ("Stream removed (Socket closed)", "ConnectionLostError"),
            ("recvmsg:Connection reset by peer", "ConnectionLostError"),
            ("GOAWAY received", "ConnectionLostError"),
            ("ping timeout", "ConnectionLostError"),
            ("[request id: r] Exceeds maximum queue size", "OverloadedError"),
            ("Server is stopping", "OverloadedError"),
            (None, "OverloadedError"),
        ],
    )
    def test_unavailable_is_retryable_whatever_it_says(self, details, error):
        mapped = map_status("UNAVAILABLE", details)
        assert type(mapped) is getattr(tritonseg, error)
        assert mapped.retryable

    def test_unavailable_metadata_means_not_ready(self):
        mapped = map_status("UNAVAILABLE", "not now", tritonseg.ModelNotReadyError)
        assert type(mapped) is tritonseg.ModelNotReadyError


class TestSummary:
    # As Triton 2.51 answered to a model that raised ValueError("boom").
    TRACEBACK = (
        "Failed to process the request(s) for model 'm_0_0', message: ValueError: boom\n\n"
        "At:\n  /models/m/1/model.py(9): execute\n"
    )

    def test_traceback_and_paths_stay_out(self):
        text = str(map_status("INTERNAL", self.TRACEBACK))
        assert text.endswith("message: ValueError: boom")
        assert "/" not in text
        assert "model.py" in map_status("INTERNAL", self.TRACEBACK).debug_details

    @pytest.mark.parametrize(
        ("details", "summary"),
        [
            ("", ""),
            ("plain words", "plain words"),
            ("[request id: abc] Exceeds maximum queue size", "Exceeds maximum queue size"),
            ("cannot open '/models/m/1/model.onnx': no", "cannot open '<path>': no"),
            ("cannot open models/m/1/x.plan", "cannot open <path>"),
            (r"cannot open C:\models\x.plan", "cannot open <path>"),
            ("Traceback (most recent call last):\n  File …", ""),
            ("bad\tthing \x1b[31mred", "bad thing  [31mred"),
            ("expected [-1,-1,3], got [4,5]", "expected [-1,-1,3], got [4,5]"),
            ("x" * 400, "x" * 299 + "…"),
        ],
    )
    def test_one_printable_line(self, details, summary):
        assert summarize(details) == summary
