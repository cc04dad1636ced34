"""The machine and the versions that a result belongs to, found and not typed."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]
NOTABLE_FLAGS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx512_bf16": "bf16",
                 "amx_tile": "AMX"}  # fmt: skip
PACKAGES = ("openvino", "nvidia-pytriton", "numpy", "tritonseg")


def describe_machine() -> dict[str, str]:
    """Return what a reader has to know, as label and text."""
    cores = len(os.sched_getaffinity(0))
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    model, flags = _cpu()
    return {
        "cpu": f"{cores} cores of {model} ({', '.join(flags) or 'no vector units of note'})",
        "memory": f"{memory_gib:.0f} GiB",
        "gpu": "not used",
        "versions": _versions(),
        "commit": _commit(),
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "date": datetime.datetime.now(tz=datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def sentence(machine: dict[str, str]) -> str:
    """Return one Markdown paragraph."""
    return (
        f"{machine['date']}, commit {machine['commit']}: {machine['cpu']}, {machine['memory']}, "
        f"GPU {machine['gpu']}; {machine['versions']}. Load of the machine before the run: "
        f"{machine['load_before']}."
    )


def _cpu() -> tuple[str, list[str]]:
    """Return the model's name and the vector units that decide speed."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {key.strip(): value.strip() for key, value in fields.items()}
    present = values.get("flags", "").split()
    name = values.get("model name", platform.processor() or "an unknown CPU")
    return name, [label for flag, label in NOTABLE_FLAGS.items() if flag in present]


def _versions() -> str:
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
