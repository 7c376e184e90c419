"""A model's page as one picture (PNG), set by Typst from the page itself: for a mail or a chat that takes no HTML."""

from __future__ import annotations

import json
import re
from xml.etree.ElementTree import Element, fromstring, tostring

from gateway import picture
from gateway.i18n import Language
from models.promise import ModelError

_HEAD = f"""
#set page(width: 760pt, height: auto, margin: 26pt)
#set text(font: {json.dumps(picture.FONTS).replace("[", "(").replace("]", ")")}, size: 11pt, fill: rgb("#1c2430"))
"""
_LOOKS = """
#set table(stroke: (x: none, y: 0.5pt + rgb("#dde2e8")), inset: (left: 0pt, right: 14pt, y: 4pt))
#show heading: set block(above: 1.2em, below: 0.6em)
"""
_SVG = f'<svg xmlns="http://www.w3.org/2000/svg" font-family="{picture.FONTS[0]}" font-size="12" '


def png(page: str, language: Language) -> bytes:
    """The part of the HTML ``page`` in ``language``. ModelError where Typst is missing."""
    if not picture.available():
        raise ModelError(picture.WANTED)
    found = re.search(rf'<main lang="{language}">.*?</main>', page, re.DOTALL)
    if found is None:
        raise ModelError(f"the page has no part in {language}")
    main = fromstring(found[0])  # noqa: S314  # our own page
    text = "\n".join([_HEAD, _LOOKS, *(_set(part) for part in main)])
    return picture.typeset(text)


def _set(part: Element) -> str:
    """One element of the page in Typst."""
    match part.tag:
        case "h1" | "h2":
            return f"#heading(level: {part.tag[1]}, {json.dumps(_text(part), ensure_ascii=False)})"
        case "table":
            rows = [[_text(cell) for cell in row] for row in part]
            columns = (
                "(150pt, 1fr)" if len(rows[0]) == 2 else f"({', '.join(['auto'] * (len(rows[0]) - 1))}, 1fr)"
            )
            cells = ", ".join(f"[#{json.dumps(cell, ensure_ascii=False)}]" for row in rows for cell in row)
            return f"#table(columns: {columns}, {cells})"
        case "svg":
            drawing = tostring(part, encoding="unicode").strip().replace("<svg ", _SVG, 1)
            return f'#image(bytes({json.dumps(drawing, ensure_ascii=False)}), format: "svg", width: 100%)'
        case _:
            return f"#par(text({json.dumps(_text(part), ensure_ascii=False)}))"


def _text(part: Element) -> str:
    return " ".join("".join(part.itertext()).split())
