"""The listing and its parts: every picture in one part, and no name that leads elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tritonseg_engines.bulk.parts import Picture, changes, listing_of, parts_of
from tritonseg_engines.errors import BulkError


def picture(name: str, **fields: object) -> Picture:
    whole: dict[str, object] = {"file": name, "stamp": "1", "offset": 0, "size": 7, **fields}
    return Picture(name=name, **whole)  # type: ignore[arg-type]


NAMES = some.sets(some.text('ab é漢\u2028"\\', min_size=1, max_size=6), min_size=1, max_size=40)


@given(names=NAMES, size=some.integers(1, 50), seed=some.randoms())
def test_every_picture_is_in_exactly_one_part(names: set[str], size: int, seed: object) -> None:
    shuffled = [picture(name) for name in names]
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    listing = listing_of(shuffled)
    parts = list(parts_of(listing, size))
    found = [one for part in parts for one in part.pictures(listing[part.start : part.end])]
    assert found == sorted(shuffled, key=lambda one: one.name)
    assert [part.index for part in parts] == list(range(len(parts)))
    assert [part.first for part in parts] == list(range(0, len(names), size))
    assert all(part.count == size for part in parts[:-1])
    assert sum(part.count for part in parts) == len(names)
    assert parts[-1].end == len(listing)


def test_a_part_of_another_listing_is_refused() -> None:
    listing = listing_of([picture("a"), picture("b")])
    (part,) = parts_of(listing, 5)
    with pytest.raises(BulkError, match="the listing has changed in part-000000"):
        part.pictures(listing.replace(b'"a"', b'"c"'))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["../a.png"], "cannot name a result"),
        (["/a.png"], "cannot name a result"),
        (["a//b.png"], "cannot name a result"),
        (["a/./b.png"], "cannot name a result"),
        (["a\nb.png"], "cannot name a result"),
        (["a\0b.png"], "cannot name a result"),
        (["\udcff.png"], "cannot name a result"),
        (["é" * 130], "cannot name a result"),
        (["a.png", "a.png"], "two pictures are named 'a.png'"),
        (["a.png", "a.png.png/b.png"], "lies in a folder that has the name of a result"),
    ],
)
def test_names_of_which_results_would_be_lost_or_lie_elsewhere(
    names: list[str], reason: str
) -> None:
    with pytest.raises(BulkError, match=reason):
        listing_of(map(picture, names))


def test_what_differs_between_two_listings() -> None:
    before = [picture("a"), picture("b"), picture("c")]
    after = [picture("a"), replace(before[1], stamp="2"), picture("d"), picture("e")]
    told = changes(listing_of(before), listing_of(after))
    assert told == "2 new (d, ...), 1 gone (c), 1 changed (b)"
