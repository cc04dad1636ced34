"""How much memory `tritonseg evaluate` takes while it goes through ten thousand pictures.

    PYTHONPATH=tests/support python scripts/evaluate_memory.py [--pictures 10000]

Builds and serves a tiny network, writes small pictures of noise, and reads the command's resident
memory while it runs. Ends with 1 if it grows by more than 10 % of
what it was after a tenth of the pictures.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from PIL import Image

from tiny_models import CLASSES, SIZE_HW, TinyModel, tiny_spec
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer

MOST_GROWTH: Final = 0.10
LOOK_EVERY_S: Final = 0.5


def write_noise(root: Path, count: int) -> Path:
    """Write so many pictures of noise, each with labels of noise."""
    random = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for index in range(count):
        pixels = random.integers(0, 256, (*SIZE_HW, 3), np.uint8)
        labels = random.integers(0, CLASSES, SIZE_HW, np.uint8)
        for kind, content in (("images", pixels), ("labels", labels)):
            Image.fromarray(content).save(root / kind / f"{index:06d}.png", compress_level=1)
    return root


def resident_mib(process: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return 0.0 if found is None else int(found[1]) / 1024


def watched(command: list[str], journal: Path) -> list[tuple[int, float]]:
    """Return pictures done and MiB resident, again and again until a command ends."""
    seen = []
    lines, end = 0, 0
    with subprocess.Popen(command) as process:  # noqa: S603
        while process.poll() is None:
            time.sleep(LOOK_EVERY_S)
            if journal.exists():
                with journal.open("rb") as file:
                    file.seek(end)
                    new = file.read()
                lines, end = lines + new.count(b"\n"), end + len(new)
                seen.append((lines - 1, resident_mib(process.pid)))
    if process.returncode:
        raise SystemExit(process.returncode)
    return [(done, mib) for done, mib in seen if mib]


def main() -> None:
    """Print memory by pictures done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=10_000)
    count = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(TinyModel().model(), folder / "tiny.onnx")
        build_model(tiny_spec(), folder / "tiny.onnx", folder / "repository")
        pictures, output = write_noise(folder / "pictures", count), folder / "out"
        with TritonServer(ServerConfig(repositories=(folder / "repository",))) as server:
            command = [sys.executable, "-m", "tritonseg", "evaluate", "tiny"]
            command += ["--url", server.grpc_url, "--format", "folders", "-o", str(output)]
            command += ["--dataset", str(pictures)]
            seen = watched(command, output / ".partial.jsonl")
    for tenth in range(1, 11):
        done, mib = next((one for one in seen if one[0] >= count * tenth / 10), seen[-1])
        print(f"{done:6d} pictures: {mib:6.1f} MiB")  # noqa: T201
    begin = next(mib for done, mib in seen if done >= count / 10)
    growth = max(mib for done, mib in seen if done >= count / 10) / begin - 1
    print(f"growth after the first tenth: {growth:.1%}")  # noqa: T201
    raise SystemExit(growth > MOST_GROWTH)


if __name__ == "__main__":
    main()
