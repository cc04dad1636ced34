"""Servers that the chart configures: Envoy before Triton, and rclone before the first start."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import grpc
import numpy as np
import onnx
import psutil
import pytest

from chart import Object, example, merged, rendered
from entrypoint import entrypoint
from real_bucket import RCLONES, Fetching, bucket_values, s3_server, tree
from real_envoy import container, envoy
from served_by_command import ServedByCommand
from tiny_models import ARGMAX, RESIZE, SIZE_HW, TinyModel, run_onnx, tiny_spec
from tritonseg import ConnectError, RetryPolicy, SegmentationClient
from tritonseg_engines.build.model import build_model
from tritonseg_steps.resize_policy import Stretch

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("installation", "deploy_tools")]

IMAGE_HWC = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
ONCE = RetryPolicy(max_retries=0)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one model, `tiny`, for pictures of any size; never served where it lies."""
    folder = tmp_path_factory.mktemp("built")
    onnx.save(TinyModel(tail=[RESIZE]).model(), folder / "export.onnx")
    spec = tiny_spec()
    height, width = SIZE_HW
    resize = Stretch(height=height, width=width)
    spec = replace(spec, preprocessing=replace(spec.preprocessing, resize=resize))
    build_model(spec, folder / "export.onnx", folder / "repository")
    return folder / "repository"


