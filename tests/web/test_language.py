"""Chinese and English, whole: every sentence and every code has its words, and the right language is chosen."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from starlette.testclient import TestClient

from devices.batch import Reason
from devices.kinds import KINDS
from gateway import i18n
from gateway.site import Site
from rules.functions import FUNCTIONS
from ticketing import FIELDS, MOVES, Desk, State
from ticketing.printing.layout import SHOWN

GATEWAY = Path(i18n.__file__).parent
METHODS = [("web/templates/**.html", "jinja2"), ("**.py", "python")]


def catalog(folder: str) -> Catalog:
    with (GATEWAY / "locale" / folder / "LC_MESSAGES" / "watchkeeper.po").open("rb") as file:
        return read_po(file)


def ours(folder: str | os.PathLike[str]) -> bool:
    return Path(folder).name not in {"node_modules", "dist", "__pycache__"}


@cache
def sentences() -> dict[str, str]:
    """Every sentence that is looked up, with the place it stands in."""
    keywords = {"_": None, "gettext": None}
    extracted = extract_from_dir(GATEWAY, METHODS, keywords=keywords, directory_filter=ours)
    found = {str(message): f"{file}:{line}" for file, line, message, _, _ in extracted}
    for node in ast.walk(ast.parse((GATEWAY / "health.py").read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_problem":
            for argument in (node.args[0], node.args[2]):
                either = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
                for sentence in either:
                    assert isinstance(sentence, ast.Constant)
                    found[sentence.value] = "health.py"
    return found


def codes() -> Iterator[tuple[str, str]]:
    """Every code that the pages may have to name."""
    plain = {
        "state": [state.value for state in State],
        "move": [move for move in MOVES if move not in {"recur", "auto_close", "self_cleared", "escalate"}],
        "event": [
            "open",
            "occurrence",
            "severity_raised",
            "signal_normal",
            "task_added",
            "verified",
            "frozen",
            "thawed",
            *MOVES,
        ],
        "field": [*FIELDS, *SHOWN],
        "quality": [reason.name.lower() for reason in Reason],
        "wire": list(KINDS),
        "severity": list("1234"),
        "priority": list("1234"),
        "tile": ["open", "new", "at_work", "resolved"],
        "filter": ["open", "at_work", "all"],
        "function": [*FUNCTIONS, "age"],
        "window": ["15m", "1h", "24h", "7d"],
        "person": ["local", "engine", "timer"],
        "role": ["viewer", "technician", "lead", "engineer", "admin"],
        "device": ["healthy", "suspect", "parked", "cut_off"],
        "type": ["condition", "inspection", "corrective", "preventive", "reinspection", "flood"],
        "suppression": ["shelved", "by_design", "out_of_service"],
        "signed": ["pin", "drawn", "named"],
        "store": ["history", "influxdb"],
        "model state": ["commissioning", "live", "stopped", "blind"],
    }
    for kind, values in plain.items():
        yield from ((kind, value) for value in values)
    for name in ("hold_reason", "outcome", "stop_kind", "cancel_reason"):
        yield from ((name, choice) for choice in FIELDS[name].choices)
    for kind in ("link", "linked"):
        yield from ((kind, code) for code in ("recurrence_of", "duplicate_of", "merged_into", "reinspects"))


def test_every_sentence_is_translated() -> None:
    chinese = catalog("zh_CN")
    found = sentences()
    assert len(found) > 120
    missing = {
        place: text for text, place in found.items() if not (entry := chinese.get(text)) or not entry.string
    }
    assert missing == {}


def test_every_translation_keeps_its_values_and_is_used() -> None:
    used = set(sentences())
    spare = {"no signal has shown enough normal running"}  # comes out of a model, as its trouble
    for entry in catalog("zh_CN"):
        if entry.id and not entry.context:
            assert entry.id in used | spare, f"{entry.id!r} is not used any more"
            assert sorted(_values(str(entry.id))) == sorted(_values(str(entry.string))), entry.id


def _values(text: str) -> list[str]:
    return [part.partition(")")[0] for part in text.split("%(")[1:]]


@pytest.mark.parametrize(("folder", "language"), [("zh_CN", "zh"), ("en", "en")])
def test_every_code_has_a_word(folder: str, language: i18n.Language) -> None:
    words = catalog(folder)
    missing = [
        f"{kind}: {code}"
        for kind, code in codes()
        if not (found := words.get(code, kind)) or not found.string
    ]
    assert missing == []
    assert i18n.term(language, "state", "on_hold") == {"zh": "挂起", "en": "On hold"}[language]


def test_both_languages_name_the_same_codes() -> None:
    named = [
        {(entry.context, entry.id) for entry in catalog(folder) if entry.context}
        for folder in ("zh_CN", "en")
    ]
    assert named[0] == named[1]


def test_an_unknown_code_reads_as_it_is_written() -> None:
    assert i18n.term("zh", "quantity", "seal_gas_flow") == "seal gas flow"


@pytest.mark.parametrize(
    ("asked", "accept", "site", "chosen"),
    [
        ("en", "zh-CN", "zh", "en"),
        (None, "en-GB,en;q=0.9,zh;q=0.8", "zh", "en"),
        (None, "fr;q=1,zh-TW;q=0.5,en;q=0.4", "en", "zh"),
        (None, "fr,de", "zh", "zh"),
        (None, None, "en", "en"),
        ("xx", "en;q=0", "zh", "zh"),
        (None, "zh;q=none,,;;q=", "en", "en"),
    ],
)
def test_a_readers_own_choice_comes_first_then_the_browser_then_the_site(
    asked: str | None, accept: str | None, site: i18n.Language, chosen: str
) -> None:
    assert i18n.choose(asked, accept, site) == chosen


@pytest.mark.parametrize("path", ["/orders", "/live", "/health", "/assets/fan-1", "/nowhere"])
def test_an_english_page_has_no_chinese_but_names(
    client: TestClient, week: Desk, site: Site, path: str
) -> None:
    page = client.get(path, headers={"Accept-Language": "en"}).text
    for own in ("中文", site.site.name, *(person.name for person in site.people.values())):
        page = page.replace(own, "").replace("用中文阅读", "").replace("用阅读", "")
    assert [character for character in page if "\u4e00" <= character <= "\u9fff"] == []
    assert '<html lang="en"' in page
