"""`alarms …`: which stand, acknowledging, muting for a stated time, the journal."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import (
    AsJson,
    AsPerson,
    AtSite,
    acting,
    desk_of,
    duration_ms,
    fail,
    now_ms,
    refusals,
)

if TYPE_CHECKING:
    from ticketing import Alarm

app = typer.Typer(help="Alarms: list, acknowledge, shelve, journal.", no_args_is_help=True)
Rule = Annotated[str, typer.Option(help="only the alarms of this rule", metavar="RULE")]


@app.command("list")
def alarms_list(
    asset: Annotated[str | None, typer.Option(help="of this asset only")] = None,
    every: Annotated[bool, typer.Option("--all", help="those that are over too")] = False,
    limit: Annotated[int, typer.Option(help="at most so many", min=1)] = 100,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """The alarms that are active, or latched and not acknowledged; the newest first."""
    from gateway import show

    with desk_of(site).read() as read:
        found = read.alarms(standing=not every, asset=asset, limit=limit)
        shelves = read.shelves(now_ms())
    if as_json:
        typer.echo(json.dumps([asdict(alarm) for alarm in found], ensure_ascii=False, indent=2))
        return
    columns = ("raised", "severity", "asset", "mode", "kind", "state", "silent", "decision", "episode")
    show.table(columns, [_row(alarm) for alarm in found], "no alarms")
    for shelf in shelves:
        what = f"rule {shelf.rule_id} on {shelf.asset}" if shelf.rule_id else f"all of {shelf.asset}"
        typer.echo(f"shelved: {what} until {show.when(shelf.until)} by {shelf.by}: {shelf.reason}")


def _row(alarm: Alarm) -> tuple[object, ...]:
    from gateway import show

    state = "active" if alarm.active else "latched" if alarm.latched else "over"
    state += f", seen by {alarm.acked_by}" if alarm.acked_by else ""
    return (
        show.when(alarm.raised_at),
        alarm.severity,
        alarm.asset,
        alarm.mode,
        f"{alarm.kind} {alarm.failure_mode}",
        state,
        "" if alarm.suppression == "none" else alarm.suppression,
        alarm.decision,
        alarm.episode,
    )


@app.command()
def ack(
    what: Annotated[str, typer.Argument(help="an episode as listed, or an asset: all its standing alarms")],
    note: Annotated[str, typer.Option(help="what you say to it")] = "",
    site: AtSite = None,
    person: AsPerson = None,
) -> None:
    """Say that somebody has seen an alarm; the first one counts."""
    desk = desk_of(site)
    actor = acting(desk, person)
    with refusals(), desk.transaction() as tx:
        found = (
            [tx.alarm(what).episode]
            if "/" in what
            else [a.episode for a in tx.alarms(standing=True, asset=tx.asset(what).code)]
        )
        for episode in found:
            tx.ack(episode, actor, now_ms(), note)
    typer.echo(f"{len(found)} alarm{'s' * (len(found) != 1)} acknowledged")


@app.command()
def shelve(
    asset: Annotated[str, typer.Argument(help="the asset's code")],
    *,
    lasting: Annotated[str, typer.Option("--for", help="how long, 8h at most", metavar="DURATION")],
    reason: Annotated[str, typer.Option(help="why; everybody sees it")],
    rule: Rule = "",
    site: AtSite = None,
    person: AsPerson = None,
) -> None:
    """Mute an asset's alarms for a stated time. They are recorded; at the end those still active are judged at once."""
    from gateway import show

    desk, now = desk_of(site), now_ms()
    until = now + duration_ms(lasting)
    with refusals(), desk.transaction() as tx:
        tx.shelve(acting(desk, person), asset, at=now, until=until, reason=reason, rule_id=rule)
    typer.echo(f"{asset} is shelved until {show.when(until)}")


@app.command()
def unshelve(
    asset: Annotated[str, typer.Argument(help="the asset's code")],
    rule: Rule = "",
    site: AtSite = None,
    person: AsPerson = None,
) -> None:
    """End a shelving now."""
    desk, now = desk_of(site), now_ms()
    with refusals(), desk.transaction() as tx:
        if (asset, rule) not in {(shelf.asset, shelf.rule_id) for shelf in tx.shelves(now)}:
            fail(f"{asset} is not shelved{f' for rule {rule}' if rule else ''}; see alarms list", 1)
        tx.unshelve(acting(desk, person), asset, at=now, rule_id=rule)
        judged = [decision for decision in tx.decisions if decision.number]
    typer.echo(f"{asset} is heard again")
    for decision in judged:
        typer.echo(f"{decision.kind} {decision.number}: {decision.why}")


@app.command()
def journal(
    asset: Annotated[str | None, typer.Option(help="of this asset only")] = None,
    last: Annotated[str, typer.Option(help="how far back", metavar="DURATION")] = "1d",
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """What became of the alarms and who touched them, oldest first."""
    from gateway import show

    now = now_ms()
    with desk_of(site).read() as read:
        found = read.alarm_events(now - duration_ms(last), now + 1, asset=asset)
    if as_json:
        typer.echo(json.dumps([asdict(event) for event in found], ensure_ascii=False, indent=2))
        return
    rows = [(show.when(e.at), e.asset, e.rule_id, e.kind, e.actor, e.note) for e in found]
    show.table(("at", "asset", "rule", "what", "who", "note"), rows, "nothing happened")
