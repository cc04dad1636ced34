"""Writes docs/api.md from the docstrings of what `tritonseg` exports.

    python scripts/api_page.py [--check]

Griffe reads signatures and docstrings from the source, so nothing is imported. With --check nothing
is written, and 1 at the end says that the page is not that of the source.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import griffe
from griffe import Attribute, Class, DocstringSectionKind, Function, Module, Object

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "api.md"
PACKAGE = "tritonseg"
WIDEST = 88
INTRODUCTION = """# API reference

Made from the docstrings by `python scripts/api_page.py`; a test holds the two together. How things
go together is in [client.md](client.md), and programs that run as they stand are in
[client/README.md](../client/README.md).
"""

_LISTS = {
    DocstringSectionKind.parameters: "Arguments",
    DocstringSectionKind.attributes: "Attributes",
    DocstringSectionKind.returns: "Returns",
    DocstringSectionKind.yields: "Yields",
    DocstringSectionKind.raises: "Raises",
}


def page() -> str:
    """Return the page as the source now has it."""
    package = griffe.load(
        PACKAGE,
        search_paths=[PROJECT / "client"],
        docstring_parser="google",
        docstring_options={"warnings": False},
        resolve_aliases=True,
    )
    assert isinstance(package, Module)  # noqa: S101 - for the type checker
    testing = package["testing"]
    exported = [package[name] for name in _all_of(package) if not name.startswith("_")]
    errors = [one for one in exported if _is_error(one)]
    clients = [one for one in exported if one.name.endswith("Client")]
    rest = [one for one in exported if one not in errors and one not in clients]
    parts = [
        INTRODUCTION,
        *_section("Clients", sorted(clients, key=lambda one: len(one.name))),
        *_section("Results, settings, pictures", rest),
        *_errors(errors),
        *_section("`tritonseg.testing`", [testing[name] for name in _all_of(testing)]),
        *_aliases(package),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip() + "\n"


def _all_of(module: Object) -> list[str]:
    return [str(name).strip("'\"") for name in module.exports or ()]


def _section(title: str, objects: Iterable[Object]) -> Iterator[str]:
    yield f"\n## {title}\n"
    for one in objects:
        yield from _described(one)


def _described(one: Object) -> Iterator[str]:
    if isinstance(one.final_target if one.is_alias else one, Attribute):
        return
    yield f"\n### `{one.name}`\n"
    yield from _signature(one.name, one)
    yield from _docstring(one)
    for member in _public_members(one):
        yield f"\n#### `{one.name}.{member.name}`\n"
        if member.is_function:
            yield from _signature(member.name, member)
        elif member.annotation is not None:
            yield f"Property: `{member.annotation}`\n"
        yield from _docstring(member)


def _public_members(one: Object) -> list[Object]:
    """Return methods and properties; attributes stand in the docstring."""
    if not one.is_class:
        return []
    members = [member for name, member in one.members.items() if not name.startswith("_")]
    return [member for member in members if member.is_function or "property" in member.labels]


def _signature(name: str, one: Object) -> Iterator[str]:
    if one.is_class and not one.has_labels("dataclass") and "__init__" not in one.members:
        return
    parameters = [
        parameter for parameter in one.parameters if parameter.name not in ("self", "cls")
    ]
    texts, is_keyword_only = [], False
    for parameter in parameters:
        if parameter.kind is griffe.ParameterKind.keyword_only and not is_keyword_only:
            texts.append("*")
            is_keyword_only = True
        default = "" if parameter.default is None else f" = {parameter.default}"
        annotation = "" if parameter.annotation is None else f": {parameter.annotation}"
        texts.append(f"{parameter.name}{annotation}{default}")
    returns = "" if one.is_class or one.returns is None else f" -> {one.returns}"
    begin = ("async " if "async" in one.labels else "") + name
    line = f"{begin}({', '.join(texts)}){returns}"
    if len(line) > WIDEST:
        lines = "".join(f"    {text},\n" for text in texts)
        line = f"{begin}(\n{lines}){returns}"
    yield f"```python\n{line}\n```\n"


def _docstring(one: Object) -> Iterator[str]:
    if one.docstring is None:
        return
    for section in one.docstring.parsed:
        if section.kind is DocstringSectionKind.text:
            yield f"{section.value}\n"
        elif section.kind is DocstringSectionKind.examples:
            yield from _examples(section.value)
        elif section.kind is DocstringSectionKind.admonition:
            yield from _admonition(section)
        elif section.kind in _LISTS:
            yield f"**{_LISTS[section.kind]}**\n"
            yield from _items(section)
            yield ""


def _examples(value: Iterable[tuple[DocstringSectionKind, str]]) -> Iterator[str]:
    for kind, text in value:
        is_code = kind is DocstringSectionKind.examples
        yield f"```pycon\n{text}\n```\n" if is_code else f"{text}\n"


def _admonition(section: griffe.DocstringSection) -> Iterator[str]:
    text, title = section.value.contents, section.title or section.value.kind.title()
    is_code = text.lstrip().startswith(">>>")
    yield f"**{title}**\n"
    yield f"```pycon\n{text}\n```\n" if is_code else f"{text}\n"


def _items(section: griffe.DocstringSection) -> Iterator[str]:
    for item in section.value:
        text = " ".join(item.description.split())
        if section.kind is DocstringSectionKind.raises:
            yield f"- `{item.annotation}`: {text}"
        elif section.kind in (DocstringSectionKind.returns, DocstringSectionKind.yields):
            yield f"- {text}"
        else:
            yield f"- `{item.name}`: {text}"


def _errors(errors: list[Object]) -> Iterator[str]:
    yield "\n## Errors\n"
    base = next(one for one in errors if one.name == "SegmentationError")
    yield from _docstring(base)
    yield "| error | is a | what it says |\n|---|---|---|"
    for one in errors:
        if one is not base:
            bases = ", ".join(f"`{kind}`" for kind in one.bases)
            text = " ".join(one.docstring.value.split()) if one.docstring else ""
            yield f"| `{one.name}` | {bases} | {text} |"


def _is_error(one: Object) -> bool:
    return one.is_class and any(
        str(kind).endswith("Error") or str(kind) == "Exception" for kind in one.bases
    )


def _aliases(package: Module) -> Iterator[str]:
    """Yield what the names in signatures stand for that are not exported themselves."""
    exported = set(_all_of(package)) | set(_all_of(package["testing"]))
    signatures = [
        str(expression)
        for name in exported
        if not name.startswith("_")
        for expression in _annotations(package[name] if name in package.members else None)
    ]
    words = {word for text in signatures for word in re.findall(r"[A-Za-z_]\w*", text)}
    found = {
        name: member
        for module in _modules(package)
        for name, member in module.members.items()
        if name in words - exported and isinstance(member, Attribute)
    }
    if found:
        yield "\n## Names in signatures\n"
    for name in sorted(found):
        value = str(found[name].value)
        if not value.startswith("TypeVar"):
            yield f"- `{name}`: `{' '.join(value.split()).strip(chr(39))}`"
        else:
            bound = re.search(r"bound=(\w+)", value)
            yield f"- `{name}`: any of one type" + (f" of `{bound[1]}`" if bound else "")


def _modules(package: Module) -> Iterator[Module]:
    for module in package.modules.values():
        yield module
        yield from _modules(module)


def _annotations(one: Object | None) -> Iterator[object]:
    if one is None:
        return
    functions = [one, *_public_members(one)] if one.is_class else [one]
    for function in functions:
        if isinstance(function.final_target if function.is_alias else function, (Class, Function)):
            yield from (parameter.annotation for parameter in function.parameters)


def main() -> None:
    """Write the page, or look whether it is the one that would be written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if parser.parse_args().check:
        raise SystemExit(written != page())
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
