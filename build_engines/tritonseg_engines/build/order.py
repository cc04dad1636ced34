"""Everything that the conversion of one network goes by."""

from __future__ import annotations

from dataclasses import dataclass

from tritonseg_engines.build.options import BuildOptions
from tritonseg_engines.build.pictures_choice import PictureChoice
from tritonseg_engines.build.prepared import Prepared
from tritonseg_engines.progress import Progress, unheard
from tritonseg_engines.target import BuildTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOrder:
    """What a prepared network is to become.

    Attributes:
        prepared: The fp32 network.
        target: What it is for.
        options: How to convert and how to judge.
        pictures: What it is calibrated with and judged by.
        progress: Told of what takes time.
    """

    prepared: Prepared
    target: BuildTarget
    options: BuildOptions
    pictures: PictureChoice
    progress: Progress = unheard

    @property
    def title(self) -> str:
        """Of its report."""
        return f"{self.prepared.spec.name}, {self.target.precision}, {self.target.runtime}"
