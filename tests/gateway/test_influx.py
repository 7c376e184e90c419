"""Against Debian's InfluxDB, and against a server that answers what we tell it to."""

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.batch import BAD, Batch, Reason, SignalSet, bad, signal_set, uncertain
from gateway.forwarder import Forwarder
from gateway.influx import InfluxSettings, InfluxStore
from gateway.influx_lines import LineProtocol, field_of
from gateway.spool import Entry, Spool, SpoolSettings
from gateway.store import (
    StoreDeniedError,
    StoreError,
    StoreRefusedError,
    StoreTooLargeError,
    StoreUnavailableError,
)
from tests.gateway.conftest import Influxd

PUMP = signal_set("pump-1-plc", ("pump-1/vib_rms", "pump-1/flow", "pump-1-plc/online"))
T0 = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
_databases = itertools.count()


def class_of(asset: str) -> str:
    return "pump" if asset.startswith("pump-") and not asset.endswith("plc") else "device"


def row(time: int, values: object, quality: object = (0, 0, 0), signals: SignalSet = PUMP) -> Batch:
    return Batch(signals, time, time, np.array(values, float), np.array(quality, np.uint8))


def entry(*batches: Batch, id_: int = 7) -> Entry:
    return Entry(id_, batches, sum(len(b.values) for b in batches), 0, batches[-1].time)


Opener = Callable[..., InfluxStore]


@pytest.fixture
def store_at() -> Iterator[Opener]:
    """``store_at(url, **settings)`` opens a store with a database of its own."""
    with ExitStack() as stack:

        def open_store(url: str, **changes: object) -> InfluxStore:
            fields = {"url": url, "database": f"test_{next(_databases)}"} | changes
            store = InfluxStore(InfluxSettings.model_validate(fields), "site-1", class_of)
            stack.callback(store.close)
            return store

        yield open_store


@pytest.fixture
def store(influxd_url: str, store_at: Opener) -> InfluxStore:
    return store_at(influxd_url)


# -- lines


def test_a_line_has_a_field_a_quantity_and_quality_only_where_it_is_not_good() -> None:
    lines = LineProtocol("site-1", class_of)
    odd = uncertain(Reason.OUT_OF_RANGE)
    body = lines.encode(
        [
            row(1, (2.5, 1e22, 1)),
            row(2, (2.5, 99, 1), (0, odd, 0)),
            row(3, (np.nan, np.inf, 0), (bad(Reason.COMM_LOST), 0, 0)),
        ]
    )
    pump = "pump,site=site-1,asset=pump-1,source=pump-1-plc"
    plc = "device,site=site-1,asset=pump-1-plc,source=pump-1-plc"
    assert body.decode().splitlines() == [
        f"{pump} vib_rms=2.5,flow=1e22 1",
        f"{plc} online=1.0 1",
        f"{pump} vib_rms=2.5,flow=99.0,flow_q={odd}i 2",
        f"{plc} online=1.0 2",
        f"{plc} online=0.0 3",
    ]


def test_names_that_mean_something_else_get_another() -> None:
    assert [field_of(each) for each in ("time", "asset", "flow_q", "", "a\\b\nc", "温度")] == [
        "time_",
        "asset_",
        "flow_q_",
        "_",
        "a_b_c",
        "温度",
    ]


# -- the real server


@pytest.mark.needs("influxdb")
def test_what_was_written_is_read_back_exactly(store: InfluxStore) -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(size=(500, 3)) * 10.0 ** generator.integers(-300, 300, (500, 3))
    batches = [row(T0 + i * SECOND, values[i]) for i in range(500)]
    assert store.write([entry(*batches, id_=41)]) == 41
    store.write([entry(*batches)])  # again, which changes nothing
    series = store.series("pump-1/flow", T0, T0 + HOUR)
    assert series.time.tolist() == [T0 + i * SECOND for i in range(500)]
    assert series.mean.tolist() == values[:, 1].tolist()
    assert len(store.series("pump-1/flow", T0 + SECOND, T0 + 3 * SECOND)) == 2
    assert len(store.series("pump-1/unknown", T0, T0 + HOUR)) == 0
    assert len(store.series("fan-1/speed", T0, T0 + HOUR)) == 0
    assert store.latest(["pump-1/vib_rms", "pump-1/none"])["pump-1/vib_rms"].value == values[-1, 0]
    frame = store.frame(["pump-1/vib_rms", "pump-1-plc/online"], T0, T0 + HOUR)
    assert frame.to_numpy().tolist() == values[:, [0, 2]].tolist()


