"""`models …` as a person uses it: train, look, promote, retire, remaining life; and the daemon that takes it up."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from devices.batch import GOOD, Batch, signal_set
from gateway import training
from gateway.building import (
    build_panel,
    build_register,
    build_rules,
    build_sensors,
    build_store,
    sensor_slots,
)
from gateway.commands import app
from gateway.config import load_site
from gateway.control import ControlServer
from gateway.evidence import Witness
from gateway.history import History
from gateway.site import Site
from gateway.spool import Entry
from models.register import Standing

S = 1_000_000_000
MINUTE = 60 * S
SIGNALS = ("pump-1/vib_rms", "pump-1/bearing_temp")
PLC = signal_set("plc-1", SIGNALS)
NOW = time.time_ns() // MINUTE * MINUTE
FILES = {
    "site.toml": """
        [site]
        id = "works"
        name = "Works"
    """,
    "assets.toml": """
        [class.pump.signals]
        vib_rms = { unit = "mm/s", name_zh = "振动速度有效值", name_en = "vibration velocity" }
        bearing_temp = { unit = "degC", name_zh = "轴承温度", name_en = "bearing temperature" }
        [asset.pump-1]
        class = "pump"
        name_zh = "一号泵"
        name_en = "Pump one"
    """,
    "models.toml": """
        [model.watch]
        kind = "t2"
        scope = { class = "pump" }
        every = "10s"
        commissioning = "1h"
        retrain = "30d"
        [model.bearing]
        kind = "life"
        scope = { class = "pump" }
        signals = ["vib_rms"]
        limit = 4.5
        every = "1m"
        commissioning = "2h"
    """,
    "rules.toml": """
        [rule.life]
        failure_mode = "VIB"
        scope = { class = "pump" }
        signals = { left = "rul", v = "vib_rms" }
        [[rule.life.when]]
        severity = 2
        expr = "left < 24 and v > 2.5"
    """,
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name, text in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    found = load_site(tmp_path)
    found.state.mkdir()
    return found


def running(minutes: int, step: int = 10 * S, wear_from: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Times up to now and rows of a healthy pump, whose vibration climbs by 1 mm/s an hour from a minute on."""
    times = np.arange(NOW - minutes * MINUTE, NOW, step)
    rows = np.random.default_rng(1).normal([2.0, 60.0], [0.05, 0.4], (len(times), 2))
    if wear_from is not None:
        rows[:, 0] += np.maximum(0.0, (times - times[0]) / MINUTE - wear_from) / 60
    return times, rows


def keep(site: Site, times: np.ndarray, rows: np.ndarray) -> None:
    """Into the site's history, as the daemon would have written it."""
    quality = np.full(2, GOOD, np.uint8)
    batches = [Batch(PLC, int(t), int(t), row, quality) for t, row in zip(times.tolist(), rows, strict=True)]
    store = History(site.state / "history.db", site.store)  # type: ignore[arg-type]
    store.write([Entry(i, (batch,), 2, 0, batch.time) for i, batch in enumerate(batches, 1)])
    store.close()


def csv(path: Path, times: np.ndarray, rows: np.ndarray) -> Path:
    lines = [f"{t / 1e9:.3f},{a:.4f},{b:.4f}" for t, (a, b) in zip(times.tolist(), rows, strict=True)]
    path.write_text("time,vib_rms,bearing_temp\n" + "\n".join(lines) + "\n")
    return path


def run(site: Site, *words: str | Path) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, words), "--site", str(site.folder)])


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_from_history_to_live_and_back_with_everybodys_name(site: Site) -> None:
    keep(site, *running(360))
    said = done(run(site, "train", "watch", "--by", "meyer"))
    assert "watch/pump-1/1 is a shadow" in said
    assert "0 false alarms" in said
    assert "less than a day was held out" in said
    listed = json.loads(done(run(site, "list", "--json")))
    card = listed["versions"][0]["card"]
    assert (card["by"], card["source"], card["kind"]) == ("meyer", "history", "t2")
    assert 1000 < card["rows"] < 1600
    assert "live" in done(run(site, "promote", "watch/pump-1/1", "--by", "li", "--why", "quiet"))
    shown = done(run(site, "show", "watch/pump-1/1"))
    assert "li  quiet" in shown
    assert "watch/pump-1/1  live" in done(run(site, "list"))
    done(run(site, "retire", "watch/pump-1/1"))
    assert "nothing has been trained yet" in done(run(site, "list"))
    assert "retired" in done(run(site, "list", "--all"))


