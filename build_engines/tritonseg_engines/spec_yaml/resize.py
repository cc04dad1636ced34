"""`resize`: a policy, with the size that may stand elsewhere, and what pixels are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import Any

from tritonseg_engines.spec import InputSpec
from tritonseg_steps.geometry import Size
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import (
    CenterCrop,
    FitPad,
    FixedSize,
    Native,
    ResizePolicy,
    Stretch,
    resize_from_json,
)

FIXED_SIZE_POLICIES = (Stretch.policy, FitPad.policy, CenterCrop.policy)
RESAMPLING_KEYS = tuple(field.name for field in dataclass_fields(Resampling))

ExportSize = Callable[[str], Size | None]
"""Height and width that an export declares, by the layout of its input; None where open."""


def read_resize(
    document: Mapping[str, Any] | None, input_spec: InputSpec, export_hw: ExportSize
) -> tuple[ResizePolicy, Resampling, InputSpec]:
    """Return the policy, the resampling, and the input with the size that the policy leads to.

    Policies of one size take it from `resize`, else from `input`, else from the file.

    Raises:
        ValueError: The policy is unknown, has other keys, or no size.
    """
    if document is None:
        return Native(), Resampling(), input_spec
    how = {key: value for key, value in document.items() if key in RESAMPLING_KEYS}
    fields = {key: value for key, value in document.items() if key not in how}
    if fields.get("policy") in FIXED_SIZE_POLICIES and not {"height", "width"} <= fields.keys():
        size_hw = input_spec.size_hw or export_hw(input_spec.layout)
        if size_hw is None:
            raise ValueError(
                f"resize: {fields['policy']} needs resize.height and resize.width, which neither "
                "the specification nor the export has"
            )
        fields = {"height": size_hw[0], "width": size_hw[1], **fields}
    policy = resize_from_json(fields)
    if how and isinstance(policy, Native):
        raise ValueError(f"resize.{next(iter(how))}: expected no such key, native resizes nothing")
    if isinstance(policy, FixedSize) and input_spec.size_hw is None:
        input_spec = replace(input_spec, height=policy.height, width=policy.width)
    return policy, Resampling(**how), input_spec
