"""The table of the published models, against rows written by hand; and one row asked for real."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import pytest

from gpu_check.table import PageError, insert_table
from preflight_zoo.__main__ import asked_size
from preflight_zoo.asking import ask_all, spec_of_size
from preflight_zoo.rows import Case, Compiled, Failed, read_compiled, write_compiled
from preflight_zoo.table import BEGIN, END, table
from tritonseg_engines import zoo
from tritonseg_engines.gate.layer_precision import LayerPrecision

GPUS = ("sm_80", "sm_89")
CASE = Case(model="fastseg-small", precision="int8", layout="fused", size_hw=(512, 448))


def layer(node: str, asked: str, macs: int, why: str = "") -> LayerPrecision:
    return LayerPrecision(
        node=node, operator="Conv", asked=asked, network=asked, engine=None, macs=macs, why=why
    )


COMPILED = Compiled(
    case=CASE,
    compiler="1.7.1",
    seconds={"sm_80": 1.0, "sm_89": 2.0},
    engine_bytes={"sm_80": 4_000_000, "sm_89": 5_000_000},
    warnings=(),
    explained=("scales (harmless)",),
    layers=(
        layer("a", "int8", 75),
        layer("b", "fp16", 15, "too dear"),
        layer("c", "fp16", 5, "too dear"),
        layer("d", "fp16", 5, "too dear"),
    ),
)
FAILED = Failed(case=dataclasses.replace(CASE, precision="fp16"), reason="for sm_80: no | kernel")


def cells(text: str, precision: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if f"| {precision} |" in line)
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def test_a_row_says_what_was_compiled_and_in_which_precision() -> None:
    text = table([COMPILED, FAILED], GPUS)
    assert cells(text, "int8") == [
        "fastseg-small, 512x448", "int8", "fused", "2 of 2", "1.5", "4.5 MB", "none",
        "1 int8 (75.0%), 3 fp16 (25.0%)",
    ]  # fmt: skip
    assert cells(text, "fp16")[3] == "0 of 2: for sm_80: no ¦ kernel"
    assert "TensorRT-RTX 1.7.1: 2 of 4 compilations (sm_80, sm_89), 0 of 2 graphs" in text
    assert "Remarked, and changing nothing: scales (harmless)" in text
    assert "- fastseg-small, int8: `b`, `c` and 1 more in fp16: too dear" in text


def test_a_warning_that_nothing_explains_is_in_the_table() -> None:
    text = table([dataclasses.replace(COMPILED, warnings=("it melts",))], GPUS)
    assert cells(text, "int8")[6] == "it melts"
    assert "1 of 1 graphs with a warning" in text


def test_rows_are_kept_and_what_is_damaged_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / CASE.file_name
    assert read_compiled(path) is None
    write_compiled(COMPILED, path)
    assert read_compiled(path) == COMPILED
    path.write_text(path.read_text()[:-20])
    assert read_compiled(path) is None


def test_the_table_has_its_own_place_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    insert_table(page, "new", begin=BEGIN, end=END)
    assert page.read_text() == f"above\n{BEGIN}\nnew\n{END}\nbelow\n"
    with pytest.raises(PageError, match="gpu-check"):
        insert_table(page, "new")


@pytest.mark.parametrize("model", zoo.ZOO_SPECS)
def test_sizes_are_the_cards_or_those_asked_for(model: str) -> None:
    card_hw = zoo.get_spec(model).input.size_hw
    assert asked_size(model, "card") == card_hw
    assert spec_of_size(model, card_hw) == zoo.get_spec(model)
    assert asked_size(model, "96x160") == spec_of_size(model, (96, 160)).input.size_hw == (96, 160)
    large = model in ("pspnet-pytorch", "hrnetv2-w48-cityscapes", "ocrnet-hrnet-w48-paddle")
    assert asked_size(model, None) == ((128, 128) if large else (512, 512))
    with pytest.raises(click.BadParameter, match="expected HEIGHTxWIDTH or card, got '96'"):
        asked_size(model, "96")


def test_a_model_is_asked_about_once(compiler: None, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="exporting a network needs torch")
    case = Case(
        model="hrnetv2-w18-small-v1-cityscapes", precision="int8", layout="fused", size_hw=(64, 128)
    )
    (row,) = ask_all([case], tmp_path, GPUS)
    assert isinstance(row, Compiled), row
    assert row.warnings == ()
    assert [entry.asked for entry in row.layers] == ["int8"] * 73
    written = (tmp_path / case.file_name).stat().st_mtime_ns
    assert ask_all([case], tmp_path, GPUS) == [row]
    assert (tmp_path / case.file_name).stat().st_mtime_ns == written
