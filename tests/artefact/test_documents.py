"""Manifests and indexes: as the specification has them, and one line for each kind of machine."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import oras.schemas
import pytest

from plan_repositories import ON_L4
from tritonseg_engines.artefact.documents import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    diff_ids,
    image_config,
    image_manifest,
    read_image,
    signature_manifest,
)
from tritonseg_engines.artefact.index import Entry, merged, read_index
from tritonseg_engines.artefact.layers import Layer
from tritonseg_engines.artefact.machine_target import MachineTarget
from tritonseg_engines.errors import ArtefactError

TARGETS = [
    MachineTarget(),
    MachineTarget(plan=ON_L4),
    MachineTarget(plan={**ON_L4, "gpu_name": "NVIDIA A10", "compute_capability": "8.6"}),
]
LAYERS = tuple(
    Layer(path=Path(name), digest=f"sha256:{digit * 64}", diff_id=f"sha256:{digit * 63}f",
          size=10, unpacked_size=100 * int(digit))
    for name, digit in (("models", "1"), ("sbom", "2"))
)  # fmt: skip


def entry(target: MachineTarget, text: str = "") -> Entry:
    described = Descriptor.of(MANIFEST_TYPE, f"{target.key} {text}".encode())
    return Entry(descriptor=replace(described, annotations=target.annotations), target=target)


def test_an_image_is_a_valid_one_and_says_all_that_was_put_in() -> None:
    config = image_config(LAYERS)
    manifest = image_manifest(config, LAYERS, {**TARGETS[1].annotations, "more": "words"})
    jsonschema.validate(json.loads(manifest), oras.schemas.manifest)
    image = read_image(manifest)
    assert image.target == TARGETS[1]
    assert image.annotations["more"] == "words"
    assert [layer.digest for layer in image.layers] == [layer.digest for layer in LAYERS]
    assert image.unpacked_size == (100, 200)
    assert image.config.digest == f"sha256:{hashlib.sha256(config).hexdigest()}"
    assert diff_ids(config, 2) == tuple(layer.diff_id for layer in LAYERS)
    assert json.loads(config)["architecture"] == "amd64"
    assert {layer["mediaType"] for layer in json.loads(manifest)["layers"]} == {
        "application/vnd.oci.image.layer.v1.tar+gzip"
    }


def test_a_signature_names_what_it_is_of() -> None:
    subject = Descriptor.of(MANIFEST_TYPE, b"image")
    manifest = json.loads(signature_manifest(b"bundle", subject))
    jsonschema.validate(manifest, oras.schemas.manifest)
    assert manifest["subject"] == subject.to_json()
    assert manifest["layers"][0]["digest"] == f"sha256:{hashlib.sha256(b'bundle').hexdigest()}"
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
    }  # Source: OCI Image Specification, "Guidance for an Empty Descriptor"


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_an_index_is_the_same_whoever_came_first(order: tuple[int, ...]) -> None:
    index = merged((), entry(TARGETS[order[0]]))
    for number in order[1:]:
        index = merged(read_index(index), entry(TARGETS[number]))
    document = json.loads(index)
    assert (document["mediaType"], document["schemaVersion"]) == (INDEX_TYPE, 2)
    assert [line["annotations"]["tritonseg.target"] for line in document["manifests"]] == [
        "cpu",
        "nvidia-a10-8.6-tensorrt-10.16.1.11",
        "nvidia-l4-8.9-tensorrt-10.16.1.11",
    ]
    assert {line["platform"]["os"] for line in document["manifests"]} == {"linux"}
    assert {one.target.key for one in read_index(index)} == {target.key for target in TARGETS}


def test_the_same_target_is_replaced_and_no_other() -> None:
    index = merged((), entry(TARGETS[0]))
    index = merged(read_index(index), entry(TARGETS[1]))
    index = merged(read_index(index), entry(TARGETS[0], "built anew"))
    found = {one.target.key: one.descriptor.digest for one in read_index(index)}
    assert found == {
        TARGETS[0].key: entry(TARGETS[0], "built anew").descriptor.digest,
        TARGETS[1].key: entry(TARGETS[1]).descriptor.digest,
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mediaType": MANIFEST_TYPE}, "of the type"),
        ({"annotations": None}, "that `tritonseg push` made"),
        ({"annotations": {"tritonseg.artefact": "2"}}, "got 2"),
        ({"manifests": []}, "each target once"),
        ({"manifests": [7]}, "mediaType"),
        (
            {"manifests": [entry(TARGETS[0]).descriptor.to_json() | {"annotations": {}}]},
            "no target",
        ),
        ({"manifests": [entry(TARGETS[0]).descriptor.to_json()] * 2}, "each target once"),
        ({"manifests": [entry(TARGETS[0]).descriptor.to_json() | {"digest": "md5:1"}]}, "sha256"),
        ({"manifests": [entry(TARGETS[0]).descriptor.to_json() | {"size": -1}]}, "size"),
        ({"manifests": [entry(TARGETS[0]).descriptor.to_json() | {"size": True}]}, "size"),
    ],
)
def test_another_index_is_refused(change: dict[str, Any], said: str) -> None:
    document = json.loads(merged((), entry(TARGETS[0]))) | change
    with pytest.raises(ArtefactError, match=said):
        read_index(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused(content: bytes) -> None:
    for read in (read_index, read_image):
        with pytest.raises(ArtefactError):
            read(content)
    with pytest.raises(ArtefactError):
        diff_ids(content, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": {}},
        {"annotations": {**TARGETS[1].annotations, "tritonseg.unpacked-size": "1"}},
        {"annotations": {**TARGETS[1].annotations, "tritonseg.unpacked-size": "1,-2"}},
        {"annotations": []},
        {"layers": []},
        {"layers": 7},
        {"config": None},
        {"config": {"mediaType": "x", "digest": f"sha256:{'0' * 64}", "size": 2**40}},
    ],
)
def test_another_image_is_refused(change: dict[str, Any]) -> None:
    manifest = image_manifest(image_config(LAYERS), LAYERS, TARGETS[1].annotations)
    with pytest.raises(ArtefactError):
        read_image(json.dumps(json.loads(manifest) | change).encode())
