"""`plans …`: preventive work, by calendar or by counter."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from gateway.commands.options import (
    AsJson,
    AsPerson,
    AtSite,
    acting,
    desk_of,
    fail,
    moment,
    now_ms,
    refusals,
    staffed,
)

app = typer.Typer(help="Preventive work, by calendar or by counter.", no_args_is_help=True)


@app.command("list")
def plans_list(
    asset: Annotated[str | None, typer.Option(help="of this asset only")] = None,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """The plans and when each falls due next."""
    from gateway import show

    with desk_of(site).read() as read:
        found = read.plans(asset=asset)
        dues = {plan.id: read.plan_dues(plan.id) for plan in found}
    if as_json:
        body = [{**asdict(plan), "dues": [asdict(due) for due in dues[plan.id]]} for plan in found]
        typer.echo(json.dumps(body, ensure_ascii=False, indent=2))
        return
    rows = []
    for plan in found:
        days = plan.every_ms / 86_400_000 if plan.every_ms else None
        every = f"{days:g} d" if days else f"{plan.every_count} {plan.counter}"
        due = show.when(plan.next_due) if plan.every_ms else plan.next_due
        missed = sum(each.number is None for each in dues[plan.id])
        rows.append((plan.id, plan.asset, plan.title_en, every, plan.basis, due, len(dues[plan.id]), missed))
    show.table(
        ("plan", "asset", "title", "every", "basis", "next due", "fell due", "skipped"), rows, "no plans"
    )


@app.command("add")
def plans_add(
    plan: Annotated[str, typer.Argument(help="its name, such as grease-pump-1; a known one is changed")],
    asset: Annotated[str, typer.Argument(help="the asset's code")],
    title_zh: Annotated[str, typer.Argument(help="what is done, in Chinese")],
    title_en: Annotated[str, typer.Argument(help="what is done, in English")],
    *,
    every: Annotated[str, typer.Option(help="30d, 8h …, or 500:hours, so many counts of that counter")],
    first: Annotated[str, typer.Option(help="the first due date or time (local), or count")],
    lead: Annotated[str, typer.Option(help="the order opens so long (2d), or so many counts, before")] = "0",
    task: Annotated[
        list[str] | None, typer.Option(help="a step to tick off: 中文|English; may come again")
    ] = None,
    floating: Annotated[
        bool, typer.Option("--floating", help="count from the last completion, not from the grid")
    ] = False,
    priority: Annotated[int, typer.Option(min=1, max=4)] = 3,
    person: AsPerson = None,
    site: AtSite = None,
) -> None:
    """A plan: it opens its orders by itself, each due time once, none forgotten while the gateway was off."""
    from ticketing import Plan, Template

    count, _, counter = every.partition(":")
    by_counter = bool(counter)
    steps = [each.partition("|")[::2] for each in task or []]
    made = Plan(
        id=plan,
        asset=asset,
        title_zh=title_zh,
        title_en=title_en,
        next_due=_whole(first) if by_counter else moment(first),
        every_count=_whole(count) if by_counter else None,
        counter=counter or None,
        every_ms=None if by_counter else _ms(every),
        basis="floating" if floating else "fixed",
        lead=_whole(lead) if by_counter or lead == "0" else _ms(lead),
        priority=priority,
        tasks=tuple(Template(zh, en or zh) for zh, en in steps),
    )
    desk = staffed(site)
    actor = acting(desk, person)
    with refusals(), desk.transaction() as tx:
        tx.save_plan(actor, made, at=now_ms())
    typer.echo(f"{plan} is kept")


def _ms(text: str) -> int:
    from rules.duration import parse_duration

    try:
        return round(parse_duration(text).total_seconds() * 1000)
    except ValueError:
        fail(f"{text!r} is no duration; 30d, 8h or 500:hours would do", 2)


def _whole(text: str) -> int:
    if not text.isdecimal():
        fail(f"{text!r} is no whole number", 2)
    return int(text)
