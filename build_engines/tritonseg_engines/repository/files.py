"""The files of a model in a repository."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.tensorrt import PLAN_FILE

FIRST_VERSION = "1"
CONFIG_FILE = "config.pbtxt"
MANIFEST_FILE = "manifest.json"
"""In the version folder of the model that clients call."""
RECEIPT_FILE = "receipt.json"
"""Beside the manifest: what a deployment is verified by."""
REPORT_FILES = ("report.json", "report.html")
EMPTY_FOLDER_FILE = ".gitkeep"
"""Version folders must be there even where nothing is in them, and git keeps no empty ones."""
WARM_UP_FOLDER = "warmup"
STEP_FILE = "model.py"
ONNX_FILE = "model.onnx"
"""What a CPU engine runs; a GPU's is `PLAN_FILE`."""
WRITTEN_BESIDE_VERSIONS = {CONFIG_FILE, WARM_UP_FOLDER, MANIFEST_FILE, *REPORT_FILES}
"""What builds write into a model's folder; the last three only earlier ones did."""
WRITTEN_IN_VERSION = {
    STEP_FILE, ONNX_FILE, PLAN_FILE, MANIFEST_FILE, RECEIPT_FILE, *REPORT_FILES, EMPTY_FOLDER_FILE,
    "__pycache__",
}  # fmt: skip
"""What builds write into a version's folder, and Python into it."""
WRITTEN_IN_WARM_UP = {"image_size"}
_VERSION = re.compile("[1-9][0-9]*")
"""Names that Triton takes for versions. Source: its "Model Repository", "Model Versions"."""


def version_folders(model: Path) -> dict[str, Path]:
    """Return the version folders of a model's folder by version, the lowest first."""
    found = (folder for folder in model.glob("*/") if _VERSION.fullmatch(folder.name))
    return {folder.name: folder for folder in sorted(found, key=lambda one: int(one.name))}


def read_config(path: Path) -> pb.ModelConfig:
    """Parse a `config.pbtxt`.

    Raises:
        RepositoryError: It is not one.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise RepositoryError(f"{path}: expected a Triton model config: {error}") from error


def has_ensemble(repository: Path) -> bool:
    """Return whether any model of a repository hands tensors on from step to step."""
    for path in repository.glob(f"*/{CONFIG_FILE}"):
        with contextlib.suppress(RepositoryError):  # another's, which may be none
            if read_config(path).HasField("ensemble_scheduling"):
                return True
    return False
