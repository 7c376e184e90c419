"""One self-contained HTML page of tables and plots, and the plots as PNG; it needs no server and no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway import picture
from gateway.i18n import Language


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the columns ``numbers`` stand right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[object]]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it; ``plots`` are captions with SVG."""

    title: str
    table: Grid | None = None
    plots: Sequence[tuple[str, str]] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All that stands on a page; ``facts`` become one line, ``notes`` one each."""

    title: str
    facts: Sequence[str]
    notes: Sequence[str]
    sections: Sequence[Section]

    def write(self, folder: Path, language: Language) -> Path:
        """Write ``index.html`` and ``plot-1.png`` … into ``folder``, in place of an earlier report's; raises OSError.

        Without Typst (``picture.available``) there are no PNGs. Returns the page's file.
        """
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        text = environment.get_template("report.html").render(
            page=self, language={"zh": "zh-CN", "en": "en"}[language]
        )
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "index.html"
        file.write_text(text, encoding="utf-8")
        for old in folder.glob("plot-*.png"):
            old.unlink()
        plots = [plot for section in self.sections for plot in section.plots]
        for n, (caption, svg) in enumerate(plots if picture.available() else (), 1):
            (folder / f"plot-{n}.png").write_bytes(picture.png(svg, caption))
        return file
