"""What the starter packs find on the simulated plant, into docs/rules.md: ``python -m tests.bench.table_packs``."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.workbench.packs import markdown, table

DOCS = Path(__file__).parents[2] / "docs" / "rules.md"
BEGIN, END = "<!-- table_packs begins -->", "<!-- table_packs ends -->"


def main() -> None:
    """Make the table and put it between its marks."""
    lines = markdown(table(progress=lambda what, share: print(f"{share:4.0%} {what}", flush=True)))
    text = DOCS.read_text(encoding="utf-8")
    DOCS.write_text(
        re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n{lines}\n{END}", text), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
