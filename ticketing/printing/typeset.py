"""The child that sets one paper: ``python typeset.py FOLDER FONT …``, within bounds, reading only that folder.

It is a script, so that it loads nothing else of ours. Its folder holds paper.json, document.json and maybe picture, and
gets order.pdf; of the fonts the first that is installed is taken. Exit codes: 3 none is; 4 and what Typst said.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

SECONDS, MEMORY = 20, 384 << 20  # of CPU; bytes of addresses: the pages have 512 MiB in all


def main(folder: Path, families: list[str]) -> int:
    """Set the paper in ``folder``."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import typst

    fonts = typst.Fonts()
    known = set(fonts.families())
    font = next((each for each in families if each in known), None)
    if font is None:
        return 3
    template = Path(__file__).with_name("order.typ").read_bytes()
    try:
        setter = typst.Compiler(template, root=folder, font_paths=fonts, sys_inputs={"font": font})
        setter.compile(output=folder / "order.pdf")
    except typst.TypstError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
