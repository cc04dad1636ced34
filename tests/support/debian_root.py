"""A Dockerfile carried out without Docker: Debian by debootstrap, its lines by chroot.

Only what `docker/Dockerfile.cpu` uses is understood: FROM debian, COPY, RUN, ENV, USER. It takes
root and a package registry, as building the image does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dockerfiles import Stage, context_files, stages

DEVICES = """
set -e
mount --make-rprivate /
mount -t proc proc "$ROOT/proc"
mount -t tmpfs tmpfs "$ROOT/dev"
for device in null zero full random urandom; do
  touch "$ROOT/dev/$device"
  mount --bind "/dev/$device" "$ROOT/dev/$device"
done
ln -s /proc/self/fd "$ROOT/dev/fd"
mkdir "$ROOT/dev/shm"
"""
"""Nothing of this machine is in the root but these, so that nothing there can change it."""

RUN = """
for file in /etc/resolv.conf /etc/hosts; do cp -L "$file" "$ROOT$file"; done
mkdir -p "$ROOT/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/"
exec chroot "$ROOT" /bin/sh -c "$0"
"""
"""With copies of the machine's name service, as Docker passes it on, and of its certificates."""

CONTAINER = """
mount -t tmpfs -o "size=$SHM_SIZE,noexec" tmpfs "$ROOT/dev/shm"
chmod 1777 "$ROOT/dev/shm"
mount -t tmpfs -o exec,mode=1777,size=256m tmpfs "$ROOT/tmp"
mount --bind "$MODELS" "$ROOT/models"
mount -o "remount,bind,$MODELS_MODE" "$ROOT/models"
mount -o remount,bind,ro "$ROOT"
exec env -i $IMAGE_ENVIRONMENT chroot --userspec=1000:1000 "$ROOT" "$@"
"""
"""As `docker/compose.yaml` runs the server: nobody, read-only but for /tmp, with its /dev/shm."""


def debootstrap(release: str, root: Path) -> None:
    """Make a minimal Debian; DEBIAN_MIRROR is where from, else debootstrap's own default.

    DEBIAN_ROOT is one that was made before, and is copied.
    """
    if made := os.environ.get("DEBIAN_ROOT"):
        subprocess.run(["cp", "-a", made, str(root)], check=True)
        return
    mirror = os.environ.get("DEBIAN_MIRROR")
    command = ["debootstrap", "--variant=minbase", release, str(root)]
    subprocess.run([*command, *([mirror] if mirror else [])], check=True, capture_output=True)


def build_image(name: str, project: Path, folder: Path) -> tuple[Path, Stage]:
    """Carry out a Dockerfile; return the root of its last stage, and that stage."""
    base = folder / "base"
    found = stages(name)
    (release,) = {stage.image.removeprefix("debian:").removesuffix("-slim") for stage in found}
    debootstrap(release, base)
    roots: dict[str | None, Path] = {}
    for stage in found:
        roots[stage.name] = folder / (stage.name or "last")
        subprocess.run(["cp", "-a", str(base), str(roots[stage.name])], check=True)
        for keyword, text in stage.instructions:
            if keyword == "COPY":
                copy(text, roots, roots[stage.name], project)
            elif keyword == "RUN":
                run(text, roots[stage.name])
    return roots[None], found[-1]


def copy(text: str, roots: dict[str | None, Path], root: Path, project: Path) -> None:
    *options, source, target = text.split()
    if options:
        origin = roots[options[0].removeprefix("--from=")]
        subprocess.run(["cp", "-a", f"{origin}{source}", f"{root}{target}"], check=True)
        return
    assert source == "."
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    tracked = [project / line for line in listed.stdout.splitlines()]
    for path in context_files(tracked, project):
        place = Path(f"{root}{target}", path.relative_to(project))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


def run(text: str, root: Path) -> None:
    """Run a shell command in a root, with this machine's way to the registries."""
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", DEVICES + RUN, text],
        env={**os.environ, "ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def contained(
    root: Path, stage: Stage, models: Path, command: Sequence[str], *, shm_size: str, mode: str
) -> list[str]:
    """Return a command line that runs `command` in an image as compose does, in namespaces."""
    environment = " ".join(f"{name}={value}" for name, value in stage.environment().items())
    variables = {
        "ROOT": root, "MODELS": models, "MODELS_MODE": mode, "SHM_SIZE": shm_size,
        "IMAGE_ENVIRONMENT": environment,
    }  # fmt: skip
    # Only a mount of its own can be made read-only.
    script = f'mount --bind "$ROOT" "$ROOT"{DEVICES}{CONTAINER}'
    settings = [f"{name}={value}" for name, value in variables.items()]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return ["env", *settings, *namespaces, "bash", "-c", script, "container", *command]
