"""Work orders on the terminal, and as JSON for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from ticketing import Event, Evidence, Order


def console() -> Console:
    """As wide as the terminal; wide enough for whole lines where there is none."""
    out = Console()
    return out if out.is_terminal else Console(width=160)


def when(ms: int | None) -> str:
    """Local time, 24 h, to the second."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def order_json(order: Order) -> dict[str, Any]:
    """The order as plain data; times are UTC ms."""
    return {**asdict(order), "state": str(order.state)}


def order_body(order: Order, evidence: Sequence[Evidence], timeline: Sequence[Event]) -> dict[str, Any]:
    """The order with its evidence and its history."""
    return {
        **order_json(order),
        "evidence": [{"episode": item.episode, "relation": item.relation, **item.body} for item in evidence],
        "timeline": [
            {"at": event.at, "actor": event.actor, "type": event.type, "payload": dict(event.payload)}
            for event in timeline
        ],
    }


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str = "nothing to show") -> None:
    """A plain table; what is absent is left out."""
    if not rows:
        console().print(empty)
        return
    made = Table(box=None, pad_edge=False)
    for name in columns:
        made.add_column(name)
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(made)


def orders_table(orders: Sequence[Order]) -> None:
    """A line an order."""
    if not orders:
        console().print("no work orders match")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("number", "priority", "state", "asset", "failure mode", "title", "assignee", "opened"):
        table.add_column(name, no_wrap=name != "title")
    for order in orders:
        title = f"{order.title_zh} · {order.title_en}" if order.title_zh != order.title_en else order.title_en
        row = (
            order.number,
            f"P{order.priority}",
            str(order.state),
            order.asset,
            order.failure_mode,
            title,
            order.assignee,
        )
        table.add_row(*(str(cell or "") for cell in row), when(order.opened_at))
    console().print(table)


def order_page(order: Order, evidence: Sequence[Evidence], timeline: Sequence[Event]) -> None:
    """One order in full."""
    out = console()
    out.print(
        f"[bold]{order.number}[/bold]  P{order.priority}  {order.state}  {order.asset}  {order.failure_mode or ''}"
    )
    out.print(f"{order.title_zh} · {order.title_en}")
    if order.description:
        out.print(order.description)
    due = f"acknowledge by {when(order.due_ack_at)}, resolve by {when(order.due_resolve_at)}"
    out.print(f"opened {when(order.opened_at)}, {due}")
    if order.assignee:
        out.print(f"assigned to {order.assignee}")
    explanation(evidence)
    out.print("\n[bold]history[/bold]")
    for event in timeline:
        fields = ", ".join(f"{key}={value}" for key, value in event.payload.get("fields", {}).items())
        out.print(f"  {when(event.at)}  {event.type:16} {event.actor}  {fields}")


def explanation(evidence: Sequence[Evidence]) -> None:
    """Why each alarm of an order was raised, and what would not have raised it."""
    out = console()
    for item in evidence:
        body = item.body
        out.print(f"\n[bold]{item.relation}[/bold] {when(item.at)}")
        for language in ("zh", "en"):
            out.print(f"  {body['sentence'][language]}")
        condition = body["condition"]
        out.print(
            f"  condition {condition['text']}  with {_pairs(body['parameters'])}  (rule {body['rule']['id']})"
        )
        for given in body["inputs"]:
            out.print(f"  {given['signal']} = {given['value']} {given['unit']}")
        if body.get("running") is not None:
            out.print(f"  the machine {'ran' if body['running'] else 'stood'}")
        for name, numbers in body["statistics"].items():
            out.print(f"  last {name}: {_pairs(numbers)}")
        if body["model"]:
            for part in body["model"]["contributions"]:
                out.print(f"  because of {part['signal']}: {part['share']:.0%}, {part['sigmas']:+.1f} sigmas")
        for language in ("zh", "en"):
            out.print(f"  {body['counterfactual'][language]}")


def demo_lines(result: Mapping[str, Any]) -> str:
    """The demo's order in a few lines."""
    return "\n".join(
        [
            f"{result['number']}  {result['asset']}  {result['failure_mode']}  severity {result['severity']}",
            f"  {result['evidence']['zh']}",
            f"  {result['evidence']['en']}",
            f"  {result['seconds_from_fault_to_order']:.1f} s after the fault began",
        ]
    )


def _pairs(numbers: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{name} {value:g}" for name, value in numbers.items() if value is not None)
        or "no parameters"
    )
