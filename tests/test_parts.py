"""The marker ``needs``: a missing part is never a silent pass."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = (Path(__file__).parent / "conftest.py").read_text()
TEST = """
    import pytest

    @pytest.mark.needs("mosquitto")
    def test_it():
        assert True
"""


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *, ci: bool) -> pytest.RunResult:
    """Run one test that needs a broker on a machine that has none."""
    absent = CONFTEST.replace('("mosquitto", "mosquitto")', '("no-such-executable", "mosquitto")')
    assert absent != CONFTEST
    pytester.makeconftest(absent)
    pytester.makepyfile(TEST)
    pytester.makeini("[pytest]\nmarkers = needs(what): a part")
    monkeypatch.setenv("CI", "true" if ci else "")
    return pytester.runpytest()


def test_a_missing_part_is_a_loud_skip(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(pytester, monkeypatch, ci=False)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*1 tests skipped: install mosquitto*"])


def test_a_missing_part_fails_in_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(pytester, monkeypatch, ci=True)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*CI needs mosquitto: apt-get install mosquitto*"])
