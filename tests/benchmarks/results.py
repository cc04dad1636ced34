"""Where results go: a JSON file each, and a table in the docs between markers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from machine import PROJECT, sentence

from tritonseg_engines.atomic import write_atomically

PAGE = PROJECT / "docs" / "benchmarks.md"
FOLDER = PROJECT / "out" / "benchmarks"


class MarkerError(ValueError):
    """The page lacks the place for a table."""


def publish(name: str, result: dict[str, Any], table: str, *, quick: bool) -> None:
    """Write the result as JSON, print its table, and write that into the page.

    Args:
        name: Of the benchmark.
        result: With the machine under "machine".
        table: Markdown.
        quick: The run was too short to publish, so leave the page alone.

    Raises:
        MarkerError: The page has no place for it.
    """
    path = FOLDER / f"{name}{'.quick' if quick else ''}.json"
    write_atomically(path, (json.dumps(result, indent=2) + "\n").encode())
    text = f"{sentence(result['machine'])}\n\n{table}"
    print(f"{text}\n\nwritten: {path}")
    if not quick:
        write_atomically(PAGE, replace_between_markers(PAGE.read_text(), name, text).encode())
        print(f"written: {PAGE}")


def replace_between_markers(page: str, name: str, text: str) -> str:
    """Return the page with the text between `<!-- bench:NAME:begin -->` and `:end`.

    Raises:
        MarkerError: Not exactly one of each is there, in this order.
    """
    begin, end = f"<!-- bench:{name}:begin -->", f"<!-- bench:{name}:end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed) or page.count(begin) != 1 or page.count(end) != 1:
        raise MarkerError(f"expected one {begin} and behind it one {end} in the page")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its columns are aligned in the source, too, for diffs."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    return "\n".join(
        "| " + " | ".join(_padded(line, widths)) + " |" for line in [lines[0], rule, *lines[1:]]
    )


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
