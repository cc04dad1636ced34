"""A server of tokens, as the large registries have one, for a registry on this machine.

Source: distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ISSUER, SERVICE = "tests", "registry"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate of its own authority.

    Attributes:
        pem: Its file.
        key: That of its private key.
    """

    pem: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class TokenServer:
    """One that runs.

    Attributes:
        auth: YAML that makes a registry ask for its tokens.
        asked: User names that tokens were asked with, None for nobody's.
    """

    auth: str
    asked: list[str | None] = field(default_factory=list)


def write_certificate(folder: Path, host: str = "127.0.0.1") -> Certificate:
    import ipaddress

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(pem=folder / "certificate.pem", key=folder / "certificate.key")
    made.pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return made


@contextlib.contextmanager
def tokens(folder: Path, user: str, password: str) -> Iterator[TokenServer]:
    """Run a server that lets one user push and pull, and everybody else nothing."""
    certificate = write_certificate(folder)
    known = base64.b64encode(f"{user}:{password}".encode()).decode()
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            scheme, _, login = self.headers.get("Authorization", "").partition(" ")
            asked.append(base64.b64decode(login).decode().partition(":")[0] if login else None)
            may = scheme == "Basic" and login == known
            token = _token(certificate, query.get("scope", []) if may else [])
            body = json.dumps({"token": token}).encode()
            self.send_response(200 if may or not login else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        realm = f"http://127.0.0.1:{server.server_address[1]}/token"
        auth = (
            f"auth: {{token: {{realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, "
            f"rootcertbundle: '{certificate.pem}'}}}}\n"
        )
        try:
            yield TokenServer(auth=auth, asked=asked)
        finally:
            server.shutdown()
            thread.join()


def _token(certificate: Certificate, scopes: list[str]) -> str:
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    der = x509.load_pem_x509_certificate(certificate.pem.read_bytes()).public_bytes(Encoding.DER)
    now = int(time.time())
    claims = {
        "iss": ISSUER, "sub": "", "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now,
        "jti": str(now), "access": access,
    }  # fmt: skip
    headers = {"x5c": [base64.b64encode(der).decode()]}
    return jwt.encode(claims, certificate.key.read_text(), algorithm="RS256", headers=headers)
