"""`rules stages`, `rules promote`, `rules history`: the life of versions, and what became of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import (
    AsJson,
    AsPerson,
    SiteFolder,
    acting,
    fail,
    length_of,
    now_ms,
    open_desk,
    percent,
    read_site,
    refusals,
)

if TYPE_CHECKING:
    from gateway.site import Site
    from rules import Rule

app = typer.Typer()
RuleId = Annotated[str, typer.Argument(metavar="RULE", help="the rule's id")]


@app.command()
def stages(folder: SiteFolder, as_json: AsJson = False) -> None:
    """Where each rule stands: its version, its stage, since when and by whom."""
    from gateway import show
    from gateway.building import build_rules
    from gateway.stages import stage, standing

    site = read_site(folder)
    with open_desk(site).read() as read:
        steps = read.rule_stages()
    rows = []
    for rule in build_rules(site).values():
        step = standing(rule, steps)
        told = (
            (show.when(step.at), step.author, ", ".join(step.assets), step.reason)
            if step
            else ("", "the file", "", "")
        )
        rows.append((rule.id, rule.hash[:8], stage(rule, steps), *told))
    columns = ("rule", "version", "stage", "since", "by", "assets", "reason")
    if as_json:
        typer.echo(
            json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False, indent=2)
        )
        return
    show.table(columns, rows, "the site has no rules")


@app.command()
def promote(
    folder: SiteFolder,
    rule: RuleId,
    *,
    reason: Annotated[str, typer.Option(help="why; it stays with the version")],
    to: Annotated[str, typer.Option(help="shadow, canary, live or retired")] = "live",
    canary: Annotated[
        list[str] | None, typer.Option(metavar="ASSET", help="live on this asset only; repeat it")
    ] = None,
    expect: Annotated[str, typer.Option(help="what it shall achieve, to be looked at in a month")] = "",
    last: Annotated[
        str, typer.Option(metavar="DURATION", help="the past that it is played over first")
    ] = "30d",
    force: Annotated[
        bool, typer.Option("--force", help="though the past holds nothing that it could be played over")
    ] = False,
    person: AsPerson = None,
) -> None:
    """Let a rule's present version go live (or to another stage); a running gateway follows at once.

    Going live it is played over the past first; where there is none, only --force and the reason let it pass.
    """
    from gateway.building import build_rules

    site = read_site(folder)
    found = build_rules(site).get(rule)
    if found is None:
        fail(f"no rule {rule}; there are: {', '.join(site.rules) or 'none'}", 2)
    _in_scope(site, found, canary or [])
    stage = "canary" if canary else to
    backtest = _backtest(site, found, last) if stage in {"canary", "live"} else {}
    if stage in {"canary", "live"} and not backtest.get("samples") and not force:
        fail(
            f"the last {last} hold no samples for {rule}: nothing says what it would do; --force goes on all the same",
            1,
        )
    desk = open_desk(site)
    with refusals(), desk.transaction() as tx:
        from ticketing import RuleStep

        given = RuleStep(rule, found.hash, stage, now_ms(), reason, tuple(canary or ()), expect, backtest)
        step = tx.take_rule_step(acting(desk, person), given, found.settings.model_dump_json(by_alias=True))
        decided = [decision for decision in tx.decisions if decision.number]
    where = f" on {', '.join(step.assets)}" if step.assets else ""
    typer.echo(f"{rule} {found.hash[:8]} is {stage}{where}; {_told(backtest)}{_tell_the_daemon(site)}")
    for decision in decided:
        typer.echo(f"{decision.kind} {decision.number}: {decision.why}")


@app.command()
def history(folder: SiteFolder, rule: RuleId, as_json: AsJson = False) -> None:
    """A rule's versions and steps: who, when, why, what was hoped for, and what came of it since."""
    from gateway import show

    site = read_site(folder)
    with open_desk(site).read() as read:
        steps, versions = read.rule_steps(rule), read.rule_versions(rule)
        spans = pairwise([*(step.at for step in steps), now_ms()])
        came = [
            read.rule_figures(start, end, rule_id=rule, sha256=step.sha256)
            for step, (start, end) in zip(steps, spans, strict=True)
        ]
    if not versions:
        fail(f"nothing is known of {rule}: no version of it raised an alarm or took a step", 1)
    if as_json:
        body = [{**asdict(s), "came": [asdict(f) for f in f_]} for s, f_ in zip(steps, came, strict=True)]
        typer.echo(
            json.dumps(
                {"versions": [asdict(v) for v in versions], "steps": body}, ensure_ascii=False, indent=2
            )
        )
        return
    for version in versions:
        typer.echo(f"version {version.sha256[:8]} first seen {show.when(version.first_seen_at)}")
    for step, figures in zip(steps, came, strict=True):
        where = f" on {', '.join(step.assets)}" if step.assets else ""
        typer.echo(
            f"{show.when(step.at)}  {step.sha256[:8]} {step.stage}{where}, by {step.author}: {step.reason}"
        )
        if step.expected:
            typer.echo(f"    hoped for: {step.expected}")
        typer.echo(f"    the past: {_told(step.backtest)}")
        for figure in figures:
            typer.echo(
                f"    since: {figure.alarms} alarms, {figure.orders} orders, work yield {percent(figure.work_yield)}"
            )


def _in_scope(site: Site, rule: Rule, canary: list[str]) -> None:
    from gateway.site import scoped

    known = scoped(site, rule.settings.scope)
    if strange := [asset for asset in canary if asset not in known]:
        fail(f"rule {rule.id} does not watch {strange[0]}; it watches: {', '.join(known) or 'nothing'}", 2)


def _backtest(site: Site, rule: Rule, last: str) -> dict[str, Any]:
    """What the version did over the stored past, in short."""
    from gateway.store import StoreError
    from gateway.workbench import stretch, terminal, trial
    from gateway.workbench.recorded import PastError

    try:
        played = stretch.open_stretch(site, [], None, last, "")
        bounds = stretch.bind_all(site, stretch.as_live(site.rules, [rule.id]), played.past)
        with terminal.progress() as progress:
            found = trial.play(site, bounds, played, progress)
    except (PastError, StoreError) as error:
        fail(str(error), 1)
    return {
        "past": played.past.name,
        "start": played.start // 1_000_000,
        "end": played.end // 1_000_000,
        "samples": found.samples,
        "alarms": len(found.alarms),
        "orders": len(found.orders),
    }


def _told(backtest: dict[str, Any] | Any) -> str:
    if not backtest:
        return "not played over the past"
    if not backtest["samples"]:
        return f"{backtest['past']} held no samples to play it over"
    days = (backtest["end"] - backtest["start"]) / 86_400_000
    return (
        f"over {length_of(days)} of {backtest['past']} ({backtest['samples']:,} samples) it would have raised "
        f"{backtest['alarms']} alarms and opened {backtest['orders']} orders"
    )


def _tell_the_daemon(site: Site) -> str:
    from gateway.control import ask

    try:
        ask(site.state / "control.sock", {"op": "rules"})
    except (OSError, ValueError):
        return "; no gateway is running, the next one follows"
    return "; the gateway follows"
