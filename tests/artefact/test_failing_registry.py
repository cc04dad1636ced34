"""Registries that fail, and what strangers leave in them: no answer is not "there is none"."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from plan_repositories import write_plan_repository
from signing_keys import KeyPair
from small_registry import SmallRegistry, small_registry
from tritonseg_engines.artefact.documents import (
    DOCUMENT_BYTES,
    INDEX_TYPE,
    MANIFEST_TYPE,
    SIGNATURE_TYPE,
    Descriptor,
    signature_manifest,
)
from tritonseg_engines.artefact.pull import Pulled, PullOrder, pull
from tritonseg_engines.artefact.push import Pushed, push
from tritonseg_engines.artefact.reference import Reference, parse_reference
from tritonseg_engines.artefact.registry import Registry
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import ArtefactError


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    with small_registry() as one:
        yield one


def reference(registry: SmallRegistry, tag: str = "1") -> Reference:
    return parse_reference(f"oci://{registry.address}/tiny:{tag}")


def pushed(repository: Path, registry: SmallRegistry, key: Path | None = None) -> Pushed:
    return push(repository, reference(registry), key=key, plain_http=True)


def pulled(registry: SmallRegistry, folder: Path, **options: object) -> Pulled:
    order = {"reference": reference(registry), "repository": folder, "plain_http": True}
    return pull(PullOrder(**{**order, **options}))  # type: ignore[arg-type]


def signatures(registry: SmallRegistry) -> int:
    found = {content for _, content in registry.documents.values() if b'"subject"' in content}
    return len(found)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_who_does_not_say_what_signatures_there_are_has_not_said_none(
    status: int, registry: SmallRegistry, for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    pushed(for_cpu, registry, keys.private)
    registry.referrers = status
    told = "expected success, got 500" if status == 500 else "expected a login"
    for key in (None, keys.public):
        with pytest.raises(ArtefactError, match=told):
            pulled(registry, tmp_path / "r", key=key)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ArtefactError, match=told):
        pushed(for_cpu, registry, keys.private)
    assert signatures(registry) == 1


@pytest.mark.parametrize("status", [200, 400, 404, 405, 501])
def test_signatures_are_found_whether_a_registry_lists_them_or_not(
    status: int, registry: SmallRegistry, for_l4: Path, keys: KeyPair, tmp_path: Path
) -> None:
    registry.referrers = status
    image = pushed(for_l4, registry, keys.private).image
    pushed(for_l4, registry, keys.private)
    assert signatures(registry) == 1
    assert (str(image.digest).replace(":", "-") in registry.documents) == (status != 200)
    target = "nvidia-l4-8.9-tensorrt-10.16.1.11"
    assert pulled(registry, tmp_path / "r", key=keys.public, target=target).signatures == 1


def line(digest: str, size: int = 2) -> dict[str, object]:
    described = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": size}
    return {**described, "artifactType": SIGNATURE_TYPE}


def of_another_image(registry: SmallRegistry) -> dict[str, object]:
    manifest = signature_manifest(b"theirs", Descriptor.of(MANIFEST_TYPE, b"another"))
    return line(registry.store("theirs", MANIFEST_TYPE, manifest), len(manifest))


def changed_there(registry: SmallRegistry) -> dict[str, object]:
    named = line(f"sha256:{'1' * 64}")
    registry.documents[str(named["digest"])] = (MANIFEST_TYPE, b"{}")
    return named


STRANGE: dict[str, Callable[[SmallRegistry], dict[str, object]]] = {
    "no digest": lambda _: line("md5:0"),
    "not there": lambda _: line(f"sha256:{'0' * 64}"),
    "no manifest": lambda registry: line(registry.store("theirs", MANIFEST_TYPE, b"[]")),
    "of another image": of_another_image,
    "changed": changed_there,
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_a_stranger_calls_a_signature_hides_no_right_one(
    what: str, registry: SmallRegistry, for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    image = pushed(for_cpu, registry, keys.private).image
    tag = str(image.digest).replace(":", "-")
    index = json.loads(registry.documents[tag][1])
    index["manifests"].append(STRANGE[what](registry))
    registry.store(tag, INDEX_TYPE, json.dumps(index).encode())
    for name, key in (("without", None), ("with", keys.public)):
        done = pulled(registry, tmp_path / name, key=key)
        assert (done.signatures, len(done.unreadable)) == (1, 1)
    before = dict(registry.documents)
    pushed(for_cpu, registry, keys.private)
    assert registry.documents == before
    index["manifests"] = index["manifests"][1:]
    registry.store(tag, INDEX_TYPE, json.dumps(index).encode())
    with pytest.raises(ArtefactError, match="expected a signature by the key of"):
        pulled(registry, tmp_path / "r", key=keys.public)
    command = ["pull", str(reference(registry)), "--plain-http", "-o", str(tmp_path / "r")]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "a signature of it cannot be read, and does not count: " in done.output


def test_a_signature_that_is_gone_hides_no_right_one(
    registry: SmallRegistry, for_cpu: Path, keys: KeyPair, other_keys: KeyPair, tmp_path: Path
) -> None:
    pushed(for_cpu, registry, other_keys.private)
    before = set(registry.blobs)
    pushed(for_cpu, registry, keys.private)
    (own,) = set(registry.blobs) - before
    pulled(registry, tmp_path / "r", key=other_keys.public)
    content = registry.blobs.pop(own)
    pulled(registry, tmp_path / "r", key=other_keys.public)
    with pytest.raises(ArtefactError, match="expected a signature by the key of"):
        pulled(registry, tmp_path / "r", key=keys.public)
    registry.blobs[own] = content
    pulled(registry, tmp_path / "r", key=keys.public)


def test_documents_in_many_pieces_are_read_whole(
    registry: SmallRegistry, for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    registry.chunk = 100
    pushed(for_cpu, registry, keys.private)
    assert pulled(registry, tmp_path / "r", key=keys.public).models == ("tiny",)


def test_documents_in_pieces_that_do_not_end_are_refused(registry: SmallRegistry) -> None:
    registry.chunk = 2**16
    registry.store("1", INDEX_TYPE, b" " * DOCUMENT_BYTES)
    registry.store("2", INDEX_TYPE, b" " * (DOCUMENT_BYTES + 1))
    with Registry(reference(registry), plain_http=True) as client:
        found = client.document("1", INDEX_TYPE)
        assert found is not None
        assert len(found.content) == DOCUMENT_BYTES
        with pytest.raises(ArtefactError, match="at most 4194304 bytes, got a longer"):
            client.document("2", INDEX_TYPE)


def test_another_model_that_came_meanwhile_does_not_share_the_tag(
    registry: SmallRegistry, for_l4: Path, tmp_path: Path
) -> None:
    other = write_plan_repository(
        tmp_path / "other", "other", gpu_name="NVIDIA A10", compute_capability="8.6"
    )
    push(other, reference(registry, "2"), plain_http=True)
    theirs = registry.documents["2"]
    registry.on_blob = lambda: registry.documents.update({"1": theirs})
    with pytest.raises(ArtefactError, match=r"is other for nvidia-a10-.*, and would be tiny here"):
        pushed(for_l4, registry)
    assert registry.documents["1"] == theirs


def test_something_else_that_came_meanwhile_stays(registry: SmallRegistry, for_l4: Path) -> None:
    theirs = (MANIFEST_TYPE, b'{"mediaType": "application/vnd.oci.image.manifest.v1+json"}')
    registry.on_blob = lambda: registry.documents.update({"1": theirs})
    with pytest.raises(ArtefactError, match="somebody else's, and stays"):
        pushed(for_l4, registry)
    assert registry.documents["1"] == theirs


def test_no_sbom_is_written_where_the_repository_is_not_taken(
    registry: SmallRegistry, for_cpu: Path, for_l4: Path, tmp_path: Path
) -> None:
    pushed(for_cpu, registry)
    pushed(for_l4, registry)
    pulled(registry, tmp_path / "r")
    options = {"sbom": tmp_path / "sbom.json", "target": "nvidia-l4-8.9-tensorrt-10.16.1.11"}
    with pytest.raises(ArtefactError, match="holds another repository"):
        pulled(registry, tmp_path / "r", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    pulled(registry, tmp_path / "r", **options, replaces=True)
    assert json.loads((tmp_path / "sbom.json").read_text())["bomFormat"] == "CycloneDX"
