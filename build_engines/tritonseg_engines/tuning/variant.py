"""One build of a model: what its precision and layout are, what its gate measured, its configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.check import changed_since_build
from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import CONFIG_FILE, read_config
from tritonseg_engines.repository.manifests import read_manifest, versions_of
from tritonseg_engines.repository.served_versions import served_versions
from tritonseg_engines.tuning.configs import Configs, settings_of
from tritonseg_engines.tuning.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """What the gate measured when the variant was built.

    Attributes:
        equal_pixels: Share of the pixels with the class that the export gives, 0 to 1.
        miou_drop_points: mIoU lost against labels, in points; None if there were none.
        pictures: On which, in the gate's words.
    """

    equal_pixels: float
    miou_drop_points: float | None
    pictures: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A build of the model that is tuned, among others of it.

    Attributes:
        repository: Where it lies.
        model: Its name there.
        layout: "ensemble", "single" or "fused".
        precision: "fp32", "fp16" or "int8".
        runtime: "openvino" or "tensorrt".
        onnx_sha256: Of the export that it was built from.
        accuracy: As the gate measured it.
        configs: Of its folders, as they are.
        settings: What they say.
        texts: The same configs as their files have them.
    """

    repository: Path
    model: str
    layout: str
    precision: str
    runtime: str
    onnx_sha256: str
    accuracy: Accuracy
    configs: Configs = field(repr=False)
    settings: Settings
    texts: Mapping[str, str] = field(repr=False)

    @property
    def label(self) -> str:
        """How reports call it."""
        return f"{self.layout} {self.precision}"

    @property
    def on_cpu(self) -> bool:
        """Whether its engine runs on the CPU."""
        return self.runtime == "openvino"


def read_variants(model: str, repositories: Sequence[Path]) -> tuple[Variant, ...]:
    """Return the variants of a model, one of each repository, in their order.

    Raises:
        RepositoryError: A repository lacks it, or it was changed since it was built, or two were
            not built from the same export, or two are the same build.
    """
    variants = tuple(_read_variant(model, repository) for repository in repositories)
    first = variants[0]
    for one in variants[1:]:
        if one.onnx_sha256 != first.onnx_sha256:
            raise RepositoryError(
                f"{one.repository / model} and {first.repository / model} were built from "
                "different exports, so neither can stand for the other; tune them one by one"
            )
    labels = [one.label for one in variants]
    for label in labels:
        if labels.count(label) > 1:
            raise RepositoryError(
                f"two of the repositories have {model} as {label}: expected builds that differ in "
                "precision or layout"
            )
    return variants


def _read_variant(model: str, repository: Path) -> Variant:
    folder = repository / model
    versions = {one.version: one for one in versions_of(folder)} if folder.is_dir() else {}
    if not versions:
        raise RepositoryError(
            f"{repository} holds no model '{model}' that tritonseg built; "
            "`tritonseg doctor --repository` lists what it holds"
        )
    problems = changed_since_build(repository, (model,))
    if problems:
        raise RepositoryError(problems[0])
    # The highest that is served answers callers who name none, as those of a load test.
    served = served_versions(read_config(folder / CONFIG_FILE), versions)
    if not served:
        raise RepositoryError(f"{folder}: its version_policy leaves no version to serve")
    manifest = read_manifest(versions[max(served, key=int)].manifest_path)
    gate, provenance = manifest.get("gate"), manifest["provenance"]
    if not manifest.get("files") or gate is None:
        raise RepositoryError(f"{folder} has no engine yet; build it where it is to be tuned")
    texts = {
        name: (repository / name / CONFIG_FILE).read_text(encoding="utf-8")
        for name in (folder_names(model) if manifest["layout"] == "ensemble" else (model,))
    }
    configs = {name: read_config(repository / name / CONFIG_FILE) for name in texts}
    return Variant(
        repository=repository,
        model=model,
        layout=manifest["layout"],
        precision=provenance["precision"],
        runtime=provenance["runtime"],
        onnx_sha256=provenance["onnx_sha256"],
        accuracy=Accuracy(
            equal_pixels=gate["equal_pixels"],
            miou_drop_points=gate["miou_drop_points"],
            pictures=gate["pictures"],
        ),
        configs=configs,
        settings=settings_of(model, configs),
        texts=texts,
    )
