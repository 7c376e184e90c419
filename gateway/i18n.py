"""Two languages, one key set: pages, command line, notifications and evidence sentences.

English sentences are their own keys. Codes that come out of the data (states, moves, quantities, failure modes …)
are looked up with their kind as gettext's context, so one glossary names them everywhere in both languages.

The catalogs are edited by hand; ``tests/web/test_language.py`` names every sentence and code that lacks its words,
and installing the package compiles them.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

Language = Literal["zh", "en"]
LANGUAGES: dict[Language, str] = {"zh": "中文", "en": "English"}
DOMAIN = "watchkeeper"
LOCALE = Path(__file__).parent / "locale"
_CATALOG: dict[Language, str] = {"zh": "zh_CN", "en": "en"}


@cache
def translator(language: Language) -> gettext.NullTranslations:
    """The catalog of ``language``; ``translator("zh").gettext("Work orders")`` is 工单."""
    return gettext.translation(DOMAIN, LOCALE, [_CATALOG[language]], fallback=True)


def speaker(language: Language) -> Callable[..., str]:
    """``_`` of ``language``: ``_("%(n)s orders", n=3)``."""
    words = translator(language)

    def _(message: str, **values: object) -> str:
        text = words.gettext(message)
        return text % values if values else text

    return _


def term(language: Language, kind: str, code: str) -> str:
    """What people call ``code``: ``term("zh", "state", "on_hold")`` is 挂起; an unknown code reads as it is written."""
    found = translator(language).pgettext(kind, code)
    return found if found != code else code.replace("_", " ")


def both(kind: str, code: str) -> str:
    """``code`` in both languages, for a paper that travels: 挂起 · on hold."""
    return " · ".join(dict.fromkeys(term(language, kind, code) for language in LANGUAGES))


def choose(asked: str | None, accept: str | None, site: Language) -> Language:
    """The language for one reader: their own choice, else what the browser accepts, else the site's."""
    for language in LANGUAGES:
        if asked == language:
            return language
    for wanted in _by_weight(accept or ""):
        for language in LANGUAGES:
            if wanted.partition("-")[0] == language:
                return language
    return site


def _by_weight(accept: str) -> list[str]:
    """The tags of an ``Accept-Language`` header, best first; what cannot be read counts for nothing."""
    weighted = []
    for part in accept.lower().split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if weight > 0:
            weighted.append((weight, tag.strip()))
    return [tag for _, tag in sorted(weighted, key=lambda pair: -pair[0])]
