"""Every kind of file comes to the same end wherever it is read, and to the right one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tritonseg
from picture_kinds import KINDS, Kind
from tritonseg import ImageLimits, InvalidImageError, load_image
from tritonseg._pictures.image import read_sendable
from tritonseg._pictures.picture import EncodedImage
from tritonseg_engines.errors import CalibrationError
from tritonseg_engines.running.pictures import picture_folder
from tritonseg_steps.encoded_image import EncodedImageError, decode_rgb

PRODUCT = [
    Path(tritonseg.__file__).parents[2] / root for root in ("client", "steps", "build_engines")
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def file(kind: Kind, tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    path = folder / f"street{kind.suffix}"
    path.write_bytes(kind.encoded)
    return path


def by_client(kind: Kind, source: Path | bytes) -> np.ndarray | None:
    """What the client reads, None where it refuses in the way that is expected."""
    if not kind.refused:
        return load_image(source)
    with pytest.raises(InvalidImageError) as refused:
        load_image(source)
    assert type(refused.value).__name__ == kind.refused
    return None


def test_the_client_shows_what_is_in_the_file(kind: Kind, file: Path) -> None:
    shown = by_client(kind, kind.encoded)
    by_client(kind, file)
    if shown is not None:
        assert shown.shape == kind.shown_hwc.shape
        assert np.abs(shown.astype(int) - kind.shown_hwc).max() <= kind.levels


@pytest.mark.parametrize("labelled", [False, True], ids=["calibration", "gate and labels"])
def test_builds_read_what_the_client_reads(
    kind: Kind, file: Path, tmp_path: Path, labelled: bool
) -> None:
    labels = tmp_path / "labels" if labelled else None
    if labels is not None:
        labels.mkdir()
        size_hw = (2, 2) if kind.shown_hwc is None else kind.shown_hwc.shape[:2]
        Image.fromarray(np.ones(size_hw, np.uint8)).save(labels / "street.png")
    pictures = picture_folder(file.parent, labels)
    assert len(pictures) == 1
    if kind.refused:
        with pytest.raises(InvalidImageError) as by_path:
            load_image(file)
        with pytest.raises(CalibrationError) as refused:
            pictures[0]
        assert str(refused.value) == str(by_path.value)
        assert str(file) in str(refused.value)
        return
    np.testing.assert_array_equal(pictures[0].image_hwc, load_image(file))
    assert (pictures[0].labels_hw is not None) == labelled


def test_a_server_shows_the_same_or_asks_for_the_pixels(kind: Kind) -> None:
    try:
        decoded = decode_rgb(kind.encoded)
    except EncodedImageError:
        decoded = None
    expected = by_client(kind, kind.encoded)
    if decoded is not None:
        assert expected is not None
        np.testing.assert_array_equal(decoded, expected)
    if expected is None:
        return
    sent = read_sendable(kind.encoded, ImageLimits())
    np.testing.assert_array_equal(sent.array_hwc, expected)
    assert not isinstance(sent, EncodedImage) or decoded is not None
    if decoded is None:
        with pytest.raises(EncodedImageError, match="send the pixels"):
            decode_rgb(kind.encoded)


def test_nothing_else_opens_pictures() -> None:
    """The reader, the server's decoder and the labels' reader; whoever needs another asks here.

    `cli/made_by.py` reads no picture: the text in a class map that it wrote itself; and
    `evaluation/orientation.py` but a tag in the header of what the reader took.
    """
    readers = {
        str(path.relative_to(root))
        for root in PRODUCT
        for path in root.rglob("*.py")
        for text in [path.read_text(encoding="utf-8")]
        if any(word in text for word in ("Image.open(", "imread(", "imdecode(", "ImagePlugin."))
    }
    assert readers == {
        "tritonseg/_pictures/formats.py",
        "tritonseg/_pictures/frames.py",
        "tritonseg/_pictures/damage.py",
        "tritonseg/_pictures/depth.py",
        "tritonseg_steps/encoded_image.py",
        "tritonseg_engines/cli/made_by.py",
        "tritonseg_engines/evaluation/orientation.py",
        "tritonseg_engines/running/labels.py",
    }
