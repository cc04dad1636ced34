"""Every `tritonseg` line on a page is one that the command takes; some tests run them, too."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tritonseg_engines.cli.app import COMMANDS, cli

PROJECT = Path(__file__).parents[1]
PAGES = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=PROJECT, capture_output=True, text=True, check=True
).stdout.split()
LINE = re.compile(r"^\s*(?:\$ |[A-Z_]+=\S+ )*(?:\S*/bin/)?tritonseg (?=[a-z-])(.*)$")
INLINE = re.compile(r"`tritonseg ([a-z][^`]*)`")
PLACEHOLDER = re.compile(r"^(?:\.\.\.|…)$")
FEWEST = 120


def lines_of(page: Path) -> Iterator[str]:
    """Yield the arguments of each line that calls the command, with what continues it."""
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        called = LINE.match(line)
        yield from [called.group(1)] if called else INLINE.findall(line)


FOUND = [
    pytest.param(arguments, id=f"{page}-{number}")
    for page in PAGES
    for number, arguments in enumerate(lines_of(PROJECT / page), 1)
]


@pytest.mark.parametrize("arguments", FOUND)
def test_the_command_takes_it(arguments: str) -> None:
    words = shlex.split(arguments, comments=True)
    words = [word for word in words if not PLACEHOLDER.match(word)]
    for end in ("|", ">", "2>", "&", "&&", ";", "<"):
        words = words[: words.index(end)] if end in words else words
    if words[-1].startswith("--"):  # an option that is spoken of, without a value
        words.append("$VALUE")
    name, *given = words
    assert name in COMMANDS
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = click.Context(command, info_name=name)
    known, _, order = command.make_parser(context).parse_args(given)
    for parameter in order:
        value = known.get(parameter.name)
        is_literal = isinstance(value, str) and not value.startswith("$")
        if isinstance(parameter.type, click.Choice) and is_literal:
            parameter.type.convert(value, parameter, context)


def test_there_are_such_lines() -> None:
    assert len(FOUND) >= FEWEST
