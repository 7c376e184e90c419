"""Backups of what cannot be made again: work orders with their history and files, trained models, the site's settings.

Made while the gateway runs; a backup that was not restored once is none, so making one restores it beside. The
samples are not in it (the store has its own backup), nor are secrets. Where the work orders are in PostgreSQL, the
archive holds the rest, and the server keeps them its own way.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from gateway.site import Site
from gateway.supervisor import StateLock
from ticketing import Desk, TicketingError, anchors, copying

FORM = 1
CORE, MANIFEST = "state/core.db", "manifest.json"
BESIDE = ("models", anchors.HEADS, anchors.KEY, "devices.json")  # in the state folder
COMPANIONS = ("", "-wal", "-shm", "-journal")


class BackupError(Exception):
    """It cannot be made, or is not whole; one clear line."""


def make(site: Site, folder: Path, at: int) -> tuple[Path, dict[str, Any]]:
    """Write one archive into ``folder``, restore it beside and check it; its path and manifest. ``at`` UTC ms."""
    if not site.shared and not Path(site.core).is_file():
        raise BackupError(f"{site.core} is not there: the gateway never ran here")
    stamp = datetime.fromtimestamp(at / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    target = folder / f"watchkeeper-{site.site.id}-{stamp}.tar.gz"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as name:
        work = Path(name)
        (work / "state").mkdir()
        if not site.shared:
            copying.copy(Path(site.core), work / CORE)
        for each in BESIDE:
            _take(site.state / each, work / "state" / each)
        for file in sorted(site.folder.glob("*.toml")):
            _take(file, work / "site" / file.name)
        files = {
            str(path.relative_to(work)): _sha256(path) for path in sorted(work.rglob("*")) if path.is_file()
        }
        manifest = {
            "form": FORM,
            "site": site.site.id,
            "made_at": at,
            **_facts(work / CORE, site.site.id),
            "files": files,
        }
        (work / MANIFEST).write_text(json.dumps(manifest, indent=2))
        unready = work / "archive"
        with tarfile.open(unready, "w:gz") as archive:
            for path in (MANIFEST, *files):
                archive.add(work / path, path)
        verify(unready)
        unready.chmod(0o600)  # it holds the audit key
        unready.replace(target)
    return target, manifest


def verify(archive: Path) -> dict[str, Any]:
    """Restore the archive into a scratch folder and check it all; its manifest, or BackupError."""
    with _unpacked(archive) as (_, manifest):
        return manifest


def restore(archive: Path, site: Site, at: int) -> list[Path]:
    """Put an archive's state in the place of the site's; what was there stays beside, returned.

    AlreadyRunningError while the gateway or its pages run.
    """
    before = []
    with StateLock(site.state), StateLock(site.state, "web"), _unpacked(archive) as (work, manifest):
        if manifest["site"] != site.site.id:
            raise BackupError(f"{archive.name} is of the site {manifest['site']}, this one is {site.site.id}")
        if ("orders" in manifest) is site.shared:
            its, ours = ("SQLite", "PostgreSQL") if site.shared else ("PostgreSQL", "SQLite")
            raise BackupError(
                f"{archive.name} is of a gateway with its work orders in {its}, this one's are in {ours}"
            )
        for name in (*(() if site.shared else ("core.db",)), *BESIDE):
            for companion in COMPANIONS if name == "core.db" else ("",):
                present = site.state / (name + companion)
                if present.exists():
                    aside = present.with_name(f"{present.name}.before-{at}")
                    present.rename(aside)
                    before.append(aside)
            _take(work / "state" / name, site.state / name)
    return before


@contextmanager
def _unpacked(archive: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The archive's files and manifest in a scratch folder, every one checked."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-restore-") as name:
        work = Path(name)
        try:
            with tarfile.open(archive, "r:gz") as opened:
                _unpack(opened, work)
            manifest = json.loads((work / MANIFEST).read_text())
            files: dict[str, str] = manifest["files"]
        except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, KeyError) as error:
            raise BackupError(f"{archive.name} is no whole backup: {error}") from error
        if manifest.get("form") != FORM:
            raise BackupError(f"{archive.name} was made by a newer Watchkeeper")
        for path, digest in files.items():
            if not (work / path).is_file() or _sha256(work / path) != digest:
                raise BackupError(f"{archive.name}: {path} is damaged")
        try:
            found = _facts(work / CORE, manifest["site"])
        except TicketingError as error:
            raise BackupError(f"{archive.name}: {error}") from error
        if wrong := [name for name, value in found.items() if manifest.get(name) != value]:
            raise BackupError(f"{archive.name} restores to another {wrong[0]} than it says")
        yield work, manifest


def _unpack(archive: tarfile.TarFile, work: Path) -> None:
    """The archive's files, and nothing but files within ``work``; Debian's Python has no extraction filter yet."""
    for member in archive:
        way = PurePosixPath(member.name)
        if not member.isreg() or way.is_absolute() or ".." in way.parts:
            raise BackupError(f"{member.name} does not belong into a backup")
        target = work / way
        target.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None  # a regular file
        with source, target.open("xb") as file:
            shutil.copyfileobj(source, file)


def _facts(core: Path, site: str) -> dict[str, Any]:
    """What a restored database must show again; it is opened as a copy, for opening may bring it up to date."""
    if not core.exists():
        return {}
    copying.check_whole(core)
    with tempfile.TemporaryDirectory(dir=core.parent) as name:
        copy = Path(shutil.copy(core, name))
        desk = Desk.open(copy, site=site)
        try:
            with desk.read() as read:
                chain = read.verify()
                if chain.broken is not None:
                    raise BackupError(f"the history is broken: {chain.why}")
                return {"orders": read.count_orders(), "events": chain.length, "head": chain.head}
        finally:
            desk.close()


def _take(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copy2(source, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
