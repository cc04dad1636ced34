"""What Kubernetes asks of a pod, asked of a real Triton."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.serving.health import METHOD, health

pytestmark = pytest.mark.e2e


def test_a_grpc_probe_is_answered_by_the_server_as_a_whole(repository: Path) -> None:
    """Triton looks at no service's name, so the chart's probes have none."""
    with (
        TritonServer(ServerConfig(repositories=(repository,))) as server,
        grpc.insecure_channel(server.grpc_url) as channel,
    ):
        assert health(server.grpc_url, timeout_s=5) == "SERVING"
        named = b"\n\x04nope"  # HealthCheckRequest: field 1, the service
        assert channel.unary_unary(METHOD)(named, timeout=5) == b"\x08\x01"