def test_the_report_is_one_page_in_two_languages_with_pictures(site: Site, tmp_path: Path) -> None:
    times, rows = running(400, wear_from=370)
    path = csv(tmp_path / "pump.csv", times, rows)
    done(run(site, "train", "watch", "--asset", "pump-1", "--csv", path))
    done(run(site, "promote", "watch/pump-1/1"))
    done(run(site, "train", "watch", "--asset", "pump-1", "--csv", path))
    out = tmp_path / "report.html"
    done(run(site, "report", "watch/pump-1/2", "--out", out))
    assert done(run(site, "report", "watch/pump-1/2")).strip().endswith("2.html")
    done(run(site, "report", "watch/pump-1/2", "--out", tmp_path / "report.png", "--language", "en"))
    drawn = (tmp_path / "report.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", drawn[16:24])
    assert width == 1520
    assert height > 1000
    text = out.read_text(encoding="utf-8")
    page = ElementTree.fromstring(
        text.removeprefix("<!DOCTYPE html>")
        .replace('<meta charset="utf-8">', "")
        .replace('<meta name="viewport" content="width=device-width, initial-scale=1">', "")
        .replace(">\n    <label", "/>\n    <label")
    )
    chinese, english = page.findall(".//main")
    for main, words in (
        (chinese, ("轴承温度", "误报", "一号泵")),
        (english, ("bearing temperature", "False alarms", "Pump one")),
    ):
        told = " ".join(main.itertext())
        assert all(word in told for word in words)
        pictures = main.findall(".//svg")
        assert len(pictures) == 3
        assert all(path.get("d", "").startswith("M") for path in main.findall(".//path"))
        assert "watch/pump-1/1" in told  # the live one beside it
        assert "+" in told  # the alarm's reason with its direction
    assert "script" not in text
    assert "http" not in text


def test_the_daemons_sensors_use_the_promoted_version_and_the_shadow_writes_beside(site: Site) -> None:
    keep(site, *running(360))
    done(run(site, "train", "watch"))
    states = {entry["model"]: entry for entry in build_sensors(site).status()}
    assert states["watch/pump-1"]["version"] == ""
    assert states["watch/pump-1 shadow"]["version"] == "watch/pump-1/1"
    done(run(site, "promote", "watch/pump-1/1"))
    done(run(site, "train", "watch"))
    sensors = build_sensors(site)
    said: dict[str, float] = {}
    for i in range(60):
        at = NOW + i * 10 * S
        batch = Batch(PLC, at, at, np.array([3.5, 60.0]), np.zeros(2, np.uint8))
        for derived in sensors.step(batch, lambda _: True):
            said |= dict(zip(derived.signals.names, derived.values.tolist(), strict=True))
    assert said["pump-1/anomaly"] > 0.5
    assert said["pump-1/anomaly_shadow"] > 0.5
    assert sensors.version("pump-1/anomaly") == "watch/pump-1/1"
    assert sensors.why("pump-1/anomaly")[0].signal == "pump-1/vib_rms"
    assert sensors.why("pump-1/anomaly_shadow") == ()


def test_a_saved_state_goes_on_unless_another_version_was_promoted(site: Site) -> None:
    keep(site, *running(360))
    done(run(site, "train", "watch"))
    done(run(site, "promote", "watch/pump-1/1"))
    sensors = build_sensors(site)
    for i in range(30):
        at = NOW + i * 10 * S
        sensors.step(Batch(PLC, at, at, np.array([3.5, 60.0]), np.zeros(2, np.uint8)), lambda _: True)
    again = build_sensors(site)
    again.load(sensors.dump())
    assert again.dump() == sensors.dump()
    done(run(site, "train", "watch"))
    done(run(site, "promote", "watch/pump-1/2"))
    other = build_sensors(site)
    other.load(sensors.dump())
    at = NOW + 30 * 10 * S
    normal = Batch(PLC, at, at, np.array([2.0, 60.0]), np.zeros(2, np.uint8))
    scores = [
        {derived.signals.names[0]: derived.values[0] for derived in each.step(normal, lambda _: True)}
        for each in (again, other)
    ]
    assert scores[0]["pump-1/anomaly"] > 0.5 > scores[1]["pump-1/anomaly"]  # the other remembers no 3.5
    sensors.renew(sensor_slots(site))
    assert sensors.version("pump-1/anomaly") == "watch/pump-1/2"


