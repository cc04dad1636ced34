"""What a job is: written beside its results when it begins, and held against at each resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from tritonseg import ImageLimits, ModelInfo, __version__
from tritonseg_engines.bulk.sources import SourceOptions
from tritonseg_engines.errors import BulkError
from tritonseg_engines.server_access import Access

Form = Literal["png", "rle", "coco"]
Transport = Literal["raw", "encoded", "shared_memory"]

FORMAT: Final = 1
JOB: Final = "job.json"
LISTING: Final = "listing.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How masks are made and kept; two jobs that differ in it have different results.

    Attributes:
        form: What is written: class-index PNGs, run lengths in Parquet, or a COCO data set.
        part_size: Pictures that are begun, finished and redone together.
        transport: As the client's.
        tiling: As the client's.
        max_pixels: As `ImageLimits` has it.
        max_bytes: As `ImageLimits` has it.

    Raises:
        BulkError: A value can never work.
    """

    form: Form = "png"
    part_size: int = 256
    transport: Transport = "raw"
    tiling: Literal["auto"] | None = None
    max_pixels: int = ImageLimits().max_pixels
    max_bytes: int = ImageLimits().max_bytes

    def __post_init__(self) -> None:
        if self.part_size < 1:
            raise BulkError(f"a part must have at least 1 picture, got {self.part_size}")

    @property
    def limits(self) -> ImageLimits:
        """The limits as a client takes them."""
        return ImageLimits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Who computes, which may change from one run of a job to the next.

    Attributes:
        urls: gRPC addresses, which all serve the same model.
        access: What they want to see.
        timeout_s: Seconds for each picture.
        in_flight: Pictures on their way at once, of each worker.
    """

    urls: Sequence[str]
    access: Access = field(default_factory=Access)
    timeout_s: float = 30.0
    in_flight: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where workers run.

    Attributes:
        address: Of a Ray that runs; None to start one on this machine, and end it.
        workers: How many, each a process of one CPU.
    """

    address: str | None = None
    workers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that results depend on.

    Attributes:
        source: What is read, its kind known.
        making: How masks are made.
        model: The model as its servers describe it; see `described`.
        pictures: How many there are.
        listing_sha256: Of the listing, in hex.
        tritonseg_version: The release that reads pictures.
    """

    source: SourceOptions
    making: Making
    model: Mapping[str, Any]
    pictures: int
    listing_sha256: str
    tritonseg_version: str = __version__

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        document: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **asdict(self)}))
        return document

    @property
    def digest(self) -> str:
        """SHA-256 of the document, in hex."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def of_document(cls, content: bytes, where: str) -> Job:
        """Return the job of a file.

        Raises:
            BulkError: It is none, or of another release's format.
        """
        try:
            document = json.loads(content)
            if document.pop("format") != FORMAT:
                raise BulkError(f"{where} is of another release of tritonseg: resume with that")
            source, making = document.pop("source"), document.pop("making")
            return cls(source=SourceOptions(**source), making=Making(**making), **document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BulkError(f"{where} is not a job's file that is whole: {error}") from error


def described(model: ModelInfo) -> dict[str, Any]:
    """Return all that a server says about its model, as JSON has it."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(model)))
    return document


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in one line what two documents of the same shape differ in; empty if in nothing."""
    return "; ".join(
        f"{name} was {json.dumps(before)}, is {json.dumps(after)}"
        for name, before, after in _differing(was, now, "")
    )


def _differing(
    was: Mapping[str, Any], now: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any, Any]]:
    for name in [*was, *(name for name in now if name not in was)]:
        before, after = was.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differing(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}", before, after
