"""How much memory `tritonseg evaluate` takes while it goes through ten thousand pictures.

    PYTHONPATH=scripts:tests/support python scripts/evaluate_memory.py [--pictures 10000]

Builds and serves the demo model, draws a few small streets and copies each under many names, and
reads the command's resident memory while it runs. Ends with 1 if it grows by more than 10 % of
what it was after a tenth of the pictures.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from street_sets import write_streets
from tritonseg_engines.build.model import build_model
from tritonseg_engines.serving import ServerConfig, TritonServer
from tritonseg_engines.zoo.street_demo import DEMO_ONNX, demo_spec

DRAWN: Final = 20
SIZE: Final = {"height": 64, "width": 96}
MOST_GROWTH: Final = 0.10
LOOK_EVERY_S: Final = 0.5


def many_streets(root: Path, count: int) -> Path:
    """Write so many pictures with labels, a few drawings again and again."""
    few = write_streets(root / "few", min(DRAWN, count), **SIZE)
    pictures = sorted(few.glob("leftImg8bit/val/*/*.png"))
    for kind, source in (
        ("images", lambda picture: picture),
        (
            "labels",
            lambda picture: (
                few
                / "gtFine/val"
                / picture.parent.name
                / picture.name.replace("leftImg8bit", "gtFine_labelIds")
            ),
        ),
    ):
        (root / kind).mkdir()
        for index in range(count):
            shutil.copy(source(pictures[index % len(pictures)]), root / kind / f"{index:06d}.png")
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
        build_model(demo_spec(), DEMO_ONNX, folder / "repository")
        streets, output = many_streets(folder / "streets", count), folder / "out"
        label_map = folder / "labels.yaml"
        label_map.write_text(_cityscapes_map())
        with TritonServer(ServerConfig(repositories=(folder / "repository",))) as server:
            command = [sys.executable, "-m", "tritonseg", "evaluate", "street-demo"]
            command += ["--url", server.grpc_url, "--format", "folders", "-o", str(output)]
            command += ["--dataset", str(streets), "--label-map", str(label_map)]
            seen = watched(command, output / ".partial.jsonl")
    for tenth in range(1, 11):
        done, mib = next((one for one in seen if one[0] >= count * tenth / 10), seen[-1])
        print(f"{done:6d} pictures: {mib:6.1f} MiB")  # noqa: T201
    begin = next(mib for done, mib in seen if done >= count / 10)
    growth = max(mib for done, mib in seen if done >= count / 10) / begin - 1
    print(f"growth after the first tenth: {growth:.1%}")  # noqa: T201
    raise SystemExit(growth > MOST_GROWTH)


def _cityscapes_map() -> str:
    from tritonseg_engines.evaluation.label_sets import CITYSCAPES_LABEL_IDS_SET

    label_set = CITYSCAPES_LABEL_IDS_SET
    meanings = {value: str(index) for value, index in label_set.class_of.items()}
    meanings |= dict.fromkeys(label_set.ignored, "ignore")
    return "".join(f"{value}: {meaning}\n" for value, meaning in meanings.items())


if __name__ == "__main__":
    main()
