"""Backups while others write, every flipped bit found; heads of the history that outlive a rewritten database."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from gateway import anchoring, backup
from gateway.commands import app
from gateway.config import load_site
from gateway.site import Site
from gateway.supervisor import AlreadyRunningError, StateLock
from gateway.web import serve
from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN
from ticketing import Desk, anchors

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A copy of the demo's files with an empty state folder."""
    shutil.copytree(ROOT / "examples" / "demo", tmp_path / "site", ignore=shutil.ignore_patterns("state"))
    found = load_site(tmp_path / "site")
    found.state.mkdir()
    return found


@pytest.fixture
def desk(site: Site) -> Iterator[Desk]:
    """Its ticket core with one order and a picture."""
    opened = Desk.open(site.core, site=site.site.id)
    with opened.transaction() as tx:
        tx.sync_assets(ASSETS)
        number = tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="漏油").number
        tx.attach(
            TECHNICIAN, number, at=T0, name="a.png", mime="image/png", data=b"\x89PNG\r\n\x1a\n" + bytes(9000)
        )
    yield opened
    opened.close()


def report(desk: Desk, n: int) -> None:
    with desk.transaction() as tx:
        tx.open_order(LEAD, at=T0 + n, asset="pump-2", title=f"order {n}")


def test_a_backup_is_made_while_orders_are_written(site: Site, desk: Desk, tmp_path: Path) -> None:
    stop = threading.Event()
    written = []

    def write() -> None:
        while not stop.is_set():
            report(desk, len(written))
            written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not written:
            writer.join(0.01)
        archive, manifest = backup.make(site, tmp_path / "out", T0)
    finally:
        stop.set()
        writer.join(30)
    assert 2 <= manifest["orders"] <= len(written) + 1
    assert backup.verify(archive) == manifest
    assert archive.stat().st_mode & 0o077 == 0


def test_what_is_restored_is_what_was_there(site: Site, desk: Desk, tmp_path: Path) -> None:
    anchors.anchor(desk, site.state, T0)
    (site.state / "models").mkdir()
    (site.state / "models" / "pump.json").write_text("{}")
    with desk.read() as read:
        before = read.export()
    archive, _ = backup.make(site, tmp_path / "out", T0)
    report(desk, 1)
    desk.close()
    (site.state / "models" / "pump.json").write_text("spoilt")
    aside = backup.restore(archive, site, T0)
    assert {path.name for path in aside} >= {f"core.db.before-{T0}", f"models.before-{T0}"}
    again = Desk.open(site.core, site=site.site.id)
    with again.read() as read:
        assert read.export() == before
    assert anchors.audit(again, site.state).broken == ""
    again.close()
    assert (site.state / "models" / "pump.json").read_text() == "{}"


def test_a_running_gateway_is_not_restored_over(site: Site, desk: Desk, tmp_path: Path) -> None:
    archive, _ = backup.make(site, tmp_path / "out", T0)
    with StateLock(site.state), pytest.raises(AlreadyRunningError, match=r"process \d+ \(daemon\)"):
        backup.restore(archive, site, T0)


def test_pages_that_are_served_are_not_restored_under(
    site: Site, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, _ = backup.make(site, tmp_path / "out", T0)
    said: list[Result] = []

    def meanwhile(_: Site, opened: Desk) -> None:
        words = ["backup", "restore", str(archive), "--site", str(site.folder)]
        said.append(CliRunner().invoke(app, words))
        said.append(CliRunner().invoke(app, ["web", str(site.folder)]))
        opened.close()

    monkeypatch.setattr(serve, "serve", meanwhile)
    assert CliRunner().invoke(app, ["web", str(site.folder)]).exit_code == 0
    restored, again = said
    assert (restored.exit_code, again.exit_code) == (75, 75)
    wanted = f"{site.state} is in use by process {os.getpid()} (web); stop it first\n"
    assert restored.stderr == again.stderr == wanted
    with desk.read() as read:
        assert read.count_orders() == 1
    backup.restore(archive, site, T0)


def test_where_the_orders_are_in_postgresql_the_rest_is_kept(site: Site, desk: Desk, tmp_path: Path) -> None:
    whole, _ = backup.make(site, tmp_path / "whole", T0)
    (site.folder / "site.toml").write_text(
        (site.folder / "site.toml").read_text().replace("[site]", '[site]\ncore = "postgresql://db/works"', 1)
    )
    shared = load_site(site.folder)
    (site.state / "models").mkdir()
    (site.state / "models" / "pump.json").write_text("{}")
    done = CliRunner().invoke(app, ["backup", "make", str(tmp_path / "rest"), "--site", str(site.folder)])
    assert "the work orders are in PostgreSQL, pg_dump keeps them; restored once" in done.stdout
    (rest,) = (tmp_path / "rest").iterdir()
    (site.state / "models" / "pump.json").write_text("[]")
    backup.restore(rest, shared, T0)
    assert (site.state / "models" / "pump.json").read_text() == "{}"
    assert (site.state / "core.db").exists(), "what is not used is left alone"
    for archive, at in ((whole, shared), (rest, site)):
        with pytest.raises(backup.BackupError, match="with its work orders in"):
            backup.restore(archive, at, T0)


def test_every_flipped_bit_is_found(site: Site, desk: Desk, tmp_path: Path) -> None:
    archive, manifest = backup.make(site, tmp_path / "out", T0)
    whole = archive.read_bytes()
    damaged = tmp_path / "damaged.tar.gz"
    dice = random.Random(7)
    missed = []
    for _ in range(40):
        place = dice.randrange(12, len(whole))  # gzip's head holds a time and a name that mean nothing
        damaged.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :]
        )
        try:
            assert backup.verify(damaged) == manifest  # a bit that unpacks to the very same files
            missed.append(place)
        except backup.BackupError:
            pass
    assert len(missed) <= 2, missed
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(backup.BackupError, match="no whole backup"):
        backup.verify(damaged)


