"""Start a real Triton from one command, without a container.

Example:
    with TritonServer(ServerConfig(repositories=(Path("model_repository"),))) as server:
        raise SystemExit(run_until_signal(server))
"""

from __future__ import annotations

from tritonseg_engines.serving.config import ServerConfig
from tritonseg_engines.serving.foreground import run_until_signal
from tritonseg_engines.serving.installation import TritonInstallation, find_tritonserver
from tritonseg_engines.serving.server import TritonServer

__all__ = [
    "ServerConfig",
    "TritonInstallation",
    "TritonServer",
    "find_tritonserver",
    "run_until_signal",
]
