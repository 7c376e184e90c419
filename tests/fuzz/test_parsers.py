"""Each parser that `make fuzz` tries reads its seeds, whole and broken off."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load_site
from tests.fuzz.parsers import PARSERS


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_reads_its_seeds_whole_and_broken_off(name: str) -> None:
    parser = PARSERS[name]
    for seed in parser.seeds:
        parser.read(seed)
        parser.read(seed[: len(seed) // 2])
        parser.read(seed[::-1])
    parser.read(b"")


def test_the_small_site_is_right() -> None:
    assert load_site(Path(__file__).with_name("site")).rules["high"].signals == {"v": "vib"}
