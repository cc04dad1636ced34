"""docs/api.md is that of the source, and leaves nothing out."""

from __future__ import annotations

import inspect
import re

import pytest

import api_page
import tritonseg
from tritonseg import testing

PAGE = api_page.PAGE.read_text(encoding="utf-8")


def test_the_page_is_that_of_the_source():
    assert api_page.page() == PAGE, "docs/api.md is old; this writes it: python scripts/api_page.py"


@pytest.mark.parametrize("name", [*tritonseg.__all__, *testing.__all__])
def test_every_name_is_there(name):
    """By the package itself, which the script does not import."""
    if name.startswith("_"):
        return
    is_error = isinstance(getattr(tritonseg, name, None), type) and issubclass(
        getattr(tritonseg, name), tritonseg.SegmentationError
    )
    pattern = rf"^\| `{name}` \||^## Errors" if is_error else rf"^### `{name}`$"
    assert re.search(pattern, PAGE, re.M)


@pytest.mark.parametrize("kind", [tritonseg.SegmentationClient, tritonseg.Segmentation])
def test_every_method_is_there_with_its_arguments(kind):
    for name, member in vars(kind).items():
        if name.startswith("_") or not (callable(member) or isinstance(member, property)):
            continue
        (found,) = re.findall(rf"^#### `{kind.__name__}\.{name}`$(.*?)(?=^###)", PAGE, re.M | re.S)
        assert inspect.getdoc(member).partition("\n")[0] in found
        if callable(member):
            for argument in list(inspect.signature(member).parameters)[1:]:
                assert re.search(rf"[(\s]{argument}: ", found), (name, argument)
