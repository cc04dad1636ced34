"""Two facts about the published networks that no specification states and no config can do without.

They can be had from the networks themselves, but only with torch, which writing a repository
must not need; a test holds them against the networks.
"""

from __future__ import annotations

from dataclasses import dataclass

from tritonseg_engines.errors import RepositoryError


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """What a network computes.

    Attributes:
        score_stride: Pixels of the input to one cell of the scores, along each axis.
        gmacs: 10^9 multiply-accumulates (convolutions and matrix products) for one picture of the
            published input size.
    """

    score_stride: int
    gmacs: float

    def scores_hw(self, input_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the scores; every halving inside the networks rounds up."""
        height, width = input_hw
        return -(-height // self.score_stride), -(-width // self.score_stride)


PUBLISHED_NETWORKS = {
    "fastseg-small": NetworkFacts(score_stride=2, gmacs=33.8),
    "pspnet-pytorch": NetworkFacts(score_stride=8, gmacs=178.3),
    "ocrnet-hrnet-w48-paddle": NetworkFacts(score_stride=4, gmacs=1297.9),
    "hrnetv2-w48-cityscapes": NetworkFacts(score_stride=4, gmacs=747.5),
    "hrnetv2-w18-small-v1-cityscapes": NetworkFacts(score_stride=4, gmacs=33.4),
    "hrnetv2-w18-small-v2-cityscapes": NetworkFacts(score_stride=4, gmacs=76.9),
}


def network_facts(model: str) -> NetworkFacts:
    """Return the facts of a published model.

    Raises:
        RepositoryError: It is not in the table.
    """
    try:
        return PUBLISHED_NETWORKS[model]
    except KeyError:
        raise RepositoryError(
            f"{model}: its score stride is unknown; add it to repository/published_networks.py"
        ) from None
