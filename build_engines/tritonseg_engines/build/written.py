"""What a build leaves: a model in the repository or an ONNX file beside it, with its report."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from tritonseg_engines.build.built_graph import BuiltGraph
from tritonseg_engines.build.canaries import receipt_of
from tritonseg_engines.build.engine_file import engine_file_name, judge_plan, write_engine
from tritonseg_engines.build.order import BuildOrder
from tritonseg_engines.gate.refusal import refusal
from tritonseg_engines.gate.report import HTML_NAME, JSON_NAME, write_report
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.repository import (
    Provenance,
    layout_folders,
    obsolete_folders,
    remove_obsolete,
    write_model,
)
from tritonseg_engines.repository.files import MANIFEST_FILE
from tritonseg_engines.repository.manifests import read_manifest
from tritonseg_engines.tensorrt import Gpu

CANARIES: Final = "asking the engine about its canaries"
WAITING: Final = "leaving the earlier layout's steps to servers that poll"


def write_onnx(beside: Path, built: BuiltGraph) -> tuple[Path, Path]:
    """Write the ONNX and its report beside the repository; return their paths."""
    onnx_path, html_path = suffixed(beside, ".onnx"), suffixed(beside, ".report.html")
    save_onnx(built.graph, onnx_path)
    write_report(built.judged.report, suffixed(beside, ".report.json"), html_path)
    return onnx_path, html_path


def write_repository(
    repository: Path, built: BuiltGraph, order: BuildOrder, *, beside: Path, gpu: Gpu | None
) -> tuple[BuiltGraph, Path, Path]:
    """Write the model, and return what was built with the verdict on what will be served."""
    deployment = built.deployment(engine_file_name(gpu))
    with tempfile.TemporaryDirectory() as workspace:
        written = write_engine(
            built.graph,
            deployment,
            Path(workspace),
            gpu=gpu,
            wanted=order.options,
            progress=order.progress,
        )
        if written.plan is not None:
            judged = judge_plan(written.plan, built.judged, progress=order.progress)
            built = replace(built, judged=judged)
            if built.judged.report.verdict == "refused":
                raise refusal(built.judged.report, beside)
        manifest = {**built.manifest(), **written.facts}
        order.progress(CANARIES, 0, 1)
        receipt = receipt_of(built, written.plan)
        order.progress(CANARIES, 1, 1)
        reports = Path(workspace, JSON_NAME), Path(workspace, HTML_NAME)
        write_report(built.judged.report, *reports)
        folder = write_model(
            repository,
            deployment,
            written.file,
            manifest,
            version=order.options.version,
            documents=reports,
            receipt=receipt,
            keeps_obsolete=order.options.grace_s > 0,
        )
    _remove_obsolete(repository, order)
    published = Provenance(**read_manifest(folder / MANIFEST_FILE)["provenance"])
    return replace(built, provenance=published), folder.parent, folder / HTML_NAME


def _remove_obsolete(repository: Path, order: BuildOrder) -> None:
    """Remove the steps of an earlier layout, once servers that poll have had time to notice."""
    name, layout, grace_s = order.prepared.spec.name, order.target.layout, order.options.grace_s
    if grace_s and obsolete_folders(repository, name, layout_folders(name, layout)):
        for second in range(grace_s):
            order.progress(WAITING, second, grace_s)
            time.sleep(1)
        order.progress(WAITING, grace_s, grace_s)
        remove_obsolete(repository, name, layout)


def suffixed(beside: Path, suffix: str) -> Path:
    """Return the path of a file beside the repository."""
    return beside.with_name(beside.name + suffix)