def test_a_version_that_does_not_fit_any_more_is_said_and_not_used(site: Site) -> None:
    keep(site, *running(360))
    done(run(site, "train", "watch"))
    done(run(site, "promote", "watch/pump-1/1"))
    register = build_register(site)
    register.path(register.version("watch/pump-1/1")).write_bytes(b"PK nonsense")
    entry = next(e for e in build_sensors(site).status() if e["model"] == "watch/pump-1")
    assert entry["version"] == ""
    assert "not the file that was registered" in str(entry["trouble"])
    refused = run(site, "promote", "watch/pump-1/1")
    assert refused.exit_code == 1
    assert "train it again" in refused.stderr


def test_training_on_schedule_makes_a_shadow_and_promotes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(site, *running(360))
    assert "nothing is due" in done(run(site, "train", "--due"))
    done(run(site, "train", "watch"))
    done(run(site, "promote", "watch/pump-1/1"))
    assert "nothing is due" in done(run(site, "train", "--due"))
    assert training.due(site, time.time_ns() + 31 * 86_400 * S) == [
        ("watch", "pump-1", "schedule: older than 30 days, 0:00:00")
    ]
    drifted = [{"model": "watch/pump-1", "drifted": ["bearing_temp up"]}]
    monkeypatch.setattr(training, "daemon_status", lambda _: drifted)
    assert "watch/pump-1/2 is a shadow" in done(run(site, "train", "--due"))
    assert "nothing is due" in done(run(site, "train", "--due"))  # one shadow waits already
    found = build_register(site)
    assert found.version("watch/pump-1/2").card.why == "drift: bearing_temp up"
    live = found.standing("watch", "pump-1", Standing.LIVE)
    assert live is not None
    assert live.number == 1


def test_a_running_gateway_is_told(site: Site) -> None:
    keep(site, *running(360))
    told: list[str] = []

    async def serve() -> Result:
        async def models(request: dict[str, object]) -> object:
            told.append(str(request["op"]))
            return []

        server = ControlServer(site.state / "control.sock", {"models": models}, {})
        task = asyncio.create_task(server.run())
        while not (site.state / "control.sock").exists():
            await asyncio.sleep(0.01)
        result = await asyncio.to_thread(run, site, "train", "watch")
        task.cancel()
        return result

    result = asyncio.run(serve())
    assert told == ["models"]
    assert "no gateway" not in result.output


def test_remaining_life_is_told_with_its_interval_and_without_a_trend_not_at_all(site: Site) -> None:
    keep(site, *running(300, step=60 * S, wear_from=200))
    found = json.loads(done(run(site, "rul", "pump-1/vib_rms", "--limit", "4.5", "--from", "90m", "--json")))
    assert found[0]["trend"]
    assert found[0]["low"] <= found[0]["hours"] <= found[0]["high"]
    assert 0.4 < found[0]["hours"] < 1.5  # 0.83 mm/s to go at 1 mm/s an hour
    assert "no trend, no number" in done(run(site, "rul", "pump-1/bearing_temp", "--limit", "90"))
    assert json.loads(done(run(site, "rul", "--json")))[0]["signal"] == "pump-1/vib_rms"


def test_a_rule_on_remaining_life_raises_with_the_forecast_and_its_band_in_the_evidence(site: Site) -> None:
    times, rows = running(600, step=60 * S, wear_from=480)
    sensors, panel, raised = build_sensors(site), build_panel(site), []
    for t, row in zip(times.tolist(), rows, strict=True):
        measured = Batch(PLC, t, t, row, np.zeros(2, np.uint8))
        for batch in (measured, *sensors.step(measured, lambda _: True)):
            view = panel.view(batch.signals.names)
            raised += panel.judge(view, batch.time, batch.values, batch.quality)
        if raised:
            break
    store = History(site.state / "history.db", site.store)  # type: ignore[arg-type]
    body = Witness(site, sensors).document(build_rules(site)["life"], raised[0])
    store.close()
    told = body["model"]["forecast"]
    assert (told["signal"], told["limit"], told["unit"]) == ("pump-1/vib_rms", 4.5, "mm/s")
    assert 0 < told["low"] <= told["hours"] <= told["high"]
    assert "vibration velocity, as things go, reaches 4.5 mm/s in" in body["sentence"]["en"]
    assert "照此趋势,振动速度有效值" in body["sentence"]["zh"]
    assert (times[-1] - raised[0].time) / MINUTE < 110  # not before the wear began


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (("train",), 2, "name a model, or say --due"),
        (("train", "wacht"), 1, "no model 'wacht' in models.toml; there are watch, bearing"),
        (("train", "watch", "--asset", "pump-9"), 1, "does not watch 'pump-9'; it watches pump-1"),
        (("train", "watch", "--csv", "x.csv"), 2, "say which with --asset"),
        (("train", "watch", "--asset", "pump-1", "--csv", "/nowhere.csv"), 1, "cannot be read"),
        (("train", "watch", "--from", "yesterday"), 2, "a time is"),
        (("train", "watch"), 1, "the store has no samples"),
        (("promote", "watch/pump-1/7"), 1, "none has been trained yet"),
        (("report", "watch/pump-1/7"), 1, "none has been trained yet"),
        (("rul", "pump-1/vib_rms"), 2, "name a signal and its --limit"),
        (("rul", "pump-1/heat", "--limit", "3"), 1, "there are pump-1/vib_rms"),
    ],
)
def test_bad_input_is_one_clear_line(site: Site, words: tuple[str, ...], code: int, what: str) -> None:
    result = run(site, *words)
    assert result.exit_code == code, result.output
    assert what in result.stderr
    assert "Traceback" not in result.output


