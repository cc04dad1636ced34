"""What tuning changes in a model's configs, and what it must not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository import Serving
from tritonseg_engines.repository.check import changed_since_build
from tritonseg_engines.tuning.candidate import Candidate
from tritonseg_engines.tuning.patch import apply, rewritten, unified_patch
from tritonseg_engines.tuning.settings import WORDS, Settings
from tritonseg_engines.tuning.trial import write_copy
from tritonseg_engines.tuning.variant import read_variants
from tuned_builds import build

OTHER = Settings(
    engine_instances=2,
    engine_threads=3,
    normalize_instances=4,
    argmax_instances=5,
    max_batch_size=4,
    queue_delay_us=700,
    queue_limit=11,
    queue_ms=321,
)
CASES = [("ensemble", "openvino"), ("single", "openvino"), ("ensemble", "tensorrt"),
         ("fused", "tensorrt")]  # fmt: skip
cases = pytest.mark.parametrize(("layout", "runtime"), CASES)


def other(variant_settings: Settings) -> Settings:
    """Every setting that the variant has, at another value."""
    present = [
        one.name for one in fields(Settings) if getattr(variant_settings, one.name) is not None
    ]
    return replace(variant_settings, **{name: getattr(OTHER, name) for name in present})


@cases
def test_what_is_written_is_read_back(tmp_path: Path, layout: str, runtime: str) -> None:
    variant = build(tmp_path / "built", layout=layout, runtime=runtime)
    candidate = Candidate(variant=variant, settings=other(variant.settings))
    write_copy(variant.repository, candidate.configs, tmp_path / "copy")
    (copy,) = read_variants("tiny", [tmp_path / "copy"])
    assert copy.settings == candidate.settings != variant.settings


@cases
def test_masks_are_decided_by_nothing_that_changed(
    tmp_path: Path, layout: str, runtime: str
) -> None:
    variant = build(tmp_path / "built", layout=layout, runtime=runtime)
    candidate = Candidate(variant=variant, settings=other(variant.settings))
    write_copy(variant.repository, candidate.configs, tmp_path / "copy")
    assert changed_since_build(tmp_path / "copy") == []


@cases
def test_as_built_changes_nothing(tmp_path: Path, layout: str, runtime: str) -> None:
    variant = build(tmp_path / "built", layout=layout, runtime=runtime)
    as_built = Candidate.as_built(variant)
    assert as_built.configs == variant.configs
    assert unified_patch(as_built) == ""
    assert as_built.label == f"{layout} fp32, as it is"


def test_settings_are_where_triton_looks_for_them(tmp_path: Path) -> None:
    serving = Serving(max_batch_size=8, engine_instances=2, step_instances=3, queue_delay_us=250,
                      max_queue_size=16)  # fmt: skip
    variant = build(tmp_path / "built", runtime="tensorrt", serving=serving)
    assert variant.settings == Settings(
        engine_instances=2, normalize_instances=3, argmax_instances=3, max_batch_size=8,
        queue_delay_us=250, queue_limit=16, queue_ms=0,
    )  # fmt: skip
    changed = Candidate(variant=variant, settings=replace(variant.settings, argmax_instances=1))
    (argmax,) = changed.configs["tiny_argmax"].instance_group
    (engine,) = changed.configs["tiny_engine"].instance_group
    assert (argmax.count, engine.count) == (1, 2)


@cases
def test_a_patch_makes_what_apply_makes(tmp_path: Path, layout: str, runtime: str) -> None:
    variant = build(tmp_path / "built", layout=layout, runtime=runtime)
    candidate = Candidate(variant=variant, settings=other(variant.settings))
    patched = tmp_path / "patched"
    shutil.copytree(variant.repository, patched)
    subprocess.run(
        ["patch", "-p1", "-d", str(patched)], input=unified_patch(candidate), text=True, check=True
    )
    apply(candidate)
    for path in variant.repository.rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes() == (patched / path.relative_to(variant.repository)).read_bytes()
            )
    (applied,) = read_variants("tiny", [variant.repository])
    assert applied.settings == candidate.settings


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\n# ours: ask Anna"])
def test_a_patch_applies_however_a_config_ends(tmp_path: Path, ending: str) -> None:
    path = build(tmp_path / "built", layout="single").repository / "tiny" / "config.pbtxt"
    path.write_text(path.read_text().rstrip() + ending)
    (variant,) = read_variants("tiny", [tmp_path / "built"])
    candidate = Candidate(variant=variant, settings=replace(variant.settings, engine_instances=2))
    command = ["patch", "-p1", "-d", str(variant.repository)]
    subprocess.run(command, input=unified_patch(candidate), text=True, check=True)
    (patched,) = read_variants("tiny", [tmp_path / "built"])
    assert patched.settings == candidate.settings
    assert rewritten(candidate) == ([] if ending == "\n" else ["tiny"])


def test_apply_refuses_a_config_that_changed_meanwhile(tmp_path: Path) -> None:
    variant = build(tmp_path / "built")
    path = variant.repository / "tiny_engine" / "config.pbtxt"
    text = path.read_text().replace("count: 1", "count: 7")
    path.write_text(text)
    candidate = Candidate(variant=variant, settings=replace(variant.settings, engine_instances=2))
    with pytest.raises(RepositoryError, match="was changed meanwhile; nothing was applied"):
        apply(candidate)
    assert path.read_text() == text


def test_apply_keeps_comments_by_refusing(tmp_path: Path) -> None:
    path = build(tmp_path / "built").repository / "tiny_engine" / "config.pbtxt"
    text = "# ours: ask Anna\n" + path.read_text()
    path.write_text(text)
    (variant,) = read_variants("tiny", [tmp_path / "built"])
    candidate = Candidate(variant=variant, settings=replace(variant.settings, engine_instances=2))
    with pytest.raises(RepositoryError, match="has comments or an order of its own"):
        apply(candidate)
    assert path.read_text() == text


def test_instances_that_were_placed_by_hand_are_not_tuned(tmp_path: Path) -> None:
    path = build(tmp_path / "built", runtime="tensorrt").repository / "tiny_engine/config.pbtxt"
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_GPU, count=1, gpus=[1])
    path.write_text(text_format.MessageToString(config))
    with pytest.raises(RepositoryError, match="expected one instance_group to tune, got 2"):
        read_variants("tiny", [tmp_path / "built"])


def test_builds_of_two_exports_do_not_compete(tmp_path: Path) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two", layout="single", onnx_sha256="1" * 64)
    with pytest.raises(RepositoryError, match="were built from different exports"):
        read_variants("tiny", [tmp_path / "one", tmp_path / "two"])


def test_builds_that_differ_in_nothing_do_not_compete(tmp_path: Path) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two")
    with pytest.raises(RepositoryError, match="expected builds that differ in precision or layout"):
        read_variants("tiny", [tmp_path / "one", tmp_path / "two"])


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    build(tmp_path / "one")
    with pytest.raises(RepositoryError, match="holds no model 'street' that tritonseg built"):
        read_variants("street", [tmp_path / "one"])


def test_every_setting_has_words() -> None:
    assert WORDS.keys() == {one.name for one in fields(Settings)}


@pytest.mark.parametrize("text", ["abc", '"abc"', "0", "-1", "1.5", "1e9", "true", ""])
def test_a_number_that_no_step_would_load_with_is_refused(tmp_path: Path, text: str) -> None:
    path = build(tmp_path / "built", layout="single").repository / "tiny/config.pbtxt"
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    config.parameters["tritonseg_queue"].string_value = text
    path.write_text(text_format.MessageToString(config))
    with pytest.raises(RepositoryError, match=r"tiny/config\.pbtxt: tritonseg_queue: expected an"):
        read_variants("tiny", [tmp_path / "built"])


def test_accuracy_is_that_of_the_version_that_is_served(tmp_path: Path) -> None:
    repository = build(tmp_path / "built", layout="single", equal_pixels=0.99).repository
    first = repository / "tiny" / "1"
    shutil.copytree(first, repository / "tiny" / "2")
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["gate"]["equal_pixels"] = 0.5
    manifest["files"] = {name.replace("/1/", "/2/"): one for name, one in manifest["files"].items()}
    (repository / "tiny/2/manifest.json").write_text(json.dumps({**manifest, "version": "2"}))
    config = repository / "tiny/config.pbtxt"
    for served, equal_pixels in (("versions: 1", 0.99), ("versions: 1 versions: 2", 0.5)):
        text = re.sub(
            r"version_policy \{.*?\n\}\n", "", config.read_text(), flags=re.S
        )  # as Triton wants it, once
        config.write_text(f"{text}version_policy {{\n  specific {{ {served} }}\n}}\n")
        (variant,) = read_variants("tiny", [repository])
        assert variant.accuracy.equal_pixels == equal_pixels


def test_a_linked_engine_is_what_it_leads_to(tmp_path: Path) -> None:
    """As a store of blobs has it, by a relative link."""
    variant = build(tmp_path / "built", layout="single")
    engine = variant.repository / "tiny/1/model.onnx"
    engine.rename(tmp_path / "blob")
    engine.symlink_to(Path("../../../blob"))
    write_copy(variant.repository, variant.configs, tmp_path / "somewhere" / "else" / "copy")
    copied = tmp_path / "somewhere/else/copy/tiny/1/model.onnx"
    assert copied.read_bytes() == b"the engine"


def test_a_smaller_batch_is_one_that_triton_loads(tmp_path: Path) -> None:
    """It refuses a preferred batch, and a warm-up, that is larger than the largest."""
    serving = Serving(max_batch_size=8, preferred_batch_sizes=(2, 8), queue_delay_us=100)
    variant = build(tmp_path / "built", runtime="tensorrt", serving=serving)
    smaller = Candidate(variant=variant, settings=replace(variant.settings, max_batch_size=4))
    engine = smaller.configs["tiny_engine"]
    assert list(engine.dynamic_batching.preferred_batch_size) == [2]
    assert [sample.batch_size for sample in engine.model_warmup] == [1]
    assert all(config.max_batch_size == 4 for config in smaller.configs.values())


def test_a_copy_of_folders_that_may_not_be_written_can_be(tmp_path: Path) -> None:
    """Root may write everywhere, so the rights themselves are looked at."""
    variant = build(tmp_path / "built")
    folders = [path for path in variant.repository.rglob("*") if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    write_copy(variant.repository, variant.configs, tmp_path / "copy")
    copied = [path for path in (tmp_path / "copy").rglob("*") if path.is_dir()]
    assert len(copied) == len(folders)
    assert all(path.stat().st_mode & 0o200 for path in copied)
    assert not any(path.stat().st_mode & 0o200 for path in folders)
    for path in folders:
        path.chmod(0o755)