@pytest.mark.needs("influxdb")
def test_bad_values_are_absent_and_other_quality_comes_back(store: InfluxStore) -> None:
    odd, lost = uncertain(Reason.OUT_OF_RANGE), bad(Reason.COMM_LOST)
    store.write(
        [
            entry(
                row(T0, (1, 2, 1)),
                row(T0 + SECOND, (np.nan, np.nan, 0), (lost, lost, 0)),
                row(T0 + 2 * SECOND, (3, 99, 1), (0, odd, 0)),
            )
        ]
    )
    flow = store.series("pump-1/flow", T0, T0 + HOUR)
    assert (flow.mean.tolist(), flow.quality.tolist()) == ([2, 99], [0, odd])
    assert store.series("pump-1-plc/online", T0, T0 + HOUR).mean.tolist() == [1, 0, 1]
    bucket = store.series("pump-1/flow", T0, T0 + HOUR, points=1)
    assert (bucket.count.tolist(), bucket.max.tolist(), bucket.quality.tolist()) == ([2], [99], [odd])


@pytest.mark.needs("influxdb")
def test_a_spike_survives_the_servers_buckets(store: InfluxStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.influx._PAGE", 1000)
    batches = [row(T0 + i * SECOND, (i, 1e6 if i == 3333 else 0, 1)) for i in range(7200)]
    store.write([entry(*batches)])
    for points in (None, 7200, 2000, 100, 7, 1):
        series = store.series("pump-1/flow", T0, T0 + 2 * HOUR, points)
        assert series.max.max() == 1e6
        assert series.count.sum() == 7200
        assert points is None or len(series) <= points + 1
        assert series.time[0] == T0


@pytest.mark.needs("influxdb")
def test_a_field_of_another_type_is_refused_and_the_rest_is_stored(store: InfluxStore) -> None:
    store.write([entry(row(T0, (1, 2, 1)))])
    store._call(
        "POST",
        "/write",
        [("db", store._settings.database)],
        b"pump,site=site-1,asset=x,source=s text=5i %d" % T0,
    )
    wrong = signal_set("pump-1-plc", ("pump-1/vib_rms", "pump-1/text"))
    with pytest.raises(StoreRefusedError, match="field type conflict"):
        store.write([entry(row(T0 + SECOND, (5, 5), (0, 0), wrong), row(T0 + SECOND, (1, 2, 1)))])
    assert len(store.series("pump-1/flow", T0, T0 + HOUR)) == 2


NAMES = st.text(min_size=1, max_size=12).map(lambda text: text.replace("/", "|"))


@pytest.mark.needs("influxdb")
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    names=st.tuples(NAMES, NAMES, NAMES),
    quantities=st.lists(NAMES, min_size=1, max_size=4, unique_by=field_of),
    value=st.floats(-1e307, 1e307),
)
def test_any_name_and_number_goes_there_and_back(
    influxd_url: str, names: tuple[str, str, str], quantities: list[str], value: float
) -> None:
    asset, source, kind = names
    fields = {"url": influxd_url, "database": "fuzz"}
    store = InfluxStore(InfluxSettings.model_validate(fields), f"site {asset}", lambda _: kind)
    signals = signal_set(source, tuple(f"{asset}/{quantity}" for quantity in quantities))
    at = T0 + next(_databases) * SECOND
    values = value * np.arange(1, len(quantities) + 1)
    store.write([entry(row(at, values, np.full(len(values), 0x44), signals))])
    for name, expected in zip(signals.names, values.tolist(), strict=True):
        series = store.series(name, at, at + 1)
        assert (series.mean.tolist(), series.quality.tolist()) == ([expected], [0x44])
    store.close()


