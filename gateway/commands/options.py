"""What every command shares: how a site is named, how a mistake ends, how the ticket core is opened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.supervisor import EX_IOERR

if TYPE_CHECKING:
    from gateway.site import Site
    from ticketing import Actor, Desk, RuleStep

INSTALLED = Path("/etc/watchkeeper")
SiteFolder = Annotated[Path, typer.Argument(metavar="SITE", help="the site folder, such as examples/demo")]
AtSite = Annotated[
    Path | None,
    typer.Option("--site", envvar="WATCHKEEPER_SITE", help="the site folder; else here, or /etc/watchkeeper"),
]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]


AsPerson = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="act as this person of the site; else as the console, which has every role",
        metavar="NAME",
    ),
]


def fail(message: str, code: int) -> NoReturn:
    """One line on standard error, and out."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def read_site(folder: Path, code: int = 2, *, any_load: bool = False) -> Site:
    """The site, or every mistake in it and exit ``code``."""
    from gateway.config import load_site
    from gateway.mistakes import ConfigError

    try:
        return load_site(folder, any_load=any_load)
    except ConfigError as error:
        for mistake in error.mistakes:
            typer.echo(str(mistake), err=True)
        fail(error.summary(folder), code)


def site_of(folder: Path | None) -> Site:
    """The named site, the one we stand in, or this machine's."""
    here = next((place for place in (Path(), INSTALLED) if (place / "site.toml").is_file()), None)
    found = folder or here
    if found is None:
        fail("which site? say --site FOLDER or set WATCHKEEPER_SITE", 2)
    return read_site(found)


def desk_of(folder: Path | None) -> Desk:
    """The ticket core of that site."""
    return open_desk(site_of(folder))


def open_desk(site: Site) -> Desk:
    """The site's ticket core, or one line and exit 74."""
    from gateway.channels import policy_of
    from ticketing import Desk, TicketingError

    try:
        site.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Desk.open(site.core, site=site.site.id, policy=policy_of(site))
    except (TicketingError, OSError) as error:
        fail(str(error), EX_IOERR)


def rule_steps(site: Site) -> Mapping[str, RuleStep]:
    """Where the versions of rules stand; none where the site has no ticket core yet."""
    if not site.shared and not Path(site.core).exists():
        return {}
    with open_desk(site).read() as read:
        return read.rule_stages()


def staffed(folder: Path | None) -> Desk:
    """The ticket core of that site, which knows the machines and people that the site's files name."""
    from gateway.building import announce

    site = site_of(folder)
    site.state.mkdir(parents=True, exist_ok=True)
    desk = open_desk(site)
    announce(desk, site, now_ms())
    return desk


def acting(desk: Desk, name: str | None) -> Actor:
    """The person called so, or the console: whoever may write the database may do anything."""
    from ticketing import ROLES, Actor, NotFoundError, people

    if name is None:
        return Actor("console", frozenset(ROLES))
    try:
        with desk.read() as read:
            person = people.get(read, name)
    except NotFoundError as error:
        fail(str(error), 1)
    return Actor(person.name, frozenset(person.roles))


@contextmanager
def refusals() -> Iterator[None]:
    """What the ticket core refuses is one line, and exit 1."""
    from ticketing import TicketingError

    try:
        yield
    except TicketingError as error:
        fail(str(error), 1)


def now_ms() -> int:
    """The clock, as the ticket core counts."""
    return time.time_ns() // 1_000_000


def moment(text: str) -> int:
    """A local date or time, as the ticket core counts."""
    try:
        return round(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError:
        fail(f"{text!r} is no time; 2026-03-01 or 2026-03-01T08:30 would do", 2)


def duration_ms(text: str) -> int:
    """A duration such as "90s", "8h" or "7d", as the ticket core counts."""
    from rules.duration import parse_duration

    try:
        return round(parse_duration(text).total_seconds() * 1000)
    except ValueError as error:
        fail(str(error), 2)


def percent(share: float | None) -> str:
    """A share from 0 to 1 for people."""
    return "unknown yet" if share is None else f"{share:.0%}"


def length_of(days: float) -> str:
    """A stretch of time for people."""
    return f"{days:.3g} days" if days >= 2 else f"{24 * days:.3g} h"
