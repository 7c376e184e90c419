"""An order on paper: one layout in both languages, as a page for browsers or as PDF; the JSON document is the original.

``layout`` says what stands on it, ``html`` and ``pdf`` how it looks; ``pdf`` wants the extra ``[pdf]``.
"""

from ticketing.printing.html import page
from ticketing.printing.layout import Paper, Words, lay_out
from ticketing.printing.pdf import PrintingError, Typesetter, original_in

__all__ = ["Paper", "PrintingError", "Typesetter", "Words", "lay_out", "original_in", "page"]
