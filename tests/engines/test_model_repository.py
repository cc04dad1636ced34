"""The committed repository is what the generator writes, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tiny_models import tiny_spec
from tritonseg_engines.cli.repository_command import command
from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.repository.unbuilt import write_unbuilt
from tritonseg_engines.spec import InputSpec
from tritonseg_engines.zoo import ZOO_SPECS, get_spec

COMMITTED = Path(__file__).parents[2] / "model_repository"


def contents(repository: Path) -> dict[str, bytes]:
    return {
        path.relative_to(repository).as_posix(): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file() and path.suffix != ".plan"
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("written")
    outcome = CliRunner().invoke(command, ["--all", "-o", str(repository)])
    assert outcome.exit_code == 0, outcome.output
    return repository


def test_the_committed_repository_is_what_is_generated(written: Path) -> None:
    committed = contents(COMMITTED)
    assert committed.pop("README.md")
    generated = contents(written)
    assert sorted(committed) == sorted(generated), "run: tritonseg repository --all"
    different = [name for name in generated if committed[name] != generated[name]]
    assert different == [], "run: tritonseg repository --all"


def test_every_published_model_has_its_four_folders(written: Path) -> None:
    steps = ("", "_normalize", "_engine", "_argmax")
    expected = {f"{model}{step}" for model in ZOO_SPECS for step in steps}
    assert {path.name for path in written.iterdir()} == expected


@pytest.mark.parametrize("model", ZOO_SPECS)
def test_tensors_of_the_steps_fit_together(model: str, written: Path) -> None:
    ensemble = read_config(written / model / "config.pbtxt")
    tensors = {value.name: (value.data_type, list(value.dims)) for value in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        config = read_config(written / step.model_name / "config.pbtxt")
        # Source: core `ensemble_utils.cc`; a step must take at least the ensemble's batch.
        assert config.max_batch_size >= ensemble.max_batch_size
        for value in config.input:
            assert tensors[step.input_map[value.name]] == (value.data_type, list(value.dims))
        for value in config.output:
            tensors[step.output_map[value.name]] = (value.data_type, list(value.dims))
    for value in ensemble.output:
        assert tensors[value.name] == (value.data_type, list(value.dims))


def test_scores_have_the_size_at_which_the_networks_compute(written: Path) -> None:
    """Source: the published cards and upstream's code; see `zoo` for each."""
    dims = {
        model: list(read_config(written / f"{model}_engine" / "config.pbtxt").output[0].dims)
        for model in ZOO_SPECS
    }
    at_a_quarter = [19, 256, 512]
    assert dims == {
        "fastseg-small": [19, 512, 1024],
        "pspnet-pytorch": [21, 64, 64],
        "ocrnet-hrnet-w48-paddle": at_a_quarter,
        "hrnetv2-w48-cityscapes": at_a_quarter,
        "hrnetv2-w18-small-v1-cityscapes": at_a_quarter,
        "hrnetv2-w18-small-v2-cityscapes": at_a_quarter,
    }


def test_some_models_by_name(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(command, ["fastseg-small", "-o", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("arguments", [[], ["fastseg-small", "--all"]])
def test_names_or_all(arguments: list[str]) -> None:
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 2
    assert "give either names of models or --all" in outcome.output


def test_a_built_engine_is_not_overwritten(tmp_path: Path) -> None:
    spec = get_spec("fastseg-small")
    model = write_unbuilt(spec, tmp_path)
    write_unbuilt(spec, tmp_path)
    manifest = model / "1" / "manifest.json"
    built = '"files": {"fastseg-small_engine/1/model.plan": "0"}'
    manifest.write_text(manifest.read_text().replace('"files": {}', built))
    before = contents(tmp_path)
    with pytest.raises(RepositoryError, match="fastseg-small has a built engine"):
        write_unbuilt(spec, tmp_path)
    assert contents(tmp_path) == before


def test_only_published_models_of_a_known_size(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="tiny: its score stride is unknown"):
        write_unbuilt(tiny_spec(), tmp_path)
    any_size = tiny_spec(height=None, width=None)
    assert any_size.input == InputSpec(name="image")
    with pytest.raises(RepositoryError, match="expected a published input size"):
        write_unbuilt(any_size, tmp_path)
    assert not list(tmp_path.iterdir())
