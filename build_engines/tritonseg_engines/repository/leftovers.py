"""What a build that was killed left in a repository, which Triton would take for models."""

from __future__ import annotations

from pathlib import Path

from tritonseg_engines.atomic import RETIRED, STAGING


def leftovers(repository: Path) -> dict[str, str]:
    """Return one line for every such folder, by its name: what it holds and what to do."""
    found = {}
    for ending in (STAGING, RETIRED):
        for folder in sorted(repository.glob(f".*{ending}")):
            if folder.is_dir():
                found[folder.name] = f"{folder}: {_advice(repository, folder)}"
    return found


def _advice(repository: Path, folder: Path) -> str:
    if folder.name.endswith(STAGING):
        return "what a build that was killed had begun; remove it"
    lost = sorted(
        entry.name for entry in folder.iterdir() if not (repository / entry.name).exists()
    )
    if lost:
        return (
            f"{', '.join(lost)} as before a build that was killed while it replaced it; move it "
            f"back to {repository}, and remove the folder"
        )
    return "what a build that was killed had replaced; remove it"
