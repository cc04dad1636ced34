"""What a caller may set, checked where it is set."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, TypeVar

from ._errors import ConfigurationError

IMAGE_FORMATS: Final = ("AVIF", "BMP", "HEIF", "JPEG", "PNG", "TIFF", "WEBP")
"""File formats that are decoded at all, by Pillow's names; HEIF is what HEIC photos are."""

_Value = TypeVar("_Value")

MAX_MESSAGE_BYTES: Final = 2**31 - 1
"""Triton's own limit for a gRPC message.

Source: MAX_GRPC_MESSAGE_SIZE in triton-inference-server/server, src/common.h.
"""

MAX_TIMEOUT_S: Final = 86_400.0

# Whatever a model is called becomes a directory on the server and part of file names here.
_MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MODEL_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What pictures a client accepts.

    There is no limit on the aspect ratio; 1×1 and 1×5000 pixels are pictures like any other.

    Attributes:
        max_pixels: Largest height × width, checked on the file's header before it is decoded.
        max_bytes: Largest encoded file, in bytes.
        formats: The file formats to decode, out of AVIF, BMP, HEIF, JPEG, PNG, TIFF and
            WEBP. AVIF takes a Pillow with it (wheels from 11.3 on), HEIF the extra `heif`.
        background: RGB colour, 0–255, that shows through transparent pixels.
        strict: Refuse a JPEG whose data are damaged but can be decoded, as grey or shifted blocks;
            that takes a second decode, on the client, and the pixels are sent. Damage that leaves
            the data as long as they were is not found: see docs/client.md.
    """

    max_pixels: int = 32_000_000
    max_bytes: int = 20_000_000
    formats: tuple[str, ...] = IMAGE_FORMATS
    background: tuple[int, int, int] = (0, 0, 0)
    strict: bool = False

    def __post_init__(self) -> None:
        # Three bytes a pixel must fit into one message beside the request's few other fields.
        check_int("max_pixels", self.max_pixels, 1, (MAX_MESSAGE_BYTES - 65_536) // 3)
        check_int("max_bytes", self.max_bytes, 1, MAX_MESSAGE_BYTES)
        formats = self.formats if isinstance(self.formats, tuple) else ()
        if not formats or any(name not in IMAGE_FORMATS for name in formats):
            raise ConfigurationError(
                f"formats must be a tuple of names out of {IMAGE_FORMATS}, got {self.formats!r}"
            )
        if not isinstance(self.background, tuple) or len(self.background) != 3:
            raise ConfigurationError(f"background must be (r, g, b), got {self.background!r}")
        for value in self.background:
            check_int("background", value, 0, 255)
        if not isinstance(self.strict, bool):
            raise ConfigurationError(f"strict must be True or False, got {self.strict!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a request that the server could not take is sent again.

    Only UNAVAILABLE is retried (no connection, connection lost, queue full): segmentation has
    no side effects, so that is safe even where the first request did arrive. All attempts share
    the call's one `timeout_s`, and all calls of a client share one budget: see `RetryBudget`.

    Attributes:
        max_retries: Attempts after the first; 0 switches retries off.
        initial_delay_s: Pause before the first retry, in seconds; doubled for each one after.
        max_delay_s: Longest pause, in seconds.
    """

    max_retries: int = 2
    initial_delay_s: float = 0.5
    max_delay_s: float = 8.0

    def __post_init__(self) -> None:
        check_int("max_retries", self.max_retries, 0, 10)
        check_duration("initial_delay_s", self.initial_delay_s)
        check_duration("max_delay_s", self.max_delay_s)
        if self.max_delay_s < self.initial_delay_s:
            raise ConfigurationError(
                f"max_delay_s ({self.max_delay_s}) must not be below initial_delay_s "
                f"({self.initial_delay_s})"
            )


def check_duration(name: str, duration_s: float) -> float:
    """Return `duration_s`, or raise `ConfigurationError` unless it is in (0, one day]."""
    is_number = isinstance(duration_s, (int, float)) and not isinstance(duration_s, bool)
    if not is_number or not math.isfinite(duration_s) or not 0 < duration_s <= MAX_TIMEOUT_S:
        raise ConfigurationError(
            f"{name} must be a number of seconds above 0 and up to {MAX_TIMEOUT_S:.0f}, "
            f"got {duration_s!r}; no call may wait for ever"
        )
    return float(duration_s)


def check_model_name(model_name: str) -> str:
    """Return `model_name`, or raise `ConfigurationError` if no model can be called that."""
    if not isinstance(model_name, str) or not _MODEL_NAME.fullmatch(model_name):
        raise ConfigurationError(
            f"model must match {_MODEL_NAME.pattern} (as in 'street-demo'), got {model_name!r}"
        )
    return model_name


def check_model_version(model_version: str | None) -> str:
    """Return the version, "" for None, or raise `ConfigurationError` if no version is called so."""
    if model_version is None:
        return ""
    if not isinstance(model_version, str) or not _MODEL_VERSION.fullmatch(model_version):
        raise ConfigurationError(
            f"model_version must be a string, a whole number as Triton counts them, as in '2', "
            f"got {model_version!r}"
        )
    return model_version


def check_kind(name: str, value: _Value, kind: type | tuple[type, ...]) -> _Value:
    """Return a value, or raise `ConfigurationError` unless it is of a kind."""
    if not isinstance(value, kind):
        first = kind[0] if isinstance(kind, tuple) else kind
        raise ConfigurationError(
            f"{name} must be of type {first.__name__}, got {type(value).__name__}"
        )
    return value


def check_request_id(request_id: str) -> str:
    """Return `request_id`, or raise `ConfigurationError` if it is unfit for a log line."""
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise ConfigurationError(f"request_id must match {_REQUEST_ID.pattern}, got {request_id!r}")
    return request_id


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `ConfigurationError` unless a value is one of the choices."""
    if value not in choices:
        raise ConfigurationError(f"{name} must be one of {choices}, got {value!r}")


def check_int(name: str, value: int, low: int, high: int) -> None:
    """Raise `ConfigurationError` unless a value is an integer in [low, high]."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigurationError(f"{name} must be an integer in [{low}, {high}], got {value!r}")