@pytest.mark.parametrize(
    ("name", "kind"), [("../x", tarfile.REGTYPE), ("/tmp/x", tarfile.REGTYPE), ("x", tarfile.SYMTYPE)]
)
def test_an_archive_that_reaches_out_of_its_folder_is_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    with tarfile.open(tmp_path / "forged.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(backup.BackupError, match="does not belong into a backup"):
        backup.verify(tmp_path / "forged.tar.gz")


def test_heads_are_kept_once_each_and_agree(site: Site, desk: Desk) -> None:
    assert anchors.anchor(desk, site.state, T0)
    assert not anchors.anchor(desk, site.state, T0 + 1)
    report(desk, 1)
    assert anchors.anchor(desk, site.state, T0 + 2)
    found = anchors.audit(desk, site.state)
    assert (found.heads, found.broken) == (2, "")


def test_a_history_rewritten_as_a_whole_is_found(site: Site, desk: Desk, tmp_path: Path) -> None:
    """Somebody makes the database anew with another story; its own chain is right, the kept heads are not."""
    anchors.anchor(desk, site.state, T0)
    desk.close()
    Path(site.core).unlink()
    for companion in Path(site.core).parent.glob("core.db-*"):
        companion.unlink()
    forged = Desk.open(site.core, site=site.site.id)
    with forged.transaction() as tx:
        tx.sync_assets(ASSETS)
        tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="another story")
        tx.open_order(TECHNICIAN, at=T0, asset="pump-2", title="another story")
    with forged.read() as read:
        assert read.verify().broken is None
    assert "is not the one that was kept" in anchors.audit(forged, site.state).broken
    forged.close()


def test_a_head_that_was_changed_or_lost_is_found(site: Site, desk: Desk) -> None:
    for n in range(3):
        report(desk, n)
        anchors.anchor(desk, site.state, T0 + n)
    path = site.state / anchors.HEADS
    lines = path.read_text().splitlines()
    for wrong in (
        [lines[0], lines[2]],
        [lines[0], lines[1].replace(f'"at":{T0 + 1}', f'"at":{T0}'), lines[2]],
        [lines[0], "{", lines[2]],
    ):
        path.write_text("\n".join(wrong) + "\n")
        assert "line 2" in anchors.audit(desk, site.state).broken
    path.write_text("\n".join(lines) + "\n")
    with desk._engine.execution_options(writing=True).begin() as connection:
        connection.execute(text("DROP TRIGGER wo_event_update"))
        connection.execute(text("UPDATE wo_event SET actor = 'x' WHERE seq = 2"))
    assert "line 2" in anchors.audit(desk, site.state).broken


def test_heads_are_kept_again_when_the_core_is_back(
    site: Site, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(anchoring, "AGAIN", 0.01)
    gone = Desk.open(tmp_path / "server" / "core.db", site=site.site.id, later=True)
    asked: list[int] = []

    def now() -> int:
        asked.append(1)
        return T0 * 1_000_000

    async def until(ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not ready():
                await asyncio.sleep(0.01)

    async def story() -> None:
        keeping = asyncio.create_task(anchoring.keep_anchoring(gone, tmp_path, now))
        await until(lambda: len(asked) > 3)
        shutil.copytree(site.state, tmp_path / "server")
        await until((tmp_path / anchors.HEADS).exists)
        keeping.cancel()

    asyncio.run(story())
    gone.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"], "an outage is one line"
