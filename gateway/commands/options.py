"""What every command shares: how a site is named, how a mistake ends, how the ticket core is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.supervisor import EX_IOERR

if TYPE_CHECKING:
    from gateway.config import Site
    from ticketing import Desk

INSTALLED = Path("/etc/watchkeeper")
SiteFolder = Annotated[Path, typer.Argument(metavar="SITE", help="the site folder, such as examples/demo")]
AtSite = Annotated[
    Path | None,
    typer.Option("--site", envvar="WATCHKEEPER_SITE", help="the site folder; else here, or /etc/watchkeeper"),
]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]


def fail(message: str, code: int) -> NoReturn:
    """One line on standard error, and out."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def read_site(folder: Path, code: int = 2, *, any_load: bool = False) -> Site:
    """The site, or every mistake in it and exit ``code``."""
    from gateway.config import ConfigError, load_site

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
    from ticketing import Desk, TicketingError

    try:
        return Desk.open(site.core, site=site.site.id)
    except TicketingError as error:
        fail(str(error), EX_IOERR)
