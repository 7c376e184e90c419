"""Rule tests as an engineer runs them: the site's rules and numbers, and a desk of their own for the work orders."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from pydantic import ValidationError

from gateway.building import build_rules
from gateway.dispatch import Dispatch
from gateway.site import Site, overrides, spans
from gateway.workbench.desk import trial_desk
from rules import RuleError
from rules.cases import Case, Moment, check
from rules.rule import Rule
from ticketing import Asset, Desk

FOLDER = "tests"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file: what was not as expected, a line each; ``broken`` where it could not be run at all."""

    path: Path
    title: str
    wrong: tuple[str, ...] = ()
    broken: bool = False

    @property
    def passed(self) -> bool:
        return not self.wrong


def find(folder: Path, named: list[Path]) -> list[Path]:
    """The case files meant: those named (a folder stands for its files), or all of the site's ``tests``."""
    found: list[Path] = []
    for place in named or [folder / FOLDER]:
        found += sorted(place.glob("*.toml")) if place.is_dir() else [place]
    return found


def run(site: Site, paths: list[Path]) -> Iterator[Outcome]:
    """Run each file; a file that is no case is an outcome too."""
    rules = build_rules(site)
    for path in paths:
        try:
            case = Case.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            yield Outcome(path, path.stem, (f"cannot be read: {error.strerror}",), broken=True)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            yield Outcome(path, path.stem, (f"is not TOML in UTF-8: {error}",), broken=True)
        except ValidationError as error:
            yield Outcome(path, path.stem, tuple(_mistakes(error)), broken=True)
        else:
            yield _run(site, rules, path, case)


def _run(site: Site, rules: Mapping[str, Rule], path: Path, case: Case) -> Outcome:
    unknown = [name for name in case.rules if name not in rules]
    if unknown:
        known = ", ".join(rules) or "none"
        return Outcome(
            path, case.title, (f"the site has no rule {unknown[0]}; it has: {known}",), broken=True
        )
    case = _with_the_sites_numbers(site, case)
    every = {name: rules[name] for name in case.rules}
    every |= {name: Rule(name, settings) for name, settings in case.rule.items()}
    try:
        if not any(expect.of_orders() for expect in case.expect):
            return Outcome(path, case.title, tuple(check(case, rules)))
        asset = Asset(case.asset, site.class_of(case.asset), case.asset, case.asset)
        with trial_desk(site, every, [asset]) as (desk, dispatch):
            return Outcome(path, case.title, tuple(check(case, rules, partial(_orders_then, desk, dispatch))))
    except RuleError as error:
        return Outcome(path, case.title, (str(error),), broken=True)


def _with_the_sites_numbers(site: Site, case: Case) -> Case:
    """An asset of the site brings its own parameters and ranges; what the case says goes before them."""
    if case.asset not in site.assets:
        return case
    own = {name: dict(overrides(site, case.asset, name)) for name in case.rules}
    ranges = {name: span for name, span in spans(site, case.asset).items() if span and name in case.series}
    return case.model_copy(
        update={
            "params": {name: own.get(name, {}) | case.params.get(name, {}) for name in {*own, *case.params}},
            "ranges": ranges | case.ranges,
        }
    )


def _orders_then(desk: Desk, dispatch: Dispatch, moment: Moment) -> Mapping[str, object]:
    """What has become of the orders by that moment, by the auto-open logic of the daemon."""
    for happened in moment.transitions:
        with dispatch.transaction(happened.time, [happened]):
            pass
    with dispatch.transaction(moment.time):
        pass
    with desk.read() as reading:
        orders = sorted(reading.orders(state=None, limit=10_000), key=lambda order: order.opened_at)
    newest = orders[-1] if orders else None
    return {
        "work_orders": len(orders),
        "occurrences": newest.occurrence_count if newest else 0,
        "priority": f"P{newest.priority}" if newest else None,
        "wo_state": str(newest.state) if newest else None,
    }


def _mistakes(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        yield f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg'].removeprefix('Value error, ')}"


def junit(outcomes: list[Outcome]) -> str:
    """The outcomes as JUnit XML, which build servers read."""
    suite = ElementTree.Element(
        "testsuite",
        name="watchkeeper rules",
        tests=str(len(outcomes)),
        failures=str(sum(not each.passed and not each.broken for each in outcomes)),
        errors=str(sum(each.broken for each in outcomes)),
    )
    for each in outcomes:
        case = ElementTree.SubElement(suite, "testcase", classname=each.path.stem, name=each.title)
        if not each.passed:
            kind = "error" if each.broken else "failure"
            told = ElementTree.SubElement(case, kind, message=each.wrong[0])
            told.text = "\n".join(each.wrong)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
