"""Specifications as people, editors and generators break them."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import yaml

from tiny_models import TinyModel
from tritonseg_engines.build.declared_size import declared_hw
from tritonseg_engines.build.model import build_model
from tritonseg_engines.errors import EngineBuildError
from tritonseg_engines.graph.onnx_file import save_onnx
from tritonseg_engines.spec_yaml import read_spec

WHOLE: dict[str, Any] = {
    "name": "mine",
    "input": {"name": "image", "height": 64, "width": 96, "dtype": "float32", "layout": "NCHW",
              "color_order": "RGB"},
    "mean": [127.5, 127.5, 127.5],
    "scale": [127.5, 127.5, 127.5],
    "unit": "0-255",
    "resize": {"policy": "fit_pad", "height": 64, "width": 96, "interpolation": "bilinear",
               "antialias": True, "after_normalization": True, "rounding": "round",
               "align": "center"},
    "padding": [1, 2, 3],
    "output": {"name": "output", "kind": "scores", "layout": "NCHW", "upsampling": "direct"},
    "classes": ["road", "sky", "tree", "car", "sign"],
    "palette": [[0, 0, 0], [1, 2, 3], [4, 5, 6], [200, 8, 9], [255, 255, 255]],
    "ignore_index": 255,
    "license": "MIT",
    "source": "https://example.org",
    "card": {"mparams": 1.5, "gflops": 3, "accuracy": "mIoU 70", "convention": "MACs"},
}  # fmt: skip
"""All that a specification of a `TinyModel` can say."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 32, 255, 256, 10**9, 10**30, 0.5, -0.1, 1e-9, 1e300,
    float("inf"), float("nan"), "", " ", "0", "64", "1e9", "yes", "image", "output", "fit_pad",
    "stretch", "native", "keep_ratio", "binary", "class_map", "NHWC", "uint8", "export", "bicubic",
    "area", "center", "truncate", "0-1", "ä", "\N{PILE OF POO}", "a\nb", "a" * 300,
    "../x", "%s", "{}",
    [], [1], [1, 2, 3], [0.1, 0.2, 0.3], [[1, 2, 3]], ["road"], ["a", "a"], [None], [[]], {},
    {0: "a"},
    {"0": "a", "1": "b"}, {"policy": "native"}, {"name": "image"}, {"a": {"b": {"c": 1}}},
)  # fmt: skip
TEXTS = (
    "\t", "\n", ":", ": ", "-", "- ", "#", "&a ", "*a", "!!int ", "!!python/object:os.system ", "|",
    ">", "'", '"', "{", "}", "[", "]", ",", "? ", "<<: ", "---\n", "...\n", "%YAML 1.1\n", "\x00",
    "\x07", "\ufeff", "\u2028", "\x85", "0x", "0o", "1_0", "1:30", ".inf", "~", "@", "`",
    "2020-01-01",
)  # fmt: skip


def damaged_spec(seed: int) -> str:
    """Return the text of a specification with one to three things wrong in it, or none."""
    rng = random.Random(seed)
    document = copy.deepcopy(WHOLE)
    for key in rng.sample(list(document), rng.randrange(5)):
        if key not in ("name", "input", "mean", "scale", "output", "classes"):
            del document[key]
    for _ in range(rng.randrange(3)):
        _change(document, rng)
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=rng.choice([None, True]))
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        text = _garble(text, rng)
    return text


def _change(document: dict[str, Any], rng: random.Random) -> None:
    place: Any = document
    key: Any = rng.choice(list(document))
    while isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.6:
        place = place[key]
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
    match rng.randrange(4):
        case 0 if isinstance(place, dict):
            place[rng.choice([f"{key}s", "", 7, None, "policy", "name"])] = place.pop(key)
        case 1:
            del place[key]
        case _:
            place[key] = rng.choice(VALUES)


def _garble(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    match rng.randrange(5):
        case 0:
            return text[:at] + rng.choice(TEXTS) + text[at:]
        case 1:
            return text[:at] + text[at + rng.randrange(1, 9) :]
        case 2:
            lines = text.splitlines(keepends=True)
            line = rng.randrange(len(lines))
            return "".join([*lines[: line + 1], *lines[line:]])
        case 3:
            return text[:at]
        case _:
            lines = text.splitlines(keepends=True)
            line = rng.randrange(len(lines))
            lines[line] = rng.choice(["  ", " ", "\t"]) + lines[line]
            return "".join(lines)


def outcome_of_spec(text: str, folder: Path, *, build: bool) -> str | None:
    """Return the line with which a specification is refused, None where it is taken.

    Args:
        text: Of the specification.
        folder: Holds nothing else of importance.
        build: Whether a specification that can be read is built, too.
    """
    path, export = folder / "spec.yaml", folder / "export.onnx"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    if not export.exists():
        save_onnx(TinyModel().model(), export)
    try:
        spec = read_spec(path, lambda layout: declared_hw(export, layout))
        if build:
            build_model(spec, export, folder / "repository")
    except EngineBuildError as error:
        return str(error)
    return None
