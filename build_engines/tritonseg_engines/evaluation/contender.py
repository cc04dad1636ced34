"""A model on a server that is being measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tritonseg import ModelInfo, OverloadedError, Segmentation, SegmentationClient
from tritonseg_engines.errors import EvaluationError
from tritonseg_engines.evaluation.class_names import matched_classes
from tritonseg_engines.evaluation.dataset import one_line

OF_MODELS = "models of other classes have no figure in common: evaluate each by itself"
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 1.0
"""Between a refusal as overload and the next try, after those of the client."""
Transport = Literal["raw", "encoded", "shared_memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is asked of every model.

    Attributes:
        transport: How pictures are sent.
        confidence: Whether to ask for the confidence, where a model gives it.
        tiling: Whether to cut large pictures into tiles.
    """

    transport: Transport = "raw"
    confidence: bool = True
    tiling: Literal["auto"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contender:
    """One model on one server, at one version.

    Attributes:
        client: Of its server.
        url: Of its server, for reports.
        model: What the server said of it at the beginning.
        asked: What is asked of it.
        class_of: (C,) uint8, the first model's class by this one's; None where they are the same.
        patience_s: How long a picture waits for a server that is overloaded.
    """

    client: SegmentationClient = field(repr=False)
    url: str
    model: ModelInfo
    asked: Asked
    class_of: NDArray[np.uint8] | None
    patience_s: float = PATIENCE_S

    @classmethod
    def of(
        cls,
        client: SegmentationClient,
        url: str,
        asked: Asked,
        *,
        name: str,
        version: str | None,
        first: ModelInfo | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Contender:
        """Ask a server for a model, and hold its classes against the first model's.

        Args:
            client: Of the server.
            url: Of the server.
            asked: What is to be asked of it.
            name: Of the model.
            version: Of the model; None for the highest, at which it stays.
            first: The model that it is compared with; None where it is that.
            patience_s: How long a picture waits for a server that is overloaded.

        Raises:
            EvaluationError: It has other classes than the first model.
            SegmentationError: The server has no such model, or cannot be reached.
        """
        chosen = version or client.describe(model=name).version
        model = client.describe(model=name, model_version=chosen)
        class_of = None
        if first is not None and model.classes != first.classes:
            matched = matched_classes(
                model.classes, first.classes, whose=f"model '{name}'", advice=OF_MODELS
            )
            class_of = np.array(matched.index_of, np.uint8)
        return cls(
            client=client,
            url=url,
            model=model,
            asked=asked,
            class_of=class_of,
            patience_s=patience_s,
        )

    @property
    def gives_confidence(self) -> bool:
        """Whether its confidence is asked for."""
        return self.asked.confidence and self.model.gives_confidence

    @property
    def title(self) -> str:
        """Name, version and precision in words."""
        return f"{self.model.name} {self.model.version}, {one_line(self.model.precision)}"

    def segment(self, image: Path | NDArray[np.uint8]) -> Segmentation:
        """Segment a picture.

        Raises:
            EvaluationError: The server has another model under that name and version meanwhile.
            SegmentationError: It could not be segmented.
        """
        result = self._answer(image)
        if result.model != self.model:
            raise EvaluationError(
                f"model '{self.model.name}' version {self.model.version} at {self.url} was "
                f"replaced during the run, {self._difference(result.model)}; what was counted is "
                "of the one before: begin anew"
            )
        return result

    def _answer(self, image: Path | NDArray[np.uint8]) -> Segmentation:
        """Ask, and go on where a client gives up: nobody waits, and other callers come first."""
        give_up_s = time.monotonic() + self.patience_s
        while True:
            try:
                return self.client.segment(
                    image,
                    model=self.model.name,
                    model_version=self.model.version,
                    transport=self.asked.transport,
                    confidence=self.gives_confidence,
                    tiling=self.asked.tiling,
                )
            except OverloadedError:
                if time.monotonic() + PAUSE_S >= give_up_s:
                    raise
            time.sleep(PAUSE_S)

    def class_map(self, result: Segmentation) -> NDArray[np.uint8]:
        """Return a result's (H, W) uint8 classes, as the first model counts them."""
        return result.class_map if self.class_of is None else self.class_of[result.class_map]

    def identity(self) -> dict[str, Any]:
        """Return what its masks depend on, as JSON."""
        return {"asked": asdict(self.asked), **asdict(self.model)}

    def _difference(self, other: ModelInfo) -> str:
        before, after = asdict(self.model), asdict(other)
        changed = [key for key in before if before[key] != after[key]]
        return f"another {' and '.join(changed)}"


def check_different(contenders: Sequence[Contender]) -> None:
    """Refuse to hold a model against itself.

    Raises:
        EvaluationError: A version of a model is there twice, at the same address.
    """
    seen: set[tuple[str, str, str]] = set()
    for contender in contenders:
        model = contender.model
        key = (model.name, model.version, contender.url)
        if key in seen:
            raise EvaluationError(
                f"expected models that differ, got '{model.name}' version {model.version} at "
                f"{contender.url} twice"
            )
        seen.add(key)


def told_apart(contenders: Sequence[Contender]) -> list[str]:
    """Return a title of each, with its server where that alone makes the difference."""
    titles = [contender.title for contender in contenders]
    return [
        title if titles.count(title) == 1 else f"{title}, at {contender.url}"
        for title, contender in zip(titles, contenders, strict=True)
    ]
