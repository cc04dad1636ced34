"""A report as one HTML file that needs nothing else: text, tables, and pictures within it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PANEL_WIDTH: Final = 480
"""Pixels; larger pictures are scaled down."""
JPEG_QUALITY: Final = 88
HEAT_RIGHT, HEAT_WRONG = "34,160,110", "220,60,50"
HEAT_DEEPEST: Final = 0.85
"""Opacity of a share of 1."""
SHOWN_SHARE: Final = 0.005
"""Below which a cell has no number."""
STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
overflow-wrap: anywhere }
.wide { overflow-x: auto; margin: 1rem 0 } .wide svg { max-width: 100%; height: auto }
table { border-collapse: collapse; overflow-wrap: normal }
caption { text-align: left; font-weight: 600 }
th, td { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
.facts td { text-align: left }
.verdict { padding: .6rem 1rem; border-left: 6px solid } .passed { border-color: #2a8 }
.refused { border-color: #c33 } .accepted { border-color: #d90 }
figure { margin: 1rem 0 } .panels { display: grid; gap: .4rem;
grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)) }
.strip svg { width: 100%; height: 46px; display: block } .strip i { display: inline-block;
width: .8em; height: .8em; margin: 0 .3em 0 1em }
.heat { font-size: 12px } .heat th, .heat td { padding: .1rem .3rem; text-align: right;
min-width: 2.2em } .heat th:first-child { position: sticky; left: 0; background: #fff;
text-align: left; z-index: 1 } .heat tr:first-child th { vertical-align: bottom }
.heat tr:first-child th span { writing-mode: vertical-rl; transform: rotate(180deg) }
.legend { font-size: 13px; columns: 9rem } .legend span { display: block }
.legend i { display: inline-block; width: 1em; height: 1em; margin-right: .4em;
vertical-align: -.15em; border: 1px solid #999 }
.panels img { width: 100%; display: block } .panels span { font-size: 13px; color: #555 }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return a document; parts are HTML."""
    heading, body = html.escape(title), "\n".join(parts)
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        # Else a browser asks for /favicon.ico and reports that there is none.
        "<link rel=icon href='data:,'>"
        f"<title>{heading}</title>"
        f"<style>{STYLE}</style>\n<h1>{heading}</h1>\n{body}\n</html>\n"
    )


def paragraph(text: str, css_class: str = "") -> str:
    """Return text as a paragraph."""
    return f"<p class='{css_class}'>{html.escape(text)}</p>"


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{html.escape(text)}</h2>"


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], css_class: str = ""
) -> str:
    """Return a table of text, which scrolls by itself where the page is narrow."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<div class=wide><table class='{css_class}'><caption>{html.escape(caption)}</caption>"
        f"<tr>{head}</tr>\n{body}</table></div>"
    )


def heat_table(caption: str, names: Sequence[str], shares: NDArray[np.float64]) -> str:
    """Return a square table of shares as percent, the darker the larger.

    Args:
        caption: Above it.
        names: Of the rows and columns, C of each.
        shares: (C, C), 0-1; NaN leaves a cell empty. What lies on the diagonal is green.
    """
    head = "".join(f"<th><span>{html.escape(name)}</span></th>" for name in names)
    rows = []
    for index, name in enumerate(names):
        cells = "".join(
            _heat_cell(float(share), is_good=index == column)
            for column, share in enumerate(shares[index])
        )
        rows.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return (
        # Outside of what scrolls, or a narrow page shows its beginning alone.
        f"<p><b>{html.escape(caption)}</b></p><div class=wide><table class=heat>"
        f"<tr><th></th>{head}</tr>\n" + "\n".join(rows) + "</table></div>"
    )


def _heat_cell(share: float, *, is_good: bool) -> str:
    if np.isnan(share):
        return "<td></td>"
    color = HEAT_RIGHT if is_good else HEAT_WRONG
    # Of the square root, or errors of a few percent could not be told from none.
    depth = share**0.5 * HEAT_DEEPEST
    text = f"{100 * share:.0f}" if share >= SHOWN_SHARE else ""
    return f"<td style='background:rgba({color},{depth:.2f})'>{text}</td>"


def legend(entries: Iterable[tuple[str, tuple[int, int, int]]]) -> str:
    """Return names with their colours, RGB 0-255."""
    spans = "\n".join(
        f"<span><i style='background:rgb{color}'></i>{html.escape(name)}</span>"
        for name, color in entries
    )
    return f"<div class=legend>{spans}</div>"


def figure(caption: str, images: Iterable[tuple[str, NDArray[np.uint8]]]) -> str:
    """Return pictures side by side.

    Args:
        caption: Above them.
        images: Title and `(h, w, 3)` uint8 RGB of each.
    """
    cells = "\n".join(
        f"<div><img alt='{html.escape(title, quote=True)}' src='{_jpeg_url(image)}'>"
        f"<span>{html.escape(title)}</span></div>"
        for title, image in images
    )
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f"<div class=panels>{cells}</div></figure>"
    )


def panel_sized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, scaled down to a panel's width where it is wider."""
    height, width = image.shape[:2]
    if width <= PANEL_WIDTH:
        return image
    size = (PANEL_WIDTH, max(1, round(height * PANEL_WIDTH / width)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg_url(image: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