@pytest.fixture(scope="module")
def expected_hw() -> np.ndarray:
    """The class map of the export itself."""
    batch = ((IMAGE_HWC.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
    return run_onnx(TinyModel(tail=[RESIZE, ARGMAX]).model(), batch)[0]


@dataclass(frozen=True, kw_only=True)
class BehindTls:
    """A server behind the chart's Envoy.

    Attributes:
        served: Triton, started with the chart's words.
        port: Envoy's.
        root: Certificate of the authority that both sides trust.
        callers: Private key and certificates by what is said of the caller; None has none.
    """

    served: ServedByCommand
    port: int
    root: bytes
    callers: dict[str, tuple[bytes, bytes] | None]

    def credentials(self, caller: str) -> grpc.ChannelCredentials:
        pair = self.callers[caller]
        return grpc.ssl_channel_credentials(self.root, *(pair or ()))

    def answered(self) -> int:
        """How many requests Triton has had."""
        with urllib.request.urlopen(self.served.addresses["metrics"], timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            int(float(line.split()[-1])) for line in lines if line.startswith("nv_inference_count{")
        )


@pytest.fixture(scope="module")
def behind_tls(
    deploy_tools: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BehindTls]:
    sys.path.append(str(deploy_tools / "trustme"))
    import trustme

    folder, secret = tmp_path_factory.mktemp("envoy"), tmp_path_factory.mktemp("secret")
    ours, theirs = trustme.CA(), trustme.CA()
    server = ours.issue_cert("localhost")
    server.private_key_pem.write_to_path(secret / "tls.key")
    server.cert_chain_pems[0].write_to_path(secret / "tls.crt")
    ours.cert_pem.write_to_path(secret / "ca.crt")
    past = datetime(2024, 1, 1, tzinfo=timezone.utc)
    issued = {
        "right": ours.issue_cert("caller"),
        "of another authority": theirs.issue_cert("caller"),
        "expired": ours.issue_cert("caller", not_before=past, not_after=past.replace(month=2)),
    }
    callers: dict[str, tuple[bytes, bytes] | None] = {
        name: (one.private_key_pem.bytes(), one.cert_chain_pems[0].bytes())
        for name, one in issued.items()
    }
    callers["without one"] = None
    objects = rendered(merged(example("mtls"), {"models": ["tiny"]}))
    words = container(objects, "server")["args"]
    own = shutil.copytree(repository, folder / "repository")
    with (
        ServedByCommand(own, folder / "served.log", *words) as served,
        envoy(
            deploy_tools, folder, objects, secret=secret, grpc_url=served.addresses["gRPC"]
        ) as port,
    ):
        yield BehindTls(served=served, port=port, root=ours.cert_pem.bytes(), callers=callers)


def test_a_caller_with_a_certificate_gets_the_exports_mask(
    behind_tls: BehindTls, expected_hw: np.ndarray
) -> None:
    credentials = behind_tls.credentials("right")
    url = f"localhost:{behind_tls.port}"
    with SegmentationClient(url, model="tiny", credentials=credentials) as client:
        class_map = client.segment(IMAGE_HWC).class_map
        large_hwc = np.random.default_rng(1).integers(0, 256, (3000, 4000, 3), np.uint8)
        large = client.segment(large_hwc).class_map  # 36 MB there and 12 MB back
    assert np.mean(class_map == expected_hw) > 0.9999
    with SegmentationClient(behind_tls.served.addresses["gRPC"], model="tiny") as client:
        assert np.array_equal(large, client.segment(large_hwc).class_map)


def test_it_hands_on_health_as_well(behind_tls: BehindTls) -> None:
    url = f"localhost:{behind_tls.port}"
    with grpc.secure_channel(url, behind_tls.credentials("right")) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=5) == b"\x08\x01"  # SERVING


@pytest.mark.parametrize("caller", ["of another authority", "expired", "without one", "in clear"])
def test_no_other_caller_gets_anything(behind_tls: BehindTls, caller: str) -> None:
    credentials = None if caller == "in clear" else behind_tls.credentials(caller)
    before = behind_tls.answered()
    with (
        SegmentationClient(
            f"localhost:{behind_tls.port}", model="tiny", credentials=credentials, retry=ONCE
        ) as client,
        pytest.raises(ConnectError),
    ):
        client.segment(IMAGE_HWC)
    assert behind_tls.answered() == before


def test_triton_itself_is_reached_from_nowhere_else(behind_tls: BehindTls) -> None:
    found = [one.address for of in psutil.net_if_addrs().values() for one in of
             if one.family == socket.AF_INET and not one.address.startswith("127.")]  # fmt: skip
    if not found:
        pytest.skip("this machine has no address but the loopback's")
    socket.create_connection((found[0], behind_tls.port), 5).close()
    port = int(behind_tls.served.addresses["gRPC"].rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((found[0], port), 5)


@pytest.fixture(scope="module")
def s3(deploy_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(deploy_tools, tmp_path_factory.mktemp("s3") / "log") as url:
        yield url


@pytest.fixture(params=RCLONES)
def fetching(
    request: pytest.FixtureRequest, deploy_tools: Path, s3: str, tmp_path: Path
) -> Fetching:
    bucket = f"of-{time.monotonic_ns()}"
    (tmp_path / "volume").mkdir()
    objects = rendered(bucket_values(s3, f"{bucket}/models"))
    rclone = deploy_tools / RCLONES[request.param]
    one = Fetching(rclone, objects, tmp_path / "volume")
    one.of_operator("mkdir")
    return one


def refused(volume: Path) -> str:
    """Start what a pod would start on a volume; return its one line."""
    done = subprocess.run(
        entrypoint(volume), capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


def publish(fetching: Fetching, repository: Path) -> None:
    fetching.of_operator("sync", "--checksum", str(repository))


def test_what_was_fetched_is_the_buckets_and_serves_the_exports_mask(
    fetching: Fetching, repository: Path, tmp_path: Path, expected_hw: np.ndarray
) -> None:
    publish(fetching, repository)
    assert fetching.run() == 0
    assert tree(tmp_path / "volume") == tree(repository)
    assert_serves(tmp_path, expected_hw)


def assert_serves(tmp_path: Path, expected_hw: np.ndarray) -> None:
    with (
        ServedByCommand(tmp_path / "volume", tmp_path / "log") as served,
        SegmentationClient(served.addresses["gRPC"], model="tiny") as client,
    ):
        assert np.mean(client.segment(IMAGE_HWC).class_map == expected_hw) > 0.9999


def test_an_interrupted_fetch_leaves_nothing_that_is_served(
    fetching: Fetching, repository: Path, tmp_path: Path, expected_hw: np.ndarray
) -> None:
    """Killed on the way, as with a node; what the bucket has lost meanwhile is gone here, too."""
    published = shutil.copytree(repository, tmp_path / "published")
    (published / "tiny/1/notes").write_bytes(np.random.default_rng(2).bytes(2**20))
    shutil.copytree(repository / "tiny", published / "retired")
    publish(fetching, published)
    total_bytes = sum(map(len, tree(published).values()))
    fetching.interrupted(0.5, total_bytes)
    volume = tree(tmp_path / "volume")
    assert volume
    assert volume != tree(published)
    assert refused(tmp_path / "volume").startswith("Error: ")

    publish(fetching, repository)
    assert fetching.run() == 0
    assert tree(tmp_path / "volume") == tree(repository)
    assert_serves(tmp_path, expected_hw)


def test_a_wrong_path_is_told_by_the_server_and_a_wrong_bucket_by_the_fetch(
    deploy_tools: Path, s3: str, fetching: Fetching, tmp_path: Path
) -> None:
    assert fetching.run() in {0, 3}  # S3 has no folders, so nothing is missing
    assert "model" in refused(tmp_path / "volume")
    objects: list[Object] = rendered(bucket_values(s3, "no-such-bucket/models"))
    rclone = deploy_tools / RCLONES["Debian's"]
    assert Fetching(rclone, objects, tmp_path / "volume").run() != 0
