"""Draw the streets that ship with the demo model, which judge and calibrate its builds.

    PYTHONPATH=scripts python -m demo_model.draw_streets

Writes into the package, over what is there. The same seeds give the same pictures.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from demo_model.scenes import draw_scene
from tritonseg_engines.zoo.street_demo import (
    CALIBRATION,
    JUDGED,
    JUDGED_LABELS,
    STREET,
    demo_spec,
)

JUDGED_SEEDS = range(8)
CALIBRATION_SEEDS = range(500_000, 500_008)
"""Neither those of the training (from 1,000,000) nor those of the gate."""
STREET_SEED = 44
STREET_SIZE_HW = (1024, 2048)
JPEG_QUALITY = 85


def draw(seed: int, size_hw: tuple[int, int], picture: Path, labels: Path | None = None) -> None:
    """Write one scene as a JPEG, and its labels as an 8-bit PNG."""
    scene = draw_scene(seed, height=size_hw[0], width=size_hw[1])
    for path in filter(None, (picture, labels)):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene.image_hwc).save(picture, quality=JPEG_QUALITY)
    if labels is not None:
        Image.fromarray(scene.labels_hw).save(labels, optimize=True)


def main() -> None:
    """Draw all of them."""
    size_hw = demo_spec().input.size_hw
    if size_hw is None:
        raise SystemExit("expected the demo model to have a fixed size")
    for seed in JUDGED_SEEDS:
        name = f"{seed:06}"
        draw(seed, size_hw, JUDGED / f"{name}.jpg", JUDGED_LABELS / f"{name}.png")
    for seed in CALIBRATION_SEEDS:
        draw(seed, size_hw, CALIBRATION / f"{seed}.jpg")
    draw(STREET_SEED, STREET_SIZE_HW, STREET)


if __name__ == "__main__":
    main()
