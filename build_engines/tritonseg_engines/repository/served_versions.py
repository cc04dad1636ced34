"""Which versions of a model Triton serves, by the policy in its config, and which it must not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.repository.configs import folder_names
from tritonseg_engines.repository.files import (
    CONFIG_FILE,
    FIRST_VERSION,
    read_config,
    version_folders,
)
from tritonseg_engines.repository.manifests import RecordedVersion, versions_of


def served_versions(config: pb.ModelConfig, present: Collection[str]) -> set[str]:
    """Return those of the versions that are there which Triton loads.

    Source: `ModelVersionPolicy` in common/protobuf/model_config.proto; without one, the latest.

    Args:
        config: Of the model.
        present: Its version folders.
    """
    policy = config.version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return set(present)
    if kind == "specific":
        return set(present) & {str(version) for version in policy.specific.versions}
    count = policy.latest.num_versions or 1
    return set(sorted(present, key=int)[-count:])


def version_problems(version: RecordedVersion) -> Iterator[str]:
    """Find versions that no build wrote, and a policy that names what is not there.

    Triton serves the former where the policy lets it, and no version where one of the latter lacks.
    """
    model = version.folder.parent
    recorded = {one.version for one in versions_of(model)}
    for name in folder_names(version.model):
        built = recorded if name == version.model else {FIRST_VERSION}
        for stray in version_folders(model.parent / name).keys() - built:
            yield (
                f"{name}/{stray} is of no build that is recorded here, or has lost its manifest; "
                "remove that folder"
            )
    policy = read_config(version.config_path).version_policy
    for number in policy.specific.versions:
        if str(number) not in recorded:
            yield (
                f"version_policy in {version.model}/config.pbtxt names version {number}, which is "
                f"not there; it has {' and '.join(sorted(recorded, key=int))}"
            )


def moved_problems(
    version: RecordedVersion, manifest: Mapping[str, Any], again: str
) -> Iterator[str]:
    """Find folders that are not where the build wrote them."""
    built_as = manifest.get("model", version.model)
    if built_as != version.model:
        yield f"was built as {built_as!r}, and its folder was copied or renamed; {again}"
        return
    built_version = manifest.get("version", version.version)
    if built_version != version.version:
        yield (
            f"{version.model}/{version.version} was built as version {built_version}, and copied "
            "or renamed; remove that folder, or give it its name back"
        )


def is_left_out(model: Path, version: str | None) -> bool:
    """Return whether the policy in a model's config keeps Triton from loading a version.

    Args:
        model: Its folder.
        version: None for the first.
    """
    present = [one.version for one in versions_of(model)]
    served = served_versions(read_config(model / CONFIG_FILE), present)
    return (version or FIRST_VERSION) not in served
