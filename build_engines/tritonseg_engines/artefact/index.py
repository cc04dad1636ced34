"""An index: one image for every kind of machine, under one tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tritonseg_engines.artefact.documents import (
    FORMAT,
    INDEX_TYPE,
    MARK,
    PLATFORM,
    Descriptor,
    json_bytes,
    listed,
    read_document,
)
from tritonseg_engines.artefact.machine_target import MachineTarget, target_of_annotations
from tritonseg_engines.errors import ArtefactError

_MANIFESTS: Final = "manifests"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A line of an index.

    Attributes:
        descriptor: Of the image's manifest.
        target: What the image is for.
    """

    descriptor: Descriptor
    target: MachineTarget


def merged(entries: Iterable[Entry], added: Entry) -> bytes:
    """Return an index with one image more, or in place of that for the same target.

    What runs on CPUs comes first: whatever knows platforms only takes the first.
    """
    kept = [entry for entry in entries if entry.target.key != added.target.key]
    lines = sorted([*kept, added], key=lambda one: (one.target.plan is not None, one.target.key))
    document = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        _MANIFESTS: [_line(entry) for entry in lines],
        "annotations": {MARK: FORMAT},
    }
    return json_bytes(document)


def read_index(content: bytes) -> Sequence[Entry]:
    """Read an index that `push` made.

    Raises:
        ArtefactError: It is none.
    """
    document = read_document(content, INDEX_TYPE)
    annotations = document.get("annotations")
    mark = annotations.get(MARK) if isinstance(annotations, dict) else None
    if mark != FORMAT:
        raise ArtefactError(
            f"expected an index that `tritonseg push` made ({MARK} {FORMAT}), got "
            f"{'none' if mark is None else mark}"
        )
    entries = [_entry(line) for line in listed(document, _MANIFESTS)]
    keys = [entry.target.key for entry in entries]
    if len(set(keys)) != len(keys) or not keys:
        raise ArtefactError(f"expected an index with each target once, got {', '.join(keys)}")
    return entries


def _line(entry: Entry) -> dict[str, Any]:
    return {**entry.descriptor.to_json(), "platform": PLATFORM}


def _entry(line: Any) -> Entry:
    descriptor = Descriptor.from_json(line)
    target = target_of_annotations(descriptor.annotations)
    if target is None:
        raise ArtefactError(f"an image of the index has no target: {str(line)[:200]}")
    return Entry(descriptor=descriptor, target=target)
