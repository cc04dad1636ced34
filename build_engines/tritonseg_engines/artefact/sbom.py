"""What is in an artefact and what made it, as CycloneDX.

Source: CycloneDX 1.6, JSON Reference.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from tritonseg_engines.artefact.content import Content
from tritonseg_engines.repository.files import CONFIG_FILE, read_config
from tritonseg_engines.repository.manifests import read_manifest, versions_of
from tritonseg_engines.repository.messages import texts_of
from tritonseg_engines.repository.receipts import Receipt
from tritonseg_steps import contract

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

_LICENSES: Final = {
    "tritonseg": "Apache-2.0",
    "numpy": "BSD-3-Clause",
    "onnxruntime": "MIT",
    "opencv-python-headless": "Apache-2.0",
    "openvino": "Apache-2.0",
    "tensorrt": "NVIDIA TensorRT Software License Agreement",
}
"""Of what builds use, by the name in a receipt. Source: the packages' own metadata."""
_NO_PACKAGE: Final = {"contract"}
"""What a receipt's versions have beside packages."""


def sbom(content: Content) -> bytes:
    """Return the document for what is pushed: the same bytes for the same content."""
    from cyclonedx.output.json import JsonV1Dot6

    document = json.loads(JsonV1Dot6(_bom(content)).output_as_string())
    # When it was written says nothing of what is in it, and would make another digest each time.
    document["metadata"].pop("timestamp", None)
    document["serialNumber"] = f"urn:uuid:{_serial(document)}"
    return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"


def _serial(document: Mapping[str, Any]) -> uuid.UUID:
    bare = {key: value for key, value in document.items() if key != "serialNumber"}
    text = json.dumps(bare, sort_keys=True)
    return uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(text.encode()).hexdigest())


def _bom(content: Content) -> Bom:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType

    whole = Component(name=",".join(content.models), type=ComponentType.DATA, bom_ref="repository")
    bom = Bom()
    bom.metadata.component = whole
    for checked in content.checked:
        if checked.receipt is None:
            continue
        model = _model(content, checked.receipt)
        bom.components.add(model)
        libraries = [*_libraries(checked.receipt)]
        bom.components.update(libraries)
        bom.register_dependency(whole, [model])
        bom.register_dependency(model, libraries)
    return bom


def _model(content: Content, receipt: Receipt) -> Component:
    """Return a version of a model, with the export that it was built from and its files."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    name, version = receipt.document["model"], receipt.document["version"]
    (recorded,) = [one for one in versions_of(content.repository / name) if one.version == version]
    provenance = read_manifest(recorded.manifest_path)["provenance"]
    config = read_config(content.repository / name / CONFIG_FILE)
    described = json.loads(texts_of(config, version).get(contract.MODEL_PARAMETER, "{}"))
    told = {
        "export-sha256": provenance.get("onnx_sha256"),
        "precision": receipt.document["precision"],
        "runtime": receipt.document["runtime"],
        "layout": receipt.document["layout"],
        "digest": receipt.digest,
        "source": described.get("source"),
        **{f"made-on-{key}": value for key, value in receipt.document["made_on"].items()},
    }
    return Component(
        name=name,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"{name}/{version}",
        licenses=_named(described.get("license")),
        properties=[
            Property(name=f"tritonseg:{key}", value=str(value))
            for key, value in told.items()
            if value is not None
        ],
        components=[
            Component(
                name=path,
                type=ComponentType.FILE,
                bom_ref=f"{name}/{version}:{path}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
            for path, digest in receipt.files.items()
        ],
    )


def _libraries(receipt: Receipt) -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    for name, version in receipt.document["made_with"].items():
        if name not in _NO_PACKAGE:
            yield Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=f"{name}=={version}",
                purl=PackageURL("pypi", name=name, version=version),
                licenses=_named(_LICENSES.get(name)),
            )


def _named(text: str | None) -> list[Any]:
    """Return a licence as CycloneDX has it: an identifier of SPDX's, or its publisher's words."""
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.spdx import is_supported_id

    if not text or text == "unknown":
        return []
    is_known = is_supported_id(text)
    return [DisjunctiveLicense(id=text) if is_known else DisjunctiveLicense(name=text)]
