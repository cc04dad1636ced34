"""What a trainer's own resize costs in the normalize step, against OpenCV's and Pillow's."""

from __future__ import annotations

import statistics
from pathlib import Path

import cv2
import numpy as np
from pace import Call, Pace, latencies_ms
from PIL import Image
from results import markdown_table

from tritonseg_steps.geometry import Size
from tritonseg_steps.preprocessing import Normalizer, Preprocessing
from tritonseg_steps.resampling import Resampling
from tritonseg_steps.resize_policy import Stretch

TARGET_HW = (512, 1024)
PICTURES_HW: tuple[Size, ...] = ((1024, 2048), (2160, 3840))
STEPS = {
    "OpenCV's bilinear (default)": Resampling(),
    "bilinear, antialiased": Resampling(antialias=True),
    "bicubic, antialiased": Resampling(interpolation="bicubic", antialias=True),
    "area": Resampling(interpolation="area"),
}
RESIZE_ALONE = "{}: the resize alone"


def measure(folder: Path, pace: Pace) -> dict[str, dict[str, float]]:
    """Return median milliseconds of every step and every resize, by the picture's size."""
    del folder
    return {"x".join(map(str, size_hw)): _measure(size_hw, pace) for size_hw in PICTURES_HW}


def _measure(size_hw: Size, pace: Pace) -> dict[str, float]:
    rng = np.random.default_rng(0)
    coarse = rng.normal(128, 60, (*(side // 8 for side in size_hw), 3))
    image_hwc = cv2.resize(coarse, size_hw[::-1]).clip(0, 255).astype(np.uint8)
    calls: dict[str, Call] = {}
    for name, resampling in STEPS.items():
        normalizer = Normalizer(
            Preprocessing(
                mean=(127.5,) * 3,
                scale=(127.5,) * 3,
                resize=Stretch(height=TARGET_HW[0], width=TARGET_HW[1]),
                resampling=resampling,
            )
        )
        calls[name] = lambda normalizer=normalizer: normalizer.batch(image_hwc[None])
        calls[RESIZE_ALONE.format(name)] = lambda resampling=resampling: resampling.resized(
            image_hwc, TARGET_HW
        )
    for filtered in ("bilinear", "bicubic"):
        flag = Image.Resampling[filtered.upper()]
        calls[f"Pillow, {filtered}"] = lambda flag=flag: np.asarray(
            Image.fromarray(image_hwc).resize(TARGET_HW[::-1], flag)
        )
    return {name: statistics.median(times) for name, times in latencies_ms(calls, pace).items()}


def table(found: dict[str, dict[str, float]]) -> str:
    """Return a row for every contender, in milliseconds."""
    header = [f"to {TARGET_HW[0]}x{TARGET_HW[1]}, in ms"]
    header += [f"{size}: {what}" for size in found for what in ("normalize step", "resize alone")]
    rows = [
        [
            name,
            *(
                f"{times[key]:.1f}"
                for times in found.values()
                for key in (name, RESIZE_ALONE.format(name))
            ),
        ]
        for name in STEPS
    ]
    rows += [
        [name, *(text for times in found.values() for text in ("", f"{times[name]:.1f}"))]
        for name in ("Pillow, bilinear", "Pillow, bicubic")
    ]
    return markdown_table(header, rows)
