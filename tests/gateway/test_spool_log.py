"""The spool's files: what damage costs, what a full disk costs, and that both are counted."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from devices.batch import Batch, signal_set
from gateway import failpoints, sqlite
from gateway.spool_log import SpoolLog
from gateway.spool_reader import Entry

SETS = [signal_set(f"d{i}", tuple(f"pump-{i}/q{j}" for j in range(20))) for i in range(5)]
NOISE = np.random.default_rng(3).normal(size=2_000_000)
GOOD, ODD = np.zeros(20, np.uint8), np.full(20, 0x40, np.uint8)
MIB = 1 << 20


def log_in(
    folder: Path, *, max_bytes: int = 64 * MIB, file_bytes: int = 128 << 10, ballast: int = 0
) -> SpoolLog:
    log = SpoolLog(folder, ["store"], max_bytes=max_bytes, file_bytes=file_bytes, ballast_bytes=ballast)
    log.open()
    return log


def batch(at: int) -> Batch:
    start = at * 20 % len(NOISE)
    return Batch(SETS[at % 5], at, at + 1, NOISE[start : start + 20], ODD if at % 7 == 0 else GOOD)


def fill(log: SpoolLog, first: int, last: int, group: int = 5) -> None:
    """Entries of five batches, 100 samples each."""
    for at in range(first, last, group):
        log.append([batch(each) for each in range(at, at + group)])


def everything(log: SpoolLog) -> list[Entry]:
    entries: list[Entry] = []
    while more := log.read(entries[-1].id if entries else 0, 50):
        entries += more
    return entries


def found_in(log: SpoolLog) -> list[int]:
    """Times of all batches there are; each must be exactly what was written."""
    times = []
    for entry in everything(log):
        for each in entry.batches:
            expected = batch(each.time)
            assert each.signals is expected.signals
            assert each.arrival == expected.arrival
            assert each.values.tobytes() == expected.values.tobytes()
            assert each.quality.tobytes() == expected.quality.tobytes()
            times.append(each.time)
    assert times == sorted(set(times))
    return times


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 entries (40 000 samples) in several files, as two runs left them."""
    folder = tmp_path_factory.mktemp("spool")
    for first, last in ((0, 1400), (1400, 2000)):
        log = log_in(folder)
        fill(log, first, last)
        log.close()
    assert len(list(folder.glob("spool-*.db"))) > 5
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "spool"))


def reopened(folder: Path) -> tuple[list[int], int]:
    """What is still there, and how many samples the ledger says are not; the spool goes on all the same."""
    log = log_in(folder)
    times = found_in(log)
    fill(log, 2000, 2005)
    assert found_in(log)[-1] == 2004
    lost = sum(gap.n for gap in log.gaps)
    log.close()
    return times, lost


def test_nothing_is_lost_without_damage(folder: Path) -> None:
    assert reopened(folder) == (list(range(2000)), 0)


def test_the_newest_entries_are_found_over_files(folder: Path) -> None:
    log = log_in(folder)
    every = [entry.id for entry in everything(log)]
    for count in (1, 3, 100, 400, 1000):
        assert [entry.id for entry in log.reader.recent(count)] == every[-count:]
    fill(log, 2000, 2010)
    assert [entry.id for entry in log.reader.recent(50)] == [entry.id for entry in everything(log)][-50:]
    log.close()
    empty = log_in(folder.parent / "empty")
    assert empty.reader.recent(5) == []
    empty.close()


