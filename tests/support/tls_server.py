"""The fake server behind TLS, with a certificate made for the test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2_grpc

from tritonseg.testing import FakeTriton


@contextmanager
def secured(
    triton: FakeTriton, folder: Path, *, asks_for_certificate: bool = False
) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    """Yield the address of a fake behind TLS, and its key and certificate, made in a folder."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    command += f" -addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    pair = (key.read_bytes(), certificate.read_bytes())
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton._service(), server)
    credentials = grpc.ssl_server_credentials(
        [pair],
        root_certificates=pair[1] if asks_for_certificate else None,
        require_client_auth=asks_for_certificate,
    )
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        yield f"localhost:{port}", pair
    finally:
        server.stop(None).wait()
