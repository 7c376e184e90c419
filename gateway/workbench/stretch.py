"""What is played: which rules, on which past, from when to when."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.building import bound_rules, build_reader
from gateway.history import HistorySettings
from gateway.site import Site
from gateway.workbench.recorded import CsvPast, HeldPast, Past, PastError, StoredPast, moment, recording
from rules import Bound, Rule, RuleSettings


@dataclass(frozen=True, slots=True)
class Stretch:
    """A past from ``start`` to before ``end``, UTC ns."""

    past: Past
    start: int
    end: int


def as_live(settings: Mapping[str, RuleSettings], names: Sequence[str] = ()) -> dict[str, Rule]:
    """The rules named, or all, as if each were live; PastError for a name that is none."""
    for name in names:
        if name not in settings:
            raise PastError(f"no rule {name}; there are: {', '.join(settings) or 'none'}")
    return {
        name: Rule(name, found.model_copy(update={"mode": "live"}))
        for name, found in settings.items()
        if name in names or not names
    }


def open_stretch(
    site: Site,
    files: Sequence[Path],
    asset: str | None,
    start: str,
    end: str,
    *,
    recorded: Path | None = None,
) -> Stretch:
    """The files or the recording, whole unless cut, or the site's store; raises PastError."""
    now = time.time_ns()
    if not files and recorded is None:
        local = isinstance(site.store, HistorySettings)
        past = StoredPast(build_reader(site), "local history" if local else "InfluxDB")
        found = Stretch(past, moment(start or "30d", now), moment(end or "0s", now))
    else:
        held = CsvPast(site, files, asset) if recorded is None else recording(site, recorded)
        first, last = held.span()
        cut = (moment(start, now) if start else first, moment(end, now) if end else last)
        found = Stretch(held, max(first, cut[0]), min(last, cut[1]))
    if found.start >= found.end:
        raise PastError("the stretch ends before it begins: mind --from and --to")
    return found


def bind_all(site: Site, rules: Mapping[str, Rule], past: Past) -> list[Bound]:
    """The rules on every asset of their scopes; with files, only where these have one of the inputs."""
    bounds = bound_rules(site, rules)
    if isinstance(past, HeldPast):
        known = set(past.signals)
        bounds = [bound for bound in bounds if known.intersection(bound.inputs)]
    if not bounds:
        raise PastError("none of these rules looks at what was recorded there")
    return bounds