def test_flipped_bits_cost_what_stood_there_and_are_counted(written: Path, tmp_path: Path) -> None:
    """One bit in one file, again and again: never a wrong value, and every loss is in the ledger."""
    rounds = int(os.environ.get("WATCHKEEPER_FLIPS", "40"))
    generator = np.random.default_rng(11)
    names = sorted(path.name for path in written.glob("spool-*.db"))
    costs = []
    for turn in range(rounds):
        folder = Path(shutil.copytree(written, tmp_path / f"{turn}"))
        path = folder / names[generator.integers(len(names))]
        content = bytearray(path.read_bytes())
        at = int(generator.integers(len(content)))
        content[at] ^= 1 << generator.integers(8)
        path.write_bytes(content)
        times, lost = reopened(folder)
        missing = 20 * (2000 - len(times))
        if path.name != names[-1]:  # what follows the last file cannot tell how long it was
            assert lost == missing, f"{path.name} byte {at}"
        costs.append(missing // 100)
        shutil.rmtree(folder)
    print("entries lost by a flipped bit:", np.bincount(costs).tolist()[:10], "worst", max(costs))
    assert np.mean(np.array(costs) <= 2) > 0.95


@pytest.mark.parametrize("keep", [0, 1, 100, 4096, 10_000, 60_000])
def test_a_torn_file_costs_its_rest(folder: Path, keep: int) -> None:
    path = sorted(folder.glob("spool-*.db"))[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    times, lost = reopened(folder)
    assert lost == 20 * (2000 - len(times)) > 0
    assert times[0] == 0
    assert times[-1] == 1999


@pytest.mark.parametrize("start", [0, 16, 4096])
def test_a_file_whose_head_is_gone_is_set_aside_and_mended(folder: Path, start: int) -> None:
    path = sorted(folder.glob("spool-*.db"))[1]
    content = bytearray(path.read_bytes())
    content[start : start + 64] = bytes(range(64))
    path.write_bytes(content)
    times, lost = reopened(folder)
    assert lost == 20 * (2000 - len(times))
    if start < 4096:
        assert lost == 0
        assert path.with_name(path.name + ".corrupt").exists()


def test_a_file_that_vanished_is_a_gap_in_the_ledger(folder: Path) -> None:
    sorted(folder.glob("spool-*.db"))[2].unlink()
    times, lost = reopened(folder)
    assert lost == 20 * (2000 - len(times)) > 0


def test_a_file_that_was_never_begun_is_taken_away(folder: Path) -> None:
    sqlite.writing(folder / "spool-000099.db").close()
    (folder / "spool-000100.db").touch()
    assert reopened(folder) == (list(range(2000)), 0)


def test_the_count_of_samples_goes_on_when_all_files_are_gone(folder: Path) -> None:
    for _ in range(3):
        log = log_in(folder)
        log.cursors["store"] = max(log.newest_id, log.cursors["store"])
        log.rotate()
        log._tidy()
        log.close()
    log = log_in(folder)
    assert (log.files, log.end_seq) == (1, 40_000)
    fill(log, 0, 5)
    assert log.read(log.cursors["store"], 10)[0].seq == 40_000
    log.close()


def test_a_crash_while_shedding_is_finished_at_the_next_start(folder: Path) -> None:
    log = log_in(folder)
    with failpoints.armed("spool.gap_recorded:1:error"), pytest.raises(OSError, match="failpoint"):
        log._shed("quota")
    log.abandon()
    assert len(everything(log_in(folder))) < 400
    times, lost = reopened(folder)
    assert lost == 20 * (2000 - len(times)) > 0


def test_the_ledger_puts_its_oldest_together_when_it_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.spool_log._GAPS", 3)
    log = log_in(tmp_path, max_bytes=300_000)
    fill(log, 0, 10_000, group=50)
    kept = found_in(log)
    assert len(log.gaps) == 3
    assert sum(gap.n for gap in log.gaps) == 20 * kept[0]
    assert (log.gaps[0].start, log.gaps[-1].end) == (0, kept[0] - 1)
    log.close()


@pytest.mark.parametrize(
    "point", ["spool.before_delete", "spool.gap_recorded", "spool.create_file", "spool.rotate"]
)
def test_trouble_while_tidying_doubles_nothing(tmp_path: Path, point: str) -> None:
    """The writer appends again what failed; what was durable already must not be there twice."""
    log = log_in(tmp_path, max_bytes=300_000)
    with failpoints.armed(f"{point}:1-3:error") as points:
        for at in range(0, 5000, 50):
            if at == 2500:
                log.cursors["store"] = log.newest_id
            while True:
                try:
                    log.append([batch(each) for each in range(at, at + 50)])
                    break
                except OSError:
                    with suppress(OSError):
                        log.rotate()
        assert points[point].hits >= 3
    times = found_in(log)
    assert times == list(range(times[0], 5000))
    log.close()


# -- a disk that is full


def pressed(log: SpoolLog, batches: list[Batch]) -> int:
    """Append as the writer does: on a full disk make room and try again. How often that was needed."""
    for turn in range(20):
        try:
            log.append(batches)
        except (OSError, sqlite.DatabaseError) as error:
            if not sqlite.is_full(error):
                raise
            log.make_room()
        else:
            return turn
    raise AssertionError("no room came of it")


def fill_up(file: BinaryIO) -> None:
    with suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_on_a_full_disk_the_newest_are_kept_and_the_rest_is_counted(small_disk: Path) -> None:
    log = log_in(small_disk / "spool", file_bytes=2 * MIB, ballast=4 * MIB)
    assert (small_disk / "spool" / "ballast").stat().st_size == 4 * MIB
    made_room = sum(
        pressed(log, [batch(each) for each in range(at, at + 500)]) for at in range(0, 200_000, 500)
    )
    times = found_in(log)
    assert made_room > 3
    assert times == list(range(times[0], 200_000))
    assert len(times) > 20_000
    assert sum(gap.n for gap in log.gaps) == 20 * times[0]
    assert {gap.reason for gap in log.gaps} == {"disk full"}
    log.close()
    with (small_disk / "others").open("wb", buffering=0) as others:
        fill_up(others)
    log = log_in(small_disk / "spool", file_bytes=2 * MIB, ballast=4 * MIB)
    times = found_in(log)
    assert times == list(range(times[0], 200_000))
    assert sum(gap.n for gap in log.gaps) == 20 * times[0]
    log.close()


def test_a_disk_filled_by_others_costs_what_does_not_fit(small_disk: Path) -> None:
    log = log_in(small_disk / "spool", file_bytes=MIB, ballast=4 * MIB)
    for at in range(0, 50_000, 500):
        log.append([batch(each) for each in range(at, at + 500)])
    with (small_disk / "others").open("wb", buffering=0) as others:
        fill_up(others)
    for at in range(50_000, 60_000, 500):
        pressed(log, [batch(each) for each in range(at, at + 500)])
    times = found_in(log)
    assert times[-1] == 59_999
    assert sum(gap.n for gap in log.gaps) == 20 * (60_000 - len(times)) > 0
    (small_disk / "others").unlink()
    for at in range(60_000, 100_000, 500):
        assert pressed(log, [batch(each) for each in range(at, at + 500)]) == 0
    log.close()


def test_a_start_with_a_long_backlog_is_quick(tmp_path: Path) -> None:
    """Forty files of a killed loop of runs open in a moment."""
    for run in range(40):
        log = log_in(tmp_path)
        fill(log, run * 10, run * 10 + 10)
        log.abandon()
    began = time.perf_counter()
    log = log_in(tmp_path)
    taken = time.perf_counter() - began
    assert found_in(log) == list(range(400))
    assert taken < 5
    log.close()
