"""A drawing as PNG, for what cannot show SVG: a chat, a slide, an old mail. Typst makes it, the extra ``[pdf]``."""

from __future__ import annotations

from importlib.util import find_spec

PPI = 144.0
FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "DejaVu Sans", "Libertinus Serif")
WANTED = "PNG plots want Typst: pip install 'watchkeeper[pdf]'; the page has them as SVG"
_PAPER = """
#set page(width: auto, height: auto, margin: 8pt, fill: white)
#set text(font: sys.inputs.font, size: 11pt)
#sys.inputs.caption
#image(bytes(sys.inputs.svg), format: "svg", width: 720pt)
"""


def available() -> bool:
    """Whether Typst is installed."""
    return find_spec("typst") is not None


def png(svg: str, caption: str) -> bytes:
    """The drawing on white under its caption, in the first of ``FONTS`` that is installed."""
    import typst

    known = set(typst.Fonts().families())
    font = next(name for name in FONTS if name in known)  # the last is Typst's own
    drawing = svg.replace("<svg ", f'<svg font-family="{font}" ', 1)
    return typeset(_PAPER, caption=caption, font=font, svg=drawing)


def typeset(text: str, **inputs: str) -> bytes:
    """A page of Typst markup as PNG; the markup finds ``inputs`` in ``sys.inputs``."""
    import typst

    made = typst.compile(text.encode(), format="png", ppi=PPI, sys_inputs=inputs)
    assert isinstance(made, bytes)  # one page
    return made
