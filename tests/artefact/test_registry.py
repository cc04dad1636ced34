"""A real registry: what was pushed comes back, or one line says why not and nothing is there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from oci_registry import RealRegistry, program, running
from plan_repositories import ON_L4, write_plan_repository
from signing_keys import KeyPair
from tritonseg_engines.artefact.pull import PullOrder, pull
from tritonseg_engines.artefact.push import Pushed, push
from tritonseg_engines.artefact.reference import parse_reference
from tritonseg_engines.cli.app import cli
from tritonseg_engines.errors import ArtefactError

pytestmark = pytest.mark.e2e
L4 = "nvidia-l4-8.9-tensorrt-10.16.1.11"
FLIPS = 60


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with running(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture
def address(registry: RealRegistry, request: pytest.FixtureRequest) -> str:
    """A name of its own for every test."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    return f"oci://{registry.address}/tests/{name.strip('-')}:1"


def pushed(repository: Path, address: str, key: Path | None = None) -> Pushed:
    return push(repository, parse_reference(address), key=key)


def pulled(address: str, repository: Path, **options: object) -> object:
    return pull(PullOrder(reference=parse_reference(address), repository=repository, **options))  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.stem != "report" and "__pycache__" not in path.parts
    }


def test_what_was_pushed_comes_back(
    address: str, for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    done = pushed(for_cpu, address, keys.private)
    back = pulled(address, tmp_path / "r", key=keys.public, sbom=tmp_path / "sbom.json")
    assert contents(tmp_path / "r") == contents(for_cpu)
    assert json.loads((tmp_path / "sbom.json").read_text())["bomFormat"] == "CycloneDX"
    assert back.image == done.image
    assert {path.name for path in tmp_path.iterdir()} == {"r", "sbom.json"}
    for digest in (done.image, done.index):
        pulled(str(digest), tmp_path / digest.digest[-4:], key=keys.public)
        assert contents(tmp_path / digest.digest[-4:]) == contents(for_cpu)


def test_the_same_repository_is_the_same_image(
    address: str, for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    first = pushed(for_cpu, address)
    shutil.copytree(for_cpu, tmp_path / "copy")
    (tmp_path / "copy/tiny/1/__pycache__").mkdir()
    second = pushed(tmp_path / "copy", f"{address}-again", keys.private)
    assert (first.image.digest, first.index.digest) == (second.image.digest, second.index.digest)


def test_several_targets_are_one_index_and_this_cpu_takes_its_own(
    address: str, for_cpu: Path, for_l4: Path, tmp_path: Path
) -> None:
    pushed(for_l4, address)
    with pytest.raises(ArtefactError, match=f"no target is for this machine.*{L4}"):
        pulled(address, tmp_path / "nothing" / "r")
    assert list(tmp_path.iterdir()) == []
    assert pushed(for_cpu, address).targets == ("cpu", L4)
    pulled(address, tmp_path / "r")
    assert contents(tmp_path / "r") == contents(for_cpu)
    pulled(address, tmp_path / "l4", target=L4)
    assert contents(tmp_path / "l4") == contents(for_l4)
    a10 = write_plan_repository(tmp_path / "a10", gpu_name="NVIDIA A10", compute_capability="8.6")
    assert len(pushed(a10, address).targets) == 3
    again = write_plan_repository(tmp_path / "again", **{**ON_L4, "cuda": "another build"})
    done = pushed(again, address)
    assert len(done.targets) == 3
    pulled(address, tmp_path / "new", target=L4)
    assert contents(tmp_path / "new") == contents(again)
    assert done.of_other_exports == ("cpu",)


def test_another_model_does_not_come_under_the_same_tag(
    address: str, for_cpu: Path, tmp_path: Path
) -> None:
    pushed(for_cpu, address)
    other = write_plan_repository(tmp_path / "r", "other")
    with pytest.raises(ArtefactError, match="is tiny for cpu, and would be other here"):
        pushed(other, address)


def test_what_somebody_else_pushed_is_left(
    address: str, registry: RealRegistry, for_cpu: Path, tmp_path: Path
) -> None:
    import oras.provider

    (tmp_path / "theirs").write_text("theirs")
    client = oras.provider.Registry(insecure=True)
    target = address.removeprefix("oci://")
    client.push(target=target, files=[str(tmp_path / "theirs")], disable_path_validation=True)
    with pytest.raises(ArtefactError, match="somebody else's, and stays"):
        pushed(for_cpu, address)
    with pytest.raises(ArtefactError, match="that `tritonseg push` made"):
        pulled(address, tmp_path / "r")


def test_every_flipped_bit_in_the_store_is_refused(
    for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    rng = np.random.default_rng(7)
    with running(folder) as registry:
        address = f"oci://{registry.address}/tiny:1"
        pushed(for_cpu, address, keys.private)
        blobs = [path for path in registry.blobs() if path.read_bytes() != b"{}"]
        assert len(blobs) == 8  # index, image, config, 2 layers, signature, its image, its index
        for number in range(FLIPS):
            path = blobs[number % len(blobs)]
            right = path.read_bytes()
            wrong = bytearray(right)
            wrong[rng.integers(len(right))] ^= 1 << int(rng.integers(8))
            path.write_bytes(wrong)
            with pytest.raises(ArtefactError) as refused:
                pulled(address, tmp_path / "r", key=keys.public)
            assert "\n" not in str(refused.value)
            assert {one.name for one in tmp_path.iterdir()} == {"registry"}
            path.write_bytes(right)
        pulled(address, tmp_path / "r", key=keys.public)


def test_what_was_not_signed_or_by_another_is_refused(
    address: str, for_cpu: Path, keys: KeyPair, other_keys: KeyPair, tmp_path: Path
) -> None:
    pushed(for_cpu, address)
    with pytest.raises(ArtefactError, match="there is none; push it with --sign"):
        pulled(address, tmp_path / "r", key=keys.public)
    pushed(for_cpu, address, other_keys.private)
    with pytest.raises(ArtefactError, match="by another key"):
        pulled(address, tmp_path / "r", key=keys.public)
    pushed(for_cpu, address, keys.private)
    pulled(address, tmp_path / "r", key=keys.public)
    pulled(address, tmp_path / "r", key=other_keys.public)  # of both, in any order
    assert pulled(address, tmp_path / "r").signatures == 2
    pushed(for_cpu, address, keys.private)
    assert pulled(address, tmp_path / "r").signatures == 2


@pytest.mark.parametrize("file", ["tiny/1/model.onnx", "tiny/1/receipt.json", "tiny/config.pbtxt"])
def test_a_repository_that_is_not_its_receipts_is_not_pushed(
    file: str, address: str, registry: RealRegistry, for_cpu: Path, tmp_path: Path
) -> None:
    shutil.copytree(for_cpu, tmp_path / "r")
    path = tmp_path / "r" / file
    path.write_bytes(path.read_bytes().replace(b"tiny", b"tinz", 1) + b"\n ")
    before = registry.blobs()
    with pytest.raises(ArtefactError, match="tiny"):
        pushed(tmp_path / "r", address)
    assert registry.blobs() == before


def test_a_tuned_config_goes_along_and_is_told(address: str, for_cpu: Path, tmp_path: Path) -> None:
    shutil.copytree(for_cpu, tmp_path / "r")
    config = tmp_path / "r/tiny/config.pbtxt"
    config.write_text(config.read_text() + "# tuned\n")
    done = pushed(tmp_path / "r", address)
    assert [line.split(" is not the build's")[0] for line in done.remarks] == [
        "tiny: tiny/config.pbtxt"
    ]
    pulled(address, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "r")


def test_a_forged_image_is_refused_by_its_receipts(
    address: str, for_cpu: Path, for_l4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of somebody who can write to the registry, and makes every digest fit."""
    from tritonseg_engines.artefact import push as module
    from tritonseg_engines.artefact.machine_target import MachineTarget

    with monkeypatch.context() as patch:
        patch.setattr(module, "target_of_repository", lambda *_: MachineTarget())
        pushed(for_l4, address)
    with pytest.raises(ArtefactError, match=f"it is for cpu, and its receipts that it is for {L4}"):
        pulled(address, tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_the_commands_say_what_they_did(
    address: str, for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["push", str(for_cpu), "tiny", address, "--sign", str(keys.private)])
    assert done.exit_code == 0, done.output
    assert "pushed tiny for cpu, " in done.output
    image = next(line.split()[1] for line in done.output.splitlines() if line.startswith("image"))
    done = runner.invoke(cli, ["pull", image, "-o", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert "it is signed, and nobody looked" in done.output
    line = ["pull", address, "-o", str(tmp_path / "r"), "--verify-key", str(keys.public)]
    done = runner.invoke(cli, line)
    assert f"already there: tiny for cpu, signed by the key of {keys.public}" in done.output
    done = runner.invoke(cli, ["pull", f"{address}-of-nobody", "-o", str(tmp_path / "r")])
    assert done.exit_code == 1
    assert "there is no such tag or digest" in done.output


def test_skopeo_takes_it_and_model_signing_verifies_what_it_took(
    address: str, for_cpu: Path, tmp_path: Path
) -> None:
    skopeo = program("skopeo")
    if skopeo is None:
        pytest.skip("needs Debian's skopeo: make oci-check")
    done = pushed(for_cpu, address)
    there = address.replace("oci://", "docker://")
    inspected = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", there], capture_output=True, text=True, check=True
    )
    assert json.loads(inspected.stdout)["Digest"] == done.index.digest
    copy = ["copy", "--src-tls-verify=false", "--insecure-policy", there]
    subprocess.run([skopeo, *copy, f"oci:{tmp_path}/layout:1"], check=True, capture_output=True)
    index = json.loads((tmp_path / "layout/index.json").read_text())
    blobs = tmp_path / "layout/blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    assert index["manifests"][0]["digest"] == done.image.digest
    (tmp_path / "rootfs").mkdir()
    for layer in manifest["layers"]:
        command = ["tar", "-xzf", str(blobs / layer["digest"][7:]), "-C", str(tmp_path / "rootfs")]
        subprocess.run(command, check=True)
    assert contents(tmp_path / "rootfs/models") == contents(for_cpu)


@pytest.mark.usefixtures("installation")
def test_a_pulled_repository_is_served_and_verified(
    address: str, for_cpu: Path, keys: KeyPair, tmp_path: Path
) -> None:
    pushed(for_cpu, address, keys.private)
    pulled(address, tmp_path / "r", key=keys.public)
    done = CliRunner().invoke(cli, ["verify", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert "canaries and 4 files as built" in done.output
