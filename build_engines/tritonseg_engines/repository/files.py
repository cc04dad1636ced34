"""The files of a model in a repository."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonseg_engines.errors import RepositoryError
from tritonseg_engines.tensorrt import PLAN_FILE

VERSION_FOLDER = "1"
CONFIG_FILE = "config.pbtxt"
MANIFEST_FILE = "manifest.json"
EMPTY_FOLDER_FILE = ".gitkeep"
"""Version folders must be there even where nothing is in them, and git keeps no empty ones."""
WARM_UP_FOLDER = "warmup"
STEP_FILE = "model.py"
ONNX_FILE = "model.onnx"
"""What a CPU engine runs; a GPU's is `PLAN_FILE`."""
WRITTEN = {
    "": {CONFIG_FILE, MANIFEST_FILE, "report.json", "report.html", VERSION_FOLDER, WARM_UP_FOLDER},
    VERSION_FOLDER: {STEP_FILE, ONNX_FILE, PLAN_FILE, EMPTY_FOLDER_FILE, "__pycache__"},
    WARM_UP_FOLDER: {"image_size"},
}
"""What builds write into a model's folder, and Python into its versions, by folder in it."""


def read_config(path: Path) -> pb.ModelConfig:
    """Parse a `config.pbtxt`.

    Raises:
        RepositoryError: It is not one.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise RepositoryError(f"{path}: expected a Triton model config: {error}") from error