def test_a_file_of_another_shape_is_refused_with_what_it_needs(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("time,vib_rms\n1,2\n")
    result = run(site, "train", "watch", "--asset", "pump-1", "--csv", path)
    assert result.exit_code == 1
    assert "lacks bearing_temp; the columns needed are time, vib_rms, bearing_temp" in result.stderr
    path.write_text("time,vib_rms,bearing_temp\nlater,2,60\n")
    assert "cannot be read" in run(site, "train", "watch", "--asset", "pump-1", "--csv", path).stderr


def test_a_block_tells_which_ring_of_the_bearing_is_spalled(site: Site, tmp_path: Path) -> None:
    with (site.folder / "assets.toml").open("a") as file:
        file.write(
            "[asset.pump-1.bearings.drive-end]\nrollers = 9\nroller_diameter = 7.94\npitch_diameter = 39.04\n"
        )
    t = np.arange(0, 1, 1 / 25_600)
    since = t % (1 / (3.585 * 1480 / 60))
    x = np.random.default_rng(1).normal(0, 0.3, len(t)) + np.exp(-since * 800) * np.sin(
        2 * np.pi * 6000 * since
    )
    np.save(tmp_path / "block.npy", x)
    words = ("vibration", tmp_path / "block.npy", "--rate", "25600")
    bearing = ("--asset", "pump-1", "--speed", "1480")
    found = json.loads(done(run(site, *words, *bearing, "--json")))
    assert max(found["drive-end"], key=found["drive-end"].__getitem__) == "env_bpfo"
    assert "stands out" in done(run(site, *words, *bearing))
    assert "give its --speed" in run(site, *words, "--asset", "pump-1").stderr
    assert "does not say its --rate" in run(site, *words[:2]).stderr
    (tmp_path / "no.wav").write_bytes(b"RIFF")
    assert "holds no block" in run(site, "vibration", tmp_path / "no.wav").stderr


@pytest.mark.needs("influxdb")
def test_a_model_learns_from_influxdb(site: Site, influxd_url: str) -> None:
    with (site.folder / "site.toml").open("a") as file:
        file.write(f'[store]\nkind = "influxdb"\nurl = "{influxd_url}"\ndatabase = "models"\n')
    server = load_site(site.folder)
    times, rows = running(300)
    store = build_store(server)
    entries = [
        Entry(i, (Batch(PLC, t, t, row, np.zeros(2, np.uint8)),), 2, 0, t)
        for i, (t, row) in enumerate(zip(times.tolist(), rows, strict=True), 1)
    ]
    store.write(entries)
    store.close()
    assert "rows of InfluxDB learned" in done(run(server, "train", "watch", "--from", "1d"))
    assert "no trend, no number" in done(run(server, "rul", "pump-1/bearing_temp", "--limit", "90"))


def test_a_running_daemon_takes_up_what_is_promoted(site: Site, tmp_path: Path) -> None:
    (site.folder / "rules.toml").unlink()
    path = csv(tmp_path / "pump.csv", *running(300))
    with (tmp_path / "run.log").open("w") as log:
        words = [sys.executable, "-m", "gateway.cli", "run", str(site.folder)]
        daemon = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not training.daemon_status(site):
            assert daemon.poll() is None, (tmp_path / "run.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        done(run(site, "train", "watch", "--asset", "pump-1", "--csv", path))
        said = run(site, "promote", "watch/pump-1/1")
        assert "no gateway" not in done(said)
        status = {entry["model"]: entry for entry in training.daemon_status(site)}
        assert status["watch/pump-1"]["version"] == "watch/pump-1/1"
        assert status["watch/pump-1"]["state"] == "live"
        assert "watch/pump-1 shadow" not in status
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0
