"""Thin client for semantic segmentation on NVIDIA Triton.

Example::

    from tritonseg import SegmentationClient

    with SegmentationClient("localhost:8001", model="street-demo") as client:
        client.wait_ready()
        result = client.segment("street.jpg")
        print(f"{result.coverage['road']:.0%} road")
        result.save("street-classes.png")
        result.overlay().save("street-overlay.png")

Every call ends within its `timeout_s`, and every failure is a `SegmentationError`.
"""

from ._aio_client import AsyncSegmentationClient
from ._attempt import Attempt
from ._calls.telemetry import ClientStatistics
from ._client import SegmentationClient
from ._config import ImageLimits, RetryPolicy
from ._errors import (
    AccessDeniedError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    ImageDecodeError,
    ImageTooLargeError,
    InferenceFailedError,
    InvalidImageError,
    MessageTooLargeError,
    ModelNotFoundError,
    ModelNotReadyError,
    OverloadedError,
    ProtocolError,
    RequestRejectedError,
    SegmentationError,
    ServerError,
    TransportError,
    UnsupportedImageError,
)
from ._model.metadata import ModelInfo
from ._model.network_facts import Preprocessing, Reach, ResizePolicy
from ._pictures.image import load_image
from ._results.class_map import ClassMap
from ._results.segmentation import Segmentation
from ._results.shapes import Polygon
from ._results.tiling_report import TilingReport
from ._results.timings import Timings
from ._tiles.tiling import Tiling
from ._version import __version__

__all__ = [
    "AccessDeniedError",
    "AsyncSegmentationClient",
    "Attempt",
    "ClassMap",
    "ClientClosedError",
    "ClientStatistics",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "ImageDecodeError",
    "ImageLimits",
    "ImageTooLargeError",
    "InferenceFailedError",
    "InvalidImageError",
    "MessageTooLargeError",
    "ModelInfo",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "OverloadedError",
    "Polygon",
    "Preprocessing",
    "ProtocolError",
    "Reach",
    "RequestRejectedError",
    "ResizePolicy",
    "RetryPolicy",
    "Segmentation",
    "SegmentationClient",
    "SegmentationError",
    "ServerError",
    "Tiling",
    "TilingReport",
    "Timings",
    "TransportError",
    "UnsupportedImageError",
    "__version__",
    "load_image",
]

# Tracebacks and pickles name things as callers import them: tritonseg.ConnectError.
for _name in __all__:
    if _name != "__version__":
        globals()[_name].__module__ = __name__
del _name
