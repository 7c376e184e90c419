"""The paper as PDF, set by Typst in a child process with bounded time and memory; the same paper is the same bytes.

The JSON document is attached to the PDF, so a file that travelled still holds what was signed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from ticketing.errors import TicketingError
from ticketing.printing.layout import Paper

PATIENCE = 40  # s for a paper, and for those before it
LARGEST = 64 << 20  # bytes of an attached document
FORMATS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
NO_FONT = 3
ONE_THREAD = {
    "RAYON_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}  # each more reserves addresses; no secret of ours
CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
)
ATTACHED = re.compile(rb"/Type\s*/EmbeddedFile\b[^\r\n]*?>>\s*stream\r?\n", re.DOTALL)


class PrintingError(TicketingError):
    """The PDF cannot be made here and now; the page (HTML) can."""


class Typesetter:
    """Sets one paper at a time, in the first of ``fonts`` that is installed."""

    def __init__(self, fonts: Sequence[str] = CHINESE) -> None:
        self._fonts = fonts
        self._turn = threading.Lock()

    def pdf(self, paper: Paper) -> bytes:
        """The PDF; PrintingError says what is missing. A picture that cannot be set is left out."""
        if find_spec("typst") is None:
            raise PrintingError(
                "PDF needs Typst: pip install 'watchkeeper[pdf]'; the page (HTML) needs nothing"
            )
        if not self._turn.acquire(timeout=PATIENCE):
            raise PrintingError("other papers are being set; please try again")
        try:
            return self._set(paper)
        except PrintingError:
            if paper.picture is None:
                raise
            return self._set(replace(paper, picture=None))
        finally:
            self._turn.release()

    def _set(self, paper: Paper) -> bytes:
        with TemporaryDirectory(prefix="watchkeeper-") as name:
            folder = Path(name)
            shown = asdict(replace(paper, picture=None, document=""))
            if paper.picture is not None:
                shown["picture"] = FORMATS[paper.picture[0]]
                (folder / "picture").write_bytes(paper.picture[1])
            (folder / "paper.json").write_text(json.dumps(shown))
            (folder / "document.json").write_text(paper.document)
            script = Path(__file__).with_name("typeset.py")
            try:
                done = subprocess.run(
                    [sys.executable, "-I", script, folder, *self._fonts],
                    capture_output=True,
                    timeout=PATIENCE,
                    env=ONE_THREAD,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise PrintingError(f"the paper was not set within {PATIENCE} s") from None
            if done.returncode == NO_FONT:
                raise PrintingError(
                    "no Chinese font is installed; on Debian: sudo apt-get install -y fonts-noto-cjk"
                )
            if done.returncode != 0:
                said = done.stderr.decode(errors="replace").strip().splitlines()
                why = said[0] if said else f"it ended with {done.returncode}: too much time or memory"
                raise PrintingError(f"the paper could not be set: {why}")
            return (folder / "order.pdf").read_bytes()


def original_in(pdf: bytes) -> bytes | None:
    """The JSON document that one of our PDFs carries; None where there is none."""
    for found in ATTACHED.finditer(pdf):
        try:
            return zlib.decompressobj().decompress(pdf[found.end() :], LARGEST)
        except zlib.error:
            continue
    return None
