"""A step that is to read its inputs in a GPU's memory does not load, on any machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.repository.files import read_config
from tritonseg_engines.serving import ServerConfig, TritonServer


@pytest.mark.parametrize("step", ["normalize", "argmax"])
def test_inputs_in_the_gpus_memory_are_refused(
    step: str, demo_repository: Path, tmp_path: Path
) -> None:
    """As `--gpu-argmax` wrote it first: under load the masks were those of other tensors."""
    repository = Path(shutil.copytree(demo_repository, tmp_path / "repository"))
    path = repository / f"street-demo_{step}" / "config.pbtxt"
    config = read_config(path)
    config.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value = "no"
    path.write_text(str(config))
    server = TritonServer(ServerConfig(repositories=(repository,)))
    with pytest.raises(ServerStartError, match=r'FORCE_CPU_ONLY_INPUT_TENSORS is "no".+again'):
        server.start()
