"""`rules figures`: what the alarms were worth, the worst actors, and what would quiet them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import (
    AsJson,
    SiteFolder,
    duration_ms,
    fail,
    length_of,
    now_ms,
    open_desk,
    percent,
    read_site,
)

if TYPE_CHECKING:
    from gateway.site import Site
    from gateway.workbench.worst import Proposal
    from ticketing import AlarmFigures, Desk, RuleFigures

app = typer.Typer()
NUISANCE = 0.3  # of a rule's alarms; beyond it nobody believes it any more


@app.command()
def figures(
    folder: SiteFolder,
    *,
    last: Annotated[str, typer.Option(metavar="DURATION", help="how far back")] = "7d",
    worst: Annotated[int, typer.Option(min=1, help="so many rules")] = 10,
    propose: Annotated[
        bool, typer.Option("--propose", help="for each of them a new limit, from a backtest over the past")
    ] = False,
    past: Annotated[
        str, typer.Option(metavar="DURATION", help="with --propose: the past that is played")
    ] = "30d",
    as_json: AsJson = False,
) -> None:
    """What the alarms were worth: figures after ISA-18.2, and the rules that cry most with what may help."""
    from gateway import show
    from gateway.building import build_rules
    from gateway.site import scoped

    site = read_site(folder)
    monitored = {asset for rule in build_rules(site).values() for asset in scoped(site, rule.settings.scope)}
    end = now_ms()
    start = end - duration_ms(last)
    desk = open_desk(site)
    with desk.read() as read:
        every = read.alarm_figures(start, end, monitored=monitored)
        found = read.rule_figures(start, end)[:worst]
    proposals = _proposals(site, desk, found, past) if propose else []
    if as_json:
        from gateway.workbench.worst import as_json as plain

        body = {"site": asdict(every), "rules": [asdict(each) for each in found]}
        body |= {"proposals": [plain(each) for each in proposals]} if propose else {}
        typer.echo(json.dumps(body, ensure_ascii=False, indent=2))
        return
    show.table(("figure", "value", "target"), _site_rows(every))
    typer.echo("")
    columns = (
        "rule", "alarms", "orders", "work yield", "false", "nuisance", "lead time", "chatters", "fleeting", "stale",
        "silent", "shadow", "what may help",
    )  # fmt: skip
    show.table(columns, [_rule_row(each, site) for each in found], "no alarm in that time")
    for proposal in proposals:
        _tell(proposal)


def _proposals(site: Site, desk: Desk, found: list[RuleFigures], past: str) -> list[Proposal]:
    """What would quiet the rules that were heard; those that the site no longer has are left out."""
    from gateway.store import StoreError
    from gateway.workbench import stretch, terminal, worst
    from gateway.workbench.recorded import PastError
    from ticketing.kpi.alarms import outcomes

    heard = [each.rule_id for each in found if each.alarms and each.rule_id in site.rules]
    try:
        played = stretch.open_stretch(site, [], None, past, "")
        span = (played.start // 1_000_000, played.end // 1_000_000)
        with terminal.progress() as progress:
            proposals = []
            for rule in heard:
                with desk.read() as read:
                    told = outcomes(read, *span, rule)
                proposals.append(worst.propose(site, rule, told, played, progress))
    except (PastError, StoreError) as error:
        fail(str(error), 1)
    return proposals


def _tell(proposal: Proposal) -> None:
    from gateway.workbench import terminal, worst

    told = f"over {length_of(proposal.days)} of {proposal.past}, alarms that led to work: {proposal.of}"
    unknown = f"; left out, silent or on orders not decided yet: {proposal.unknown}" * bool(proposal.unknown)
    typer.echo(f"\n{proposal.rule}: {told}{unknown}")
    if proposal.answer is not None and proposal.answer.points:
        typer.echo(f"  played on {', '.join(proposal.answer.lessons)}:\n")
        terminal.table(worst.grid(proposal))
    if proposal.why or proposal.answer is None:
        typer.echo(f"no proposal: {proposal.why}")
        return
    typer.echo(f"\nproposal:\n{proposal.answer.toml()}")
    for text in proposal.mind:
        typer.echo(f"mind: {text}")


def _site_rows(every: AlarmFigures) -> list[tuple[str, str, str]]:
    per_hour = "" if every.per_hour is None else f"{every.per_hour:.2f}"
    ack = "" if every.time_to_ack is None else f"{every.time_to_ack / 60_000:.1f} min"
    return [
        ("alarms", str(every.alarms), ""),
        ("silent, in shadow", f"{every.suppressed}, {every.shadow}", ""),
        ("alarms an hour", per_hour, "at most 6"),
        ("most in 10 min", str(every.most_in_10_min), "at most 10"),
        ("10 min with more than 10", percent(every.busy_share), "below 1%"),
        ("time in flood", percent(every.time_in_flood), "below 1%"),
        ("share of the ten worst", percent(every.top_ten_share), "below 5%"),
        ("chattering", str(every.chattering), "none"),
        ("fleeting", str(every.fleeting), "none"),
        ("stale", str(every.stale), "below 5"),
        ("time to acknowledge (median)", ack, ""),
        (
            "failures no alarm announced",
            f"{percent(every.missed)} of {every.failures}" if every.failures else "",
            "none",
        ),
    ]


def _rule_row(each: RuleFigures, site: Site) -> tuple[object, ...]:
    lead = None if each.lead_time is None else f"{each.lead_time / 3_600_000:.1f} h"
    shares = (percent(each.work_yield), percent(each.false_share), percent(each.nuisance))
    counts = (each.chattering, each.fleeting, each.stale, each.suppressed, each.shadow)
    return (each.rule_id, each.alarms, each.orders, *shares, lead, *counts, _help(each, site))


def _help(each: RuleFigures, site: Site) -> str:
    """What an engineer would try first."""
    if each.rule_id not in site.rules:
        return "no rule of the site any more"
    if each.chattering:
        return "widen its deadband or off_delay; meanwhile: alarms shelve"
    if each.nuisance is not None and each.nuisance > NUISANCE:
        return "--propose; or with known faults: rules tune"
    return "clear what has stood for a day, or mend the sensor" if each.stale else ""
