"""The panel against ``step``: both say the same on any trace, and a restart is not noticed."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules import Panel, State, Transition, View
from tests.rules.traces import (
    BY_THE_CLOCK,
    PLAIN,
    SECOND,
    SETS,
    WINDOWS,
    OneByOne,
    Trace,
    form,
    judge,
    rules_of,
    settled,
    trace,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(form(PLAIN, WINDOWS, BY_THE_CLOCK), min_size=1, max_size=3), trace(8))
def test_a_panel_says_what_step_says(forms: list[dict[str, Any]], batches: Trace) -> None:
    bounds = rules_of(forms)
    panel, plain, time = Panel(bounds), OneByOne(bounds), 100 * SECOND
    views: dict[int, View] = {}
    for which, forward, values in batches:
        time += forward * SECOND
        wanted = plain.judge(SETS[which], time, values[:4]) if which < len(SETS) else plain.tick(time)
        assert judge(panel, views, which, time, values) == wanted
        standing = {id(bound): state for bound, state in panel.states()}
        for bound, state in zip(bounds, plain.states, strict=True):
            assert settled(standing.get(id(bound), State())) == settled(state)


@settings(max_examples=100, deadline=None)
@given(st.lists(form(PLAIN, WINDOWS, BY_THE_CLOCK), min_size=1, max_size=2), trace(6), st.data())
def test_killed_anywhere_and_restarted_decides_the_same(
    forms: list[dict[str, Any]], batches: Trace, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(batches)))
    runs: list[list[list[Transition]]] = []
    for killed in (False, True):
        panel, time = Panel(rules_of(forms)), 100 * SECOND
        views = {i: panel.view(names) for i, names in enumerate(SETS)}
        said: list[list[Transition]] = []
        for i, (which, forward, values) in enumerate(batches):
            if killed and i == cut:
                kept = panel.dump()
                panel = Panel(rules_of(forms))
                views = {which: panel.view(names) for which, names in enumerate(SETS)}
                assert panel.load(kept) == []
            time += forward * SECOND
            said.append(judge(panel, views, which, time, values))
        runs.append(said)
    assert runs[0] == runs[1]
