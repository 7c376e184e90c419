"""What is wrong in a site folder, in one line each: where, what was found, what would do."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Wrong = Callable[[str, str, object, str], None]  # file, key, what was found, what would do


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in the site folder."""

    file: str
    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}" if self.key else self.file
        return f"{place}: found {self.found}; {self.wanted}"


class ConfigError(Exception):
    """The site folder is wrong; ``mistakes`` names all of it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[Mistake]]]:
        return ConfigError, (self.mistakes,)

    def summary(self, folder: Path) -> str:
        """How many there are, and that this is all that happened."""
        n = len(self.mistakes)
        return f"{n} mistake{'s' * (n != 1)} in {folder}; nothing was opened"


def did_you_mean(found: str, known: set[str] | frozenset[str], what: str = "") -> str:
    """The remedy for a name that is not among the known ones: the nearest, ``what`` would do, or some of them."""
    near = difflib.get_close_matches(found, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if what:
        return f"{what} would do"
    return f"one of {', '.join(sorted(known)[:12])} would do" if known else "none is defined there yet"


def shorten(value: object) -> str:
    """A value as it is shown where it was found."""
    return cut(repr(value), 80)


def cut(text: str, length: int = 400) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
