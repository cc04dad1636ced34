"""What a request may ask of a step: checked for all steps here, before anything is computed.

Every step is a model of the repository that anybody can call, past the ensemble. So what a tensor
says of another is a claim: IMAGE_SIZE of (60000, 60000) comes with no pixels that would show it.
Triton checks types, ranks and what the config fixes; the rest is held against what the model's own
resize policy and network allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tritonseg_steps.contract import (
    ENCODED_IMAGE,
    IMAGE,
    IMAGE_SIZE,
    MAX_CLASSES,
    MAX_PIXELS_PARAMETER,
    NETWORK_SIZES_PARAMETER,
    NORMALIZED,
    PREPROCESSING_PARAMETER,
    SCORES,
)
from tritonseg_steps.geometry import Size
from tritonseg_steps.network_sizes import NetworkSizes
from tritonseg_steps.picture_sizes import picture_refusal
from tritonseg_steps.preprocessing import Preprocessing
from tritonseg_steps.resize_policy import Native, ResizePolicy
from tritonseg_steps.validation import positive_int

if TYPE_CHECKING:
    from tritonseg_steps.model_config import ModelConfig

MAX_PIXELS: Final = 64_000_000
"""Of a picture, unless the config says otherwise: twice what is decoded here, because pixels that
were sent are there already. Cameras for 24x36 mm film's lenses have up to 61 million."""
PICTURES_OF_MOST_PIXELS: Final = 2
"""So many of the largest pictures a request may hold, or more smaller ones."""
MAX_SIDE: Final = 500_000
"""In pixels, of a picture and of a network's input. The tables of its rows and columns take some 40
bytes each; a GPU's grid has 65535 blocks of 8 rows."""
MOST_CELLS_A_PIXEL: Final = 4
"""Along each side, where the config leaves the size of the scores open. Scores are coarser than the
network's input; some networks enlarge them."""
SHOWN_SIZES: Final = 4
RANKS: Final = {IMAGE: 4, ENCODED_IMAGE: 2, NORMALIZED: 4, IMAGE_SIZE: 2}
"""Axes of inputs, with that of the batch; those of SCORES depend on the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestBounds:
    """The bounds of one model's requests.

    Attributes:
        max_batch: Most pictures of a request.
        resize: Of the model.
        sizes: Of the input that its network takes.
        max_pixels: Of a picture, and of all that the network is given for a request, which takes
            a hundred bytes each and more; `PICTURES_OF_MOST_PIXELS` times that for all pictures.
        scores_dims: SCORES as the config declares them, without the batch axis, -1 where open;
            empty for a step that takes none.
    """

    max_batch: int
    resize: ResizePolicy = Native()  # noqa: RUF009 - frozen and without state
    sizes: NetworkSizes = NetworkSizes()  # noqa: RUF009 - likewise
    max_pixels: int = MAX_PIXELS
    scores_dims: tuple[int, ...] = ()

    @classmethod
    def of(cls, config: ModelConfig) -> RequestBounds:
        """Read them off a step's config; models of earlier builds do not say all.

        Raises:
            ValueError: A parameter holds something else than documented.
        """
        preprocessing = config.optional(PREPROCESSING_PARAMETER)
        sizes = config.optional(NETWORK_SIZES_PARAMETER)
        return cls(
            max_batch=config.max_batch_size,
            resize=Native()
            if preprocessing is None
            else Preprocessing.from_json(preprocessing).resize,
            sizes=NetworkSizes() if sizes is None else NetworkSizes.from_json(sizes),
            max_pixels=positive_int(
                MAX_PIXELS_PARAMETER, config.optional(MAX_PIXELS_PARAMETER, MAX_PIXELS)
            ),
            scores_dims=config.input_dims(SCORES),
        )

    @property
    def max_request_pixels(self) -> int:
        """Most pixels of all pictures of a request together."""
        return PICTURES_OF_MOST_PIXELS * self.max_pixels

    def refusal(self, tensors: Mapping[str, Any]) -> str | None:
        """Return why a request cannot be taken: input, expected, got; None if it can.

        Args:
            tensors: By name, each with a leading batch axis. Of all but IMAGE_SIZE nothing but
                the shape is read, so that they may be anywhere.
        """
        checks = (
            self._shape_refusal,
            self._count_refusal,
            self._images_refusal,
            self._inputs_refusal,
            self._claims_refusal,
            self._scores_refusal,
        )
        return next(filter(None, (check(tensors) for check in checks)), None)

    def pictures_refusal(self, name: str, count: int, image_hw: Size) -> str | None:
        """Return why pictures cannot be taken, or None if they can.

        Args:
            name: Of the input that brings them, or says their size.
            count: Of the request; all are of one size.
            image_hw: In pixels.
        """
        height, width = image_hw
        if height < 1 or width < 1:
            return f"{name}: expected at least 1x1 pixels, got {height}x{width} (height x width)"
        if height * width > self.max_pixels:
            return (
                f"{name}: expected at most {self.max_pixels} pixels a picture, got "
                f"{height}x{width} (height x width); scale the picture down, or raise "
                f"the parameter {MAX_PIXELS_PARAMETER!r} in config.pbtxt of every step"
            )
        if max(image_hw) > MAX_SIDE:
            return (
                f"{name}: expected sides of at most {MAX_SIDE} pixels, got {height}x{width} "
                "(height x width); cut the picture up"
            )
        unfit = picture_refusal(self.resize, self.sizes, image_hw)
        if unfit is not None:
            return f"{name}: {unfit}"
        network_height, network_width = self.resize.geometry(image_hw).network_hw
        return self.total_refusal(name, count * height * width, count) or self._network_refusal(
            name, count * network_height * network_width, count
        )

    def total_refusal(self, name: str, pixels: int, count: int) -> str | None:
        """Return why so many pixels are too many for a request, or None if they are not.

        Args:
            name: Of the input that brings them, or says their number.
            pixels: Of all pictures together.
            count: Of the pictures.
        """
        if pixels <= self.max_request_pixels:
            return None
        return (
            f"{name}: expected at most {self.max_request_pixels} pixels in a request, got {pixels} "
            f"in {count}; send fewer pictures in a request"
        )

    def _network_refusal(self, name: str, pixels: int, count: int) -> str | None:
        if pixels <= self.max_pixels:
            return None
        return (
            f"{name}: expected at most {self.max_pixels} pixels for the network in a request, got "
            f"{pixels} in {count}; send fewer pictures in a request"
        )

    def _shape_refusal(self, tensors: Mapping[str, Any]) -> str | None:
        for name, tensor in tensors.items():
            if not any(tensor.shape):  # as `guard_shapes` leaves it
                return (
                    f"{name}: expected a shape that a tensor can have, got sides of 0, below 0, or "
                    "larger together than 64 bits can count"
                )
            rank = RANKS.get(name) or 1 + len(self.scores_dims)
            if len(tensor.shape) != rank:  # Triton takes the axis off a batch of none
                return (
                    f"{name}: expected 1 to {self.max_batch} pictures along the first of {rank} "
                    f"axes, got the shape {tuple(map(int, tensor.shape))}"
                )
        return None

    def _count_refusal(self, tensors: Mapping[str, Any]) -> str | None:
        counts = {name: int(tensor.shape[0]) for name, tensor in tensors.items()}
        for name, count in counts.items():
            if not 1 <= count <= self.max_batch:
                return f"{name}: expected 1 to {self.max_batch} pictures in a request, got {count}"
        if len(set(counts.values())) > 1:
            got = ", ".join(f"{count} in {name}" for name, count in counts.items())
            return f"expected as many pictures in every input, got {got}"
        return None

    def _images_refusal(self, tensors: Mapping[str, Any]) -> str | None:
        if IMAGE not in tensors:
            return None
        count, height, width, _ = map(int, tensors[IMAGE].shape)
        return self.pictures_refusal(IMAGE, count, (height, width))

    def _inputs_refusal(self, tensors: Mapping[str, Any]) -> str | None:
        if NORMALIZED not in tensors:
            return None
        count, _, height, width = map(int, tensors[NORMALIZED].shape)
        got = f"got {height}x{width}"
        if not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
            return f"{NORMALIZED}: expected sides of 1 to {MAX_SIDE}, {got} (height x width)"
        nearest = self.sizes.nearest((height, width))
        if nearest != (height, width):
            return (
                f"{NORMALIZED}: expected a size that the network takes, {got}; the nearest is "
                f"{nearest[0]}x{nearest[1]} (height x width)"
            )
        return self._network_refusal(NORMALIZED, count * height * width, count)

    def _claims_refusal(self, tensors: Mapping[str, Any]) -> str | None:
        if IMAGE_SIZE not in tensors:
            return None
        sizes_hw = [(int(height), int(width)) for height, width in tensors[IMAGE_SIZE]]
        first_hw, *others_hw = sizes_hw
        if any(size_hw != first_hw for size_hw in others_hw):
            shown = ", ".join(f"{height}x{width}" for height, width in sizes_hw[:SHOWN_SIZES])
            return f"{IMAGE_SIZE}: expected pictures of one size in a request, got {shown}"
        return self.pictures_refusal(IMAGE_SIZE, len(sizes_hw), first_hw)

    def _scores_refusal(self, tensors: Mapping[str, Any]) -> str | None:
        if SCORES not in tensors or IMAGE_SIZE not in tensors:
            return None
        dims = tuple(map(int, tensors[SCORES].shape[1:]))
        height, width = (int(side) for side in tensors[IMAGE_SIZE][0])
        network_hw = self.resize.geometry((height, width)).network_hw
        most = [MAX_CLASSES, *(MOST_CELLS_A_PIXEL * side for side in network_hw)][-len(dims) :]
        fixed = self.scores_dims or (-1,) * len(dims)
        if all(
            found == said if said > 0 else 1 <= found <= bound
            for found, said, bound in zip(dims, fixed, most, strict=True)
        ):
            return None
        expected = ", ".join(
            str(said) if said > 0 else f"1 to {bound}"
            for said, bound in zip(fixed, most, strict=True)
        )
        return (
            f"{SCORES}: expected ({expected}) for each picture, of {height}x{width} (height x "
            f"width), got ({', '.join(map(str, dims))})"
        )
