"""`backup …`, `verify`: what cannot be made again is kept twice, and nobody changed what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import AtSite, desk_of, fail, now_ms, site_of

app = typer.Typer()
backup_app = typer.Typer(
    help="Backups of work orders, models and settings; made while the gateway runs.", no_args_is_help=True
)
app.add_typer(backup_app, name="backup")
Archive = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="a file that `backup make` wrote")]


@backup_app.command("make")
def backup_make(
    folder: Annotated[Path, typer.Argument(help="where to put it; best on another disk")], site: AtSite = None
) -> None:
    """Write one archive and prove it by restoring it beside. It holds the audit key: keep it safe."""
    from gateway import backup

    try:
        path, manifest = backup.make(site_of(site), folder, now_ms())
    except (backup.BackupError, OSError) as error:
        fail(str(error), 1)
    typer.echo(f"{path}: {_told(manifest)}; restored once and found whole")


@backup_app.command("verify")
def backup_verify(archive: Archive) -> None:
    """Restore it into a scratch folder and check every file, every order and the whole history."""
    from gateway import backup

    try:
        typer.echo(f"{archive} is whole: {_told(backup.verify(archive))}")
    except (backup.BackupError, OSError) as error:
        fail(str(error), 1)


@backup_app.command("restore")
def backup_restore(archive: Archive, site: AtSite = None) -> None:
    """Put it in the place of the site's state; what was there stays beside. Gateway and pages must be stopped.

    Settings are in the archive too (site/*.toml) and are left for you to compare.
    """
    from gateway import backup
    from gateway.supervisor import EX_TEMPFAIL, AlreadyRunningError

    try:
        before = backup.restore(archive, site_of(site), now_ms())
    except AlreadyRunningError as error:
        fail(str(error), EX_TEMPFAIL)
    except (backup.BackupError, OSError) as error:
        fail(str(error), 1)
    typer.echo(f"restored from {archive}")
    for path in before:
        typer.echo(f"  what was there is now {path}")


@app.command()
def verify(site: AtSite = None) -> None:
    """Check the history of all work orders against its hashes and the heads kept outside; exit 1 if it was changed."""
    from ticketing.anchors import audit

    desk = desk_of(site)
    found = audit(desk, site_of(site).state)
    if found.broken:
        fail(f"the history was changed: {found.broken}", 1)
    typer.echo(
        f"{found.length} lines of history are as they were written; {found.heads} heads kept outside agree"
    )
    typer.echo(f"head {found.length} {found.head}")


def _told(manifest: dict[str, object]) -> str:
    if "orders" not in manifest:
        return "models and settings; the work orders are in PostgreSQL, pg_dump keeps them"
    return f"{manifest['orders']} orders, {manifest['events']} lines of history, head {str(manifest['head'])[:12]}"
