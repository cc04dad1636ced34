"""A server that listens and is not ready, until it is let go.

Triton has no switch for that. With `--strict-readiness` it is not ready as long as a model that it
was told to load has failed to. So one more model is in a repository of its own, whose config names
a backend that does not exist, and is mended and unloaded once the server may be ready: a model that
was unloaded does not count. Measured with 2.51: gRPC's health, HTTP's and Triton's own say "not
ready" from the first answer on; one that only failed cannot be unloaded, hence the mending.
Source: `InferenceServer::IsReady` of the core.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tritonseg_engines.errors import ServerStartError
from tritonseg_engines.repository.files import CONFIG_FILE
from tritonseg_engines.serving.access import new_key
from tritonseg_engines.serving.config import HeldBack, ServerConfig

GATE_MODEL: Final = "tritonseg_gate"
FOLDER: Final = "held-back"
CALL_TIMEOUT_S: Final = 60.0
"""For a Python process to start on a busy machine."""
_POLL_INTERVAL_S: Final = 0.02
_CONFIG: Final = """\
backend: "{backend}"
max_batch_size: 0
input [{{ name: "IN" data_type: TYPE_UINT8 dims: [1] }}]
output [{{ name: "OUT" data_type: TYPE_UINT8 dims: [1] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
"""
_MODEL: Final = "class TritonPythonModel:\n    pass\n"


class Gate:
    """The one more model.

    Args:
        repository: Where to put it, for this server alone.
        config: Of the server.
    """

    def __init__(self, repository: Path, config: ServerConfig) -> None:
        self.repository = repository
        self.held_back = HeldBack(model=GATE_MODEL, key=new_key())
        self._config, self._headers = config, self.held_back.headers(config)
        self._folder = repository / GATE_MODEL
        (self._folder / "1").mkdir(parents=True)
        self._write("none_until_verified")

    def failed(self, url: str, repositories: Sequence[Path]) -> list[str]:
        """Return the models that were to be loaded, and are not.

        Args:
            url: `HOST:PORT` of the server's gRPC, once it listens.
            repositories: All that it was started on, but this one.
        """
        with triton.InferenceServerClient(url) as client:
            index = client.get_model_repository_index(
                headers=self._headers, client_timeout=CALL_TIMEOUT_S
            ).models
        broken = {
            one.name for one in index if one.state not in ("READY", "") and one.reason != "unloaded"
        }
        ready = {one.name for one in index if one.state == "READY"}
        return sorted((broken | (self._expected(repositories) - ready)) - {GATE_MODEL})

    def open(self, url: str) -> None:
        """Let the server become ready.

        Raises:
            ServerStartError: It does not.
        """
        self._write("python")
        (self._folder / "1" / "model.py").write_text(_MODEL, encoding="utf-8")
        with triton.InferenceServerClient(url) as client:
            try:
                for call in (client.load_model, client.unload_model):
                    call(GATE_MODEL, headers=self._headers, client_timeout=CALL_TIMEOUT_S)
            except InferenceServerException as error:
                raise ServerStartError(
                    f"the server was held back until it was verified, and does not let go: "
                    f"{error.message()}"
                ) from error
            self._await_ready(client)

    def _expected(self, repositories: Sequence[Path]) -> set[str]:
        if self._config.models:
            return set(self._config.models)
        configs = (path for one in repositories for path in one.glob(f"*/{CONFIG_FILE}"))
        return {path.parent.name for path in configs if not path.parent.name.startswith(".")}

    def _await_ready(self, client: triton.InferenceServerClient) -> None:
        deadline = time.monotonic() + CALL_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(InferenceServerException):
                if client.is_server_ready(client_timeout=CALL_TIMEOUT_S):
                    return
            time.sleep(_POLL_INTERVAL_S)
        raise ServerStartError(
            f"the server was verified, and is not ready {CALL_TIMEOUT_S:g} s later"
        )

    def _write(self, backend: str) -> None:
        text = _CONFIG.format(backend=backend)
        (self._folder / "config.pbtxt").write_text(text, encoding="utf-8")
