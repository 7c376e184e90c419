"""Log lines as a person reads them, and as the journal takes them."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from gateway.logs import Journal, Line


def record(message: str, *values: object, broken: bool = False) -> logging.LogRecord:
    try:
        raise ValueError("unlucky") if broken else LookupError
    except ValueError:
        trouble = sys.exc_info()
    except LookupError:
        trouble = None
    made = logging.LogRecord("devices.line", logging.WARNING, __file__, 1, message, values, trouble)
    made.created = 1_800_000_000.25
    return made


def test_a_person_reads_time_level_and_words() -> None:
    text = Line().format(record("%s stopped answering", "pump-7"))
    assert text == "2027-01-15T08:00:00Z WARNING pump-7 stopped answering"


@pytest.mark.parametrize("broken", [False, True])
def test_the_journal_takes_one_object_a_line(broken: bool) -> None:
    text = Journal().format(record("泵 %s\nagain", 7, broken=broken))
    assert "\n" not in text
    found = json.loads(text)
    assert ("unlucky" in found.pop("exception", "")) is broken
    assert found == {
        "timestamp": "2027-01-15T08:00:00.250Z",
        "level": "warning",
        "logger": "devices.line",
        "event": "泵 7\nagain",
    }
