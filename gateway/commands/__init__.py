"""The command line. Each command parses, calls one thing, prints; heavy modules load inside their command."""

from __future__ import annotations

import typer

from gateway.commands import (
    alarms,
    backup,
    devices,
    exchange,
    figures,
    gateway,
    kb,
    ledger,
    models,
    notify,
    orders,
    people,
    plans,
    probe,
    profiles,
    recording,
    reload,
    rule_figures,
    rule_versions,
    rules,
)

app = typer.Typer(
    name="watchkeeper",
    help="An edge gateway that keeps watch over machines: reads sensors, judges them, opens work orders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for part in (gateway, devices, orders, ledger, probe, reload, recording, people, exchange, figures, backup):
    app.add_typer(part.app)
app.add_typer(alarms.app, name="alarms")
app.add_typer(models.app, name="models")
app.add_typer(notify.app, name="notify")
app.add_typer(profiles.app, name="profiles")
rules.app.add_typer(rule_versions.app)
rules.app.add_typer(rule_figures.app)
app.add_typer(rules.app, name="rules")
app.add_typer(kb.app, name="kb")
app.add_typer(plans.app, name="plans")
