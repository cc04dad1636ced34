"""One case from export to answer, as `tritonseg build --runtime tensorrt --onnx-only` does it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from gpu_check.material import exported, picture_options
from preflight_zoo.rows import Case, Compiled, Failed, Row, read_compiled, write_compiled
from tritonseg_engines import zoo
from tritonseg_engines.build.model import build_model
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.spec import ModelSpec
from tritonseg_engines.target import Runtime
from tritonseg_steps.resize_policy import FitPad

LONGEST_REASON: Final = 400


def spec_of_size(model: str, size_hw: tuple[int, int]) -> ModelSpec:
    """Return the published specification, but for the size of the network's pictures."""
    spec = zoo.get_spec(model)
    height, width = size_hw
    preprocessing = spec.preprocessing
    if isinstance(preprocessing.resize, FitPad):
        resize = replace(preprocessing.resize, height=height, width=width)
        preprocessing = replace(preprocessing, resize=resize)
    size = replace(spec.input, height=height, width=width)
    return replace(spec, input=size, preprocessing=preprocessing)


def ask(case: Case, folder: Path, gpus: Sequence[str], weights: Path | None) -> Row:
    """Return the row of a case; whatever refuses it, build or compiler, is one too.

    Args:
        case: Model, precision, layout and size.
        folder: Where exports and drawn streets are kept.
        gpus: Names out of `preflight.GPUS`.
        weights: Folder with published checkpoints; random weights where one is missing.
    """
    spec = spec_of_size(case.model, case.size_hw)
    place = folder / case.size
    try:
        onnx_path, _ = exported(spec, place, weights)
        options = picture_options(spec, folder, None, None)
        with tempfile.TemporaryDirectory() as workspace:
            report = build_model(
                spec,
                onnx_path,
                Path(workspace) / "model_repository",
                precision=case.precision,
                runtime=Runtime.TENSORRT,
                layout=case.layout,
                options=replace(options, onnx_only=True, preflight_gpus=tuple(gpus)),
            )
    except EngineBuildError as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Failed(case=case, reason=text[:LONGEST_REASON])
    if report.compiler.found is None:
        raise AssertionError("a build that names GPUs asks about them")
    return Compiled.of(case, report.compiler.found)


def ask_all(
    cases: Sequence[Case],
    folder: Path,
    gpus: Sequence[str],
    *,
    weights: Path | None = None,
    again: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Return a row for every case, in their order; those that are there are not asked again."""
    rows: list[Row] = []
    for case in cases:
        path = folder / case.file_name
        kept = None if again else read_compiled(path)
        row: Row
        if kept is not None and set(kept.seconds) == set(gpus):
            row, how = kept, "asked earlier"
        else:
            row = ask(case, folder, gpus, weights)
            how = row.reason if isinstance(row, Failed) else "compiled"
            if isinstance(row, Compiled):
                write_compiled(row, path)
        say(f"{case.model}, {case.size}, {case.precision}, {case.layout}: {how}")
        rows.append(row)
    return rows
