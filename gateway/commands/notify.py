"""`notify`: whom the gateway tells, what waits, and one test message."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.options import AtSite, fail, now_ms, open_desk, site_of

app = typer.Typer(help="Messages by e-mail, webhook, WeCom and DingTalk.", no_args_is_help=True)


@app.command("list")
def notify_list(site: AtSite = None) -> None:
    """The channels of site.toml, and how many messages wait, were delivered or given up."""
    from gateway.show import table
    from ticketing import outbox

    known = site_of(site)
    with open_desk(known).read() as read:
        counts = outbox.counts(read)
    names = [*known.channels, *sorted({name for name, _ in counts} - known.channels.keys())]
    rows = []
    for name in names:
        channel = known.channels.get(name)
        told = ", ".join(channel.events) if channel else "–"
        states = [counts.get((name, state), 0) for state in ("waiting", "delivered", "given_up")]
        rows.append([name, channel.kind if channel else "no longer there", told, *states])
    table(
        ["channel", "kind", "tells", "waiting", "delivered", "given up"],
        rows,
        "site.toml names no channels",
    )


@app.command("test")
def notify_test(
    channel: Annotated[
        str | None, typer.Argument(metavar="[CHANNEL]", help="only this one; else all")
    ] = None,
    site: AtSite = None,
) -> None:
    """Send one test message now, past the outbox; exit 1 if one of them did not arrive."""
    from gateway.notices import Notice, tell
    from gateway.outbound import OutboundError

    known = site_of(site)
    if channel is not None and channel not in known.channels:
        fail(f"no channel is called {channel!r}; there are: {', '.join(known.channels) or 'none'}", 2)
    if not known.channels:
        fail("site.toml names no channels", 2)
    failed = False
    for name in [channel] if channel else known.channels:
        settings, at = known.channels[name], now_ms()
        language = settings.language or known.site.language
        notice = Notice(known.site.id, f"test:{name}:{at}", [_test_line(known.site.id, at)], at, language)
        try:
            tell(settings, notice, [p.email for p in known.people.values() if _reads(p, settings)])
        except OutboundError as error:
            failed = True
            typer.echo(f"{name}: not delivered: {error}", err=True)
        else:
            typer.echo(f"{name}: delivered")
    raise typer.Exit(1 if failed else 0)


def _reads(person: object, settings: object) -> bool:
    roles = set(getattr(settings, "roles", ()))
    return bool(getattr(person, "email", "") and roles.intersection(getattr(person, "roles", ())))


def _test_line(site: str, at: int) -> dict[str, object]:
    """What an opened order would look like."""
    return {
        "site": site,
        "seq": 0,
        "number": "WO-TEST",
        "at": at,
        "actor": "console",
        "type": "test",
        "priority": 4,
        "asset": None,
        "title_zh": "测试消息，不是工单",
        "title_en": "A test message, not a work order",
        "fields": {},
    }
