"""The SBOM: valid by CycloneDX's own schema, the same for the same content, and true."""

from __future__ import annotations

import json
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tritonseg_engines.artefact.content import content_of
from tritonseg_engines.artefact.sbom import sbom
from tritonseg_engines.checksum import sha256_of


def test_it_is_valid_whatever_the_models(for_cpu: Path, for_l4: Path) -> None:
    for repository in (for_cpu, for_l4):
        text = sbom(content_of(repository)).decode()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_validator_refuses_something(for_cpu: Path) -> None:
    document = json.loads(sbom(content_of(for_cpu)))
    document["components"][0]["type"] = "nonsense"
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(document)) is not None


def test_it_is_the_same_each_time_and_another_for_other_content(
    for_cpu: Path, for_l4: Path
) -> None:
    once, again = sbom(content_of(for_cpu)), sbom(content_of(for_cpu))
    assert once == again
    serials = {json.loads(sbom(content_of(one)))["serialNumber"] for one in (for_cpu, for_l4)}
    assert len(serials) == 2


def test_it_names_the_export_the_versions_and_every_file(for_cpu: Path) -> None:
    document = json.loads(sbom(content_of(for_cpu)))
    receipt = json.loads((for_cpu / "tiny/1/receipt.json").read_text())
    by_type = {
        kind: [one for one in document["components"] if one["type"] == kind]
        for kind in ("library", "machine-learning-model")
    }
    versions = {one["name"]: one["version"] for one in by_type["library"]}
    assert versions == {
        name: version for name, version in receipt["made_with"].items() if name != "contract"
    }
    (model,) = by_type["machine-learning-model"]
    told = {one["name"]: one["value"] for one in model["properties"]}
    assert told["tritonseg:export-sha256"] == sha256_of(for_cpu.parent / "export.onnx")
    assert told["tritonseg:digest"] == receipt["digest"]
    files = {one["name"]: one["hashes"][0]["content"] for one in model["components"]}
    assert files == {name: sha256_of(for_cpu / name) for name in receipt["files"]}
    depended = {one["ref"]: set(one.get("dependsOn", ())) for one in document["dependencies"]}
    assert depended["repository"] == {"tiny/1"}
    assert depended["tiny/1"] == {f"{name}=={version}" for name, version in versions.items()}