@pytest.mark.needs("influxdb")
def test_wrong_credentials_hold_and_right_ones_go_on(
    tmp_path: Path, influxd: Influxd, store_at: Opener
) -> None:
    admin = store_at(influxd.url)
    admin._call("POST", "/query", [("q", "CREATE USER root WITH PASSWORD 'secret' WITH ALL PRIVILEGES")])
    influxd.kill(signal.SIGTERM)
    influxd.start(auth=True)
    for wrong in ({}, {"username": "root", "password": "guess"}):
        with pytest.raises(StoreDeniedError, match="401"):
            store_at(influxd.url, **wrong).write([entry(row(T0, (1, 2, 1)))])
    right = store_at(influxd.url, username="root", password="secret")
    right.write([entry(row(T0, (1, 2, 1)))])
    assert len(right.series("pump-1/flow", T0, T0 + 1)) == 1


@pytest.mark.needs("influxdb")
def test_a_body_that_is_too_large_says_so(influxd: Influxd, store_at: Opener) -> None:
    influxd.kill()
    influxd.start(body=2000)
    with pytest.raises(StoreTooLargeError):
        store_at(influxd.url).write([entry(*(row(T0 + i, (1, 2, 1)) for i in range(100)))])


@pytest.mark.needs("influxdb")
def test_kill_9_of_the_server_mid_stream_loses_nothing(
    tmp_path: Path, influxd: Influxd, store_at: Opener
) -> None:
    """A stream of samples, the server killed and started three times: all are there, once."""

    async def story() -> int:
        store = store_at(influxd.url, timeout=2)
        quick = SpoolSettings.model_validate({"interval": 0.02, "ballast_bytes": 0})
        spool = Spool(tmp_path / "spool", quick, [store.name])
        spool.start()
        forwarder = Forwarder(spool, store, sleep=lambda seconds: asyncio.sleep(min(seconds, 0.2)))
        running = asyncio.create_task(forwarder.run())
        time_ = 0
        for _ in range(3):
            for _ in range(60):
                for _ in range(10):
                    time_ += 1
                    assert spool.offer(row(T0 + time_ * SECOND, (time_, -time_, 1)))
                await asyncio.sleep(0.005)
            influxd.kill()
            for _ in range(20):
                time_ += 1
                assert spool.offer(row(T0 + time_ * SECOND, (time_, -time_, 1)))
                await asyncio.sleep(0.005)
            await asyncio.to_thread(influxd.start)
        await asyncio.to_thread(spool.flush)
        async with asyncio.timeout(60):
            while spool.cursor(store.name) < spool.newest_id():
                await asyncio.sleep(0.02)
        found = await asyncio.to_thread(store.series, "pump-1/vib_rms", T0, T0 + 10 * HOUR)
        assert found.mean.tolist() == list(range(1, time_ + 1))
        running.cancel()
        spool.close()
        return time_

    assert asyncio.run(story()) == 3 * 620


@pytest.mark.needs("influxdb")
def test_an_outage_drains_at_twenty_times_real_time(
    tmp_path: Path, influxd: Influxd, store_at: Opener
) -> None:
    """Five minutes at 1 000 samples/s (100 devices with 10 signals) wait in the spool, then the server is back."""
    seconds, devices = 300, 100
    sets = [signal_set(f"d{i}", tuple(f"pump-{i}/q{j}" for j in range(10))) for i in range(devices)]
    values = np.random.default_rng(2).normal(size=(seconds, devices, 10)).astype(np.float32).astype(float)
    good = np.zeros(10, np.uint8)

    async def story() -> float:
        store = store_at(influxd.url)
        spool = Spool(tmp_path / "spool", SpoolSettings.model_validate({"cache_bytes": 1}), [store.name])
        spool.start()
        for second in range(seconds):
            now = T0 + second * SECOND
            for device, signals in enumerate(sets):
                assert spool.offer(Batch(signals, now, now, values[second, device], good))
            if second % 10 == 9:
                await asyncio.to_thread(spool.flush)
        forwarder = Forwarder(spool, store)
        began = time.perf_counter()
        running = asyncio.create_task(forwarder.run())
        async with asyncio.timeout(60):
            while spool.cursor(store.name) < spool.newest_id():
                await asyncio.sleep(0.01)
        taken = time.perf_counter() - began
        running.cancel()
        for device in (0, 57, 99):
            series = await asyncio.to_thread(store.series, f"pump-{device}/q7", T0, T0 + HOUR)
            assert series.mean.tolist() == values[:, device, 7].tolist()
        spool.close()
        return taken

    taken = asyncio.run(story())
    print(f"drained {seconds * 1000 / taken:,.0f} samples/s: {seconds / taken:.0f} × real time")
    assert seconds / taken >= 20


