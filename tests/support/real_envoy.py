"""Envoy beside a server, as the chart configures it; only its places are of this machine."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from chart import Object, containers_of, of_kind, pod_of


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        port: int = one.getsockname()[1]
    return port


def container(objects: list[Object], name: str) -> Object:
    (one,) = (one for one in containers_of(pod_of(objects)) if one["name"] == name)
    return one


@contextmanager
def envoy(
    tools: Path, folder: Path, objects: list[Object], *, secret: Path, grpc_url: str
) -> Iterator[int]:
    """Run it; yield the port that callers would reach as the service's.

    Args:
        tools: Where `scripts/deploy_tools.sh` put it.
        folder: For its configuration and log.
        objects: The chart's.
        secret: Folder with the files of the chart's secret.
        grpc_url: Of the server.
    """
    (files,) = (one for one in of_kind(objects, "ConfigMap") if "envoy.yaml" in one["data"])
    beside = container(objects, "envoy")
    port = free_port()
    text = str(files["data"]["envoy.yaml"])
    (served_at,) = (one["containerPort"] for one in beside["ports"])
    for chart, here in {
        "/etc/tls": str(secret),
        f"port_value: {served_at}": f"port_value: {port}",
        "port_value: 8001": f"port_value: {grpc_url.rpartition(':')[2]}",
    }.items():
        assert chart in text
        text = text.replace(chart, here)
    (folder / "envoy.yaml").write_text(text)
    mounts = {mount["mountPath"] for mount in beside["volumeMounts"]}
    assert {"/etc/tls", "/opt/files"} <= mounts
    command = [word.replace("/opt/files", str(folder)) for word in beside["command"]]
    command[0] = str(tools / "envoy/envoy/_bin/envoy")
    with (folder / "envoy.log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _await_listening(process, port, folder / "envoy.log")
            yield port
        finally:
            process.terminate()


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
