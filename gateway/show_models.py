"""Model versions and remaining lives on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from gateway.outlook import Outlook
from gateway.show import console, when
from models.register import Version

_MS = 1_000_000


def versions_table(versions: Sequence[Version], status: Sequence[Mapping[str, Any]]) -> None:
    """A line a version; then a line for each machine's model in the running gateway."""
    out = console()
    if not versions:
        out.print("nothing has been trained yet: watchkeeper models train MODEL")
    else:
        table = _table("version", "standing", "kind", "trained", "by", "held out", "false alarms a day")
        for version in versions:
            card, found = version.card, version.card.figures
            held = (
                f"{found['days']:.1f} d",
                f"{found['alarms_a_day']:.2f}" if "alarms_a_day" in found else "–",
            )
            table.add_row(version.id, version.standing, card.kind, when(card.at // _MS), card.by, *held)
        out.print(table)
    if status:
        out.print("\nin the running gateway")
        table = _table("model", "state", "commissioned", "version", "drifted", "trouble")
        for entry in status:
            table.add_row(
                entry["model"],
                entry["state"],
                f"{entry['progress']:.0%}",
                entry["version"] or "its own learning",
                ", ".join(entry["drifted"]) or "–",
                entry["trouble"] or "–",
            )
        out.print(table)


def version_page(version: Version, report: Path) -> None:
    """One version in full."""
    out, card = console(), version.card
    out.print(f"[bold]{version.id}[/bold]  {version.standing}  {card.kind}  sha256 {version.hash}")
    out.print(f"trained {when(card.at // _MS)} by {card.by} ({card.why})")
    out.print(
        f"from {card.source}: {when(card.start // _MS)} to {when(card.end // _MS)}, {card.rows} rows learned"
    )
    out.print(f"signals {', '.join(card.signals)}")
    for signal, why in card.left_out.items():
        out.print(f"  left out: {signal} ({why})")
    out.print("held out: " + ", ".join(f"{name} {value:.4g}" for name, value in card.figures.items()))
    if report.is_file():
        out.print(f"report {report}", soft_wrap=True)
    for move in version.moves:
        out.print(f"  {when(move.at // _MS)}  {move.to:8} {move.by}  {move.why}")


def trained(version: Version, report: Path) -> None:
    """What came of a training, in a few lines."""
    out, card = console(), version.card
    out.print(f"[bold]{version.id}[/bold] is a {version.standing}: {card.rows} rows of {card.source} learned")
    if "alarms" in card.figures:
        found = card.figures
        text = f"  held out {found['days']:.2f} d of normal running: {found['alarms']:.0f} false alarms"
        out.print(f"{text} ({found['alarms_a_day']:.2f} a day), highest score {found['highest']:.2f}")
        if found["days"] < 1:
            out.print("  less than a day was held out: the figures say little yet")
    for signal, why in card.left_out.items():
        out.print(f"  left out: {signal} ({why})")
    out.print(f"  report  {report}", soft_wrap=True)
    out.print(f"  next    watchkeeper models promote {version.id}")


def outlooks(told: Sequence[Outlook]) -> None:
    """A line a signal."""
    table = _table("signal", "now", "limit", "hours left", "90 % interval", "shape")
    for each in told:
        life = each.life
        left = ("no trend, no number", "", "")
        if life is not None:
            left = (f"{life.left:.1f}", f"{life.low:.1f} … {life.high:.1f}", life.shape)
        table.add_row(each.signal, f"{each.latest:.4g}", f"{each.limit:g}", *left)
    console().print(table)


def features(found: Mapping[str, Mapping[str, float]]) -> None:
    """A line a feature; a bearing line that stands three times over the floor is marked."""
    table = _table("of", "feature", "value", "")
    for of, values in found.items():
        for name, value in values.items():
            mark = "stands out" if name.startswith("env_") and value >= 3 else ""
            table.add_row(of, name, f"{value:.4g}", mark)
    console().print(table)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name not in {"trouble", "drifted"})
    return table