# -- a server that says what we tell it to


class Told(BaseHTTPRequestHandler):
    """Answers ``status``, ``headers`` and ``body`` of its server, and notes what was asked."""

    def answer(self) -> None:
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        server.asked.append((self.command, self.path, self.headers, self.rfile.read(length)))  # type: ignore[attr-defined]
        ping = self.path.startswith("/ping")
        self.send_response(204 if ping else server.status)  # type: ignore[attr-defined]
        if ping:
            self.send_header("X-Influxdb-Version", server.version)  # type: ignore[attr-defined]
        for name, value in server.headers.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        body = b"" if ping else server.body  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def told() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    server.status, server.version, server.headers, server.body, server.asked = 204, "v2.7.1", {}, b"", []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("answer", "kind", "retry_after"),
    [
        ((400, {}), StoreRefusedError, None),
        ((422, {}), StoreRefusedError, None),
        ((401, {}), StoreDeniedError, None),
        ((403, {}), StoreDeniedError, None),
        ((404, {}), StoreDeniedError, None),
        ((302, {"Location": "http://127.0.0.1:1/"}), StoreDeniedError, None),
        ((413, {}), StoreTooLargeError, None),
        ((429, {"Retry-After": "17"}), StoreUnavailableError, 17.0),
        ((503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), StoreUnavailableError, None),
        ((500, {}), StoreUnavailableError, None),
    ],
)
def test_each_answer_has_its_meaning(
    told: ThreadingHTTPServer,
    store_at: Opener,
    answer: tuple[int, dict[str, str]],
    kind: type[StoreError],
    retry_after: float | None,
) -> None:
    (told.status, told.headers), told.body = answer, b'{"message":"said the server"}'  # type: ignore[attr-defined]
    for version in ("v2.7.1", "1.6.7"):
        told.version = version  # type: ignore[attr-defined]
        with pytest.raises(StoreError) as caught:
            store_at(address(told)).write([entry(row(T0, (1, 2, 1)))])
        assert type(caught.value) is kind
        assert "said the server" in str(caught.value)
        assert getattr(caught.value, "retry_after", None) == retry_after


def test_newer_servers_are_written_by_their_own_path_with_a_token(
    told: ThreadingHTTPServer, store_at: Opener
) -> None:
    store_at(address(told), token="abc", org="plant", database="wk").write([entry(row(T0, (1, 2, 1)))])
    method, path, headers, body = told.asked[-1]  # type: ignore[attr-defined]
    assert method == "POST"
    assert path.startswith("/api/v2/write?")
    assert {"bucket=wk", "org=plant", "precision=ns"} <= set(path.partition("?")[2].split("&"))
    assert headers["Authorization"] == "Token abc"
    assert body.startswith(b"pump,site=site-1,asset=pump-1,source=pump-1-plc vib_rms=1.0,flow=2.0 ")


def test_nobody_there_and_nobody_answering_are_unavailable(
    told: ThreadingHTTPServer, store_at: Opener
) -> None:
    told.shutdown()  # listens on, answers nobody
    with pytest.raises(StoreUnavailableError, match="timed out"):
        store_at(address(told), timeout=0.2).write([entry(row(T0, (1, 2, 1)))])
    with pytest.raises(StoreUnavailableError, match="refused"):
        store_at("http://127.0.0.1:9").write([entry(row(T0, (1, 2, 1)))])


def test_a_batch_without_any_value_asks_nothing_of_the_server(store_at: Opener) -> None:
    lost = bad(Reason.COMM_LOST)
    nothing = row(T0, (np.nan, np.nan, np.nan), (lost, lost, lost))
    assert (nothing.quality & BAD).all()
    assert store_at("http://127.0.0.1:9").write([entry(nothing, id_=3)]) == 3
