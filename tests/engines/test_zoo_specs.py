"""The table of the zoo: what a specification promises must be complete and consistent."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tritonseg_engines import zoo
from tritonseg_engines.errors import SpecificationError
from tritonseg_engines.zoo.label_sets import CITYSCAPES_LABEL_IDS
from tritonseg_engines.zoo.published import PUBLISHED_CHECKPOINTS

NAMES = {
    "fastseg-small",
    "pspnet-pytorch",
    "ocrnet-hrnet-w48-paddle",
    "hrnetv2-w48-cityscapes",
    "hrnetv2-w18-small-v1-cityscapes",
    "hrnetv2-w18-small-v2-cityscapes",
}


def test_the_six_models() -> None:
    assert set(zoo.ZOO_SPECS) == NAMES
    assert set(PUBLISHED_CHECKPOINTS) == NAMES
    assert all(name == spec.name for name, spec in zoo.ZOO_SPECS.items())


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpecificationError, match="fastseg-small"):
        zoo.get_spec("fastseg-large")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_card_figures_say_how_they_are_counted(name: str) -> None:
    card = zoo.get_spec(name).card
    assert card is not None
    assert card.mparams
    assert card.gflops
    assert card.accuracy
    assert card.convention


def test_pspnet_pads_with_what_becomes_zero() -> None:
    preprocessing = zoo.get_spec("pspnet-pytorch").preprocessing
    assert preprocessing.resize.geometry((300, 500)).network_hw == (512, 512)
    np.testing.assert_array_equal(preprocessing.padding_values(), np.zeros(3))


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("ocrnet-hrnet-w48-paddle", [-1, -1, -1], [1, 1, 1]),
        ("fastseg-small", [-2.1179, -2.0357, -1.8044], [2.2489, 2.4286, 2.6400]),
    ],
)
def test_black_and_white_after_normalisation(
    name: str, lowest: list[float], highest: list[float]
) -> None:
    table = zoo.get_spec(name).preprocessing.table()
    np.testing.assert_allclose(table[:, 0], lowest, atol=1e-4)
    np.testing.assert_allclose(table[:, 255], highest, atol=1e-4)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_published_checkpoints_can_be_proven_or_are_fetched_by_hand(name: str) -> None:
    published = PUBLISHED_CHECKPOINTS[name]
    assert re.fullmatch(r"[\w.-]+\.(pt|pth|pdparams)", published.file_name)
    assert published.url.startswith("https://")
    if published.manual_download:
        assert published.sha384 is None
        return
    assert published.url.endswith(published.file_name)
    assert re.fullmatch(r"[0-9a-f]{96}", published.sha384 or "")
    assert published.size_bytes


def test_label_ids_stand_for_the_nineteen_classes() -> None:
    cityscapes = zoo.get_spec("fastseg-small")
    assert len(CITYSCAPES_LABEL_IDS) == len(cityscapes.classes) == 19
    assert list(CITYSCAPES_LABEL_IDS) == sorted(set(CITYSCAPES_LABEL_IDS))
