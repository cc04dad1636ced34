"""What one has to know about a segmentation model to serve it, as one frozen value.

The zoo's models and a user's own ONNX are described by the same `ModelSpec`; its YAML form is in
`spec_yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tritonseg_engines.errors import SpecificationError
from tritonseg_steps.contract import MAX_CLASSES
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.resize_policy import CenterCrop, FixedSize

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,62}")
INPUT_DTYPES = ("float32", "float16", "uint8")
TENSOR_LAYOUTS = ("NCHW", "NHWC")
BINARY_CLASSES = 2
OUTPUT_KINDS = ("scores", "class_map", "binary")
UPSAMPLINGS = ("direct", "export")

Color = tuple[int, int, int]


def check_model_name(name: str) -> str:
    """Return the name if it can stand in a path, a URL and a Triton config alike.

    Raises:
        SpecificationError: It does not match `^[a-z][a-z0-9_-]{0,62}$`.
    """
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise SpecificationError(
            f"model name: expected a lower-case letter followed by up to 62 of a-z, 0-9, '_', '-'; "
            f"got {name!r}"
        )
    return name


def check_class_count(count: int) -> int:
    """Return the number of classes if a class map can hold them.

    Raises:
        SpecificationError: It is not 1 to 256.
    """
    if not 1 <= count <= MAX_CLASSES:
        raise SpecificationError(
            f"classes: expected 1 to {MAX_CLASSES} (the class map is uint8), got {count}"
        )
    return count


@dataclass(frozen=True, kw_only=True, slots=True)
class InputSpec:
    """The ONNX model's input.

    Attributes:
        name: Tensor name in the ONNX file.
        height: Pixels, or None to take what the file says, a number or any.
        width: Pixels, likewise.
        dtype: "float32", "float16" or "uint8"; what the file declares.
        layout: "NCHW" or "NHWC".
    """

    name: str
    height: int | None = None
    width: int | None = None
    dtype: str = "float32"
    layout: str = "NCHW"

    def __post_init__(self) -> None:
        _require_one_of("input.dtype", self.dtype, INPUT_DTYPES)
        _require_one_of("input.layout", self.layout, TENSOR_LAYOUTS)
        if (self.height is None) != (self.width is None):
            raise SpecificationError(
                f"input: expected both height and width or neither, "
                f"got height {self.height}, width {self.width}"
            )

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """The fixed size, or None."""
        if self.height is None or self.width is None:
            return None
        return self.height, self.width


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputSpec:
    """The ONNX model's output.

    Attributes:
        name: Tensor name in the ONNX file.
        kind: "scores" `(N, C, h, w)`, a "class_map" `(N, h, w)`, or "binary" `(N, 1, h, w)`: one
            score, whose threshold parts the second class from the first. `(N, h, w, C)` is taken
            too.
        layout: "NCHW" or "NHWC" of scores; None to tell by the number of classes.
        threshold: Of "binary"; None for 0.5 where the graph makes a probability, and 0 elsewhere.
        upsampling: How a picture of another size than the network's gets its class map: "direct",
            interpolated once from the scores in front of the export's own Resize, or "export",
            from what the export gives, whose Resize and ArgMax stay in the network.
    """

    name: str
    kind: str = "scores"
    layout: str | None = None
    threshold: float | None = None
    upsampling: str = "direct"

    def __post_init__(self) -> None:
        _require_one_of("output.kind", self.kind, OUTPUT_KINDS)
        _require_one_of("output.upsampling", self.upsampling, UPSAMPLINGS)
        if self.layout is not None:
            _require_one_of("output.layout", self.layout, TENSOR_LAYOUTS)
        if self.threshold is not None and self.kind != "binary":
            raise SpecificationError(
                f"output.threshold: expected output.kind: binary, got {self.kind!r}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFigures:
    """What the published card states, quoted and not recomputed.

    Attributes:
        mparams: Parameters in millions.
        gflops: In the card's own convention.
        accuracy: As printed, with its data set.
        convention: How `gflops` is counted there.
    """

    mparams: float | None = None
    gflops: float | None = None
    accuracy: str | None = None
    convention: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A segmentation model as the build side sees it.

    Attributes:
        name: Name of the ensemble; see `check_model_name`.
        input: The network's input.
        preprocessing: What turns an RGB picture into that input.
        output: The network's output.
        classes: Class names; the index is the class.
        palette: One RGB colour per class.
        ignore_index: Label value that evaluation leaves out, or None.
        license: Licence of the weights as their publisher states it.
        source: Where model and weights come from.
        card: Figures of the published card, or None.
    """

    name: str
    input: InputSpec
    preprocessing: Preprocessing
    output: OutputSpec
    classes: tuple[str, ...]
    palette: tuple[Color, ...] = field(repr=False)
    ignore_index: int | None = None
    license: str = "unknown"
    source: str = "unknown"
    card: CardFigures | None = None

    def __post_init__(self) -> None:
        check_model_name(self.name)
        self._check_scaling()
        self._check_classes()
        self._check_kind()
        self._check_palette()
        self._check_resize()

    def score_count(self, kind: str) -> int:
        """Return how many scores a pixel has in an output of a kind: one if that is binary."""
        return 1 if kind == "binary" else len(self.classes)

    def _check_scaling(self) -> None:
        identity = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        if self.input.dtype == "uint8" and identity != (
            self.preprocessing.mean,
            self.preprocessing.scale,
        ):
            raise SpecificationError(
                "mean, scale: expected 0 and 1 for a uint8 input, which holds the picture's own "
                f"bytes, got {self.preprocessing.mean} and {self.preprocessing.scale}"
            )

    def _check_classes(self) -> None:
        check_class_count(len(self.classes))
        repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if repeated:
            raise SpecificationError(f"classes: expected distinct names, got {repeated} twice")

    def _check_kind(self) -> None:
        count = len(self.classes)
        if self.output.kind == "binary" and count != BINARY_CLASSES:
            raise SpecificationError(
                f"classes: expected two of a binary output, below and above its threshold, "
                f"got {count}"
            )
        if self.output.kind == "scores" and count == 1:
            raise SpecificationError(
                "classes: the highest of one score says nothing; expected output.kind: binary "
                "with two classes, below and above the threshold"
            )

    def _check_palette(self) -> None:
        if len(self.palette) != len(self.classes):
            raise SpecificationError(
                f"palette: expected one colour for each of {len(self.classes)} classes, "
                f"got {len(self.palette)}"
            )
        for color in self.palette:
            if len(color) != 3 or not all(0 <= level <= 255 for level in color):
                raise SpecificationError(
                    f"palette: expected colours as [r, g, b] with 0-255 each, got {list(color)}"
                )

    def _check_resize(self) -> None:
        resize = self.preprocessing.resize
        if self.preprocessing.resampling.after_normalization and self.input.dtype == "uint8":
            raise SpecificationError(
                "resize.after_normalization: expected an input of floats, which the resized values "
                "are, got uint8; leave it out, bytes are resized as bytes"
            )
        fixed = (resize.height, resize.width) if isinstance(resize, FixedSize) else None
        if fixed is not None and self.input.size_hw not in (None, fixed):
            raise SpecificationError(
                f"resize: leads to {fixed[0]}x{fixed[1]}, but the input is "
                f"{self.input.height}x{self.input.width}"
            )
        if isinstance(resize, CenterCrop) and resize.outside >= len(self.classes):
            raise SpecificationError(
                f"resize.outside: expected the index of one of {len(self.classes)} classes, got "
                f"{resize.outside}"
            )


def voc_palette(count: int) -> tuple[Color, ...]:
    """Return the PASCAL VOC colours for any number of classes.

    Source: VOC devkit, `VOClabelcolormap.m`: bit `k` of the class index sets bit `7 - k // 3` of
    channel `k % 3`.
    """
    return tuple(_voc_color(index) for index in range(count))


def _voc_color(index: int) -> Color:
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue


def _require_one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecificationError(f"{where}: expected one of {list(allowed)}, got {value!r}")
