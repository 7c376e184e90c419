"""Training from a site's history: rows out of the store or a file, a version into the register, a report beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gateway.building import build_register, quantities_of
from gateway.control import ask
from gateway.history import HistorySettings
from gateway.site import Site
from gateway.store import Readable
from models.promise import ModelError
from models.register import Card, Standing, Version
from models.sensor import SoftSensor
from models.settings import ModelSettings, ns
from models.training import History, Replay, Times, Trained, rescore, train
from ticketing import Desk

_MINUTE = 60_000_000_000
_DAY = 86_400_000_000_000
_STALE = 5  # a value older than so many steps is missing, as in ``gateway.sensors``
_ALL = 1_000_000

Progress = Callable[[float], object]


def history_of(
    site: Site,
    reader: Readable,
    desk: Desk,
    *,
    model: str,
    asset: str,
    start: int,
    end: int,
    progress: Progress = float,
) -> History:
    """The asset's rows from ``start`` to before ``end`` (UTC ns), as the daemon's soft sensor would have seen them.

    Read a day at a time. Means of minutes stand for samples only where the model takes a row a minute or less.
    """
    settings = site.models[model]
    every, inputs = ns(settings.every), inputs_of(site, settings, asset)
    times, rows = [], []
    for first in range(start, end, _DAY):
        last = min(end, first + _DAY)
        found = [reader.series(signal, first - _STALE * every, last) for signal in inputs]
        if every < _MINUTE:
            found = [series.part(series.count == 1) for series in found]
        grid = np.arange(-(-first // every) * every, last, every, dtype=np.int64)
        columns = np.column_stack([_held(series.time, series.mean, grid, every) for series in found])
        some = np.isfinite(columns).any(axis=1)
        times.append(grid[some])
        rows.append(columns[some])
        progress((last - start) / (end - start))
    if not sum(map(len, times)):
        raise ModelError(
            f"the store has no samples of {inputs[0]} and its like between {_text(start)} and {_text(end)}"
        )
    grid, table = np.concatenate(times), np.vstack(rows)
    return History(grid, table, ~_busy(desk, asset, grid))


def history_in(path: Path, site: Site, model: str, asset: str) -> History:
    """Rows of a CSV file: a column ``time`` (ISO 8601, or s since the epoch), and one for each quantity."""
    import pandas as pd

    settings = site.models[model]
    every, inputs = ns(settings.every), inputs_of(site, settings, asset)
    try:
        frame = pd.read_csv(path)
        quantities = [signal.partition("/")[2] for signal in inputs]
        frame = frame.rename(columns=dict(zip(inputs, quantities, strict=True)))
        if missing := [name for name in ("time", *quantities) if name not in frame]:
            raise ModelError(
                f"{path} lacks {', '.join(missing)}; the columns needed are time, {', '.join(quantities)}"
            )
        if pd.api.types.is_numeric_dtype(frame["time"]):
            stamps = pd.to_datetime(frame["time"], utc=True, unit="s")
        else:
            stamps = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
        frame = frame.assign(time=stamps.astype("datetime64[ns, UTC]").astype("int64"))
        frame = frame.drop_duplicates("time").sort_values("time")
        table = frame[quantities].to_numpy(dtype=float)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not len(frame):
        raise ModelError(f"{path} holds no rows")
    times = frame["time"].to_numpy(dtype=np.int64)
    grid = np.arange(-(-times[0] // every) * every, times[-1] + 1, every, dtype=np.int64)
    rows = np.column_stack([_held(times, column, grid, every) for column in table.T])
    some = np.isfinite(rows).any(axis=1)
    return History(grid[some], rows[some], np.ones(int(some.sum()), dtype=bool))


def make_version(
    site: Site,
    model: str,
    asset: str,
    history: History,
    *,
    by: str,
    at: int,
    why: str,
    source: str,
    progress: Progress = float,
) -> tuple[Version, Trained]:
    """Train on ``history`` and keep the outcome as a shadow, with its report. ModelError if it cannot be learned."""
    from gateway.model_report import write

    settings, register = site.models[model], build_register(site)
    trained = train(settings, asset, quantities_of(site, asset), history, progress)
    card = Card(
        kind=trained.kind,
        at=at,
        by=by,
        why=why,
        source=source,
        start=int(history.times[0]),
        end=int(history.times[-1]),
        rows=trained.learned,
        signals=trained.signals,
        left_out=trained.left_out,
        figures=trained.figures,
        settings=settings.model_dump_json(by_alias=True),
    )
    live = register.standing(model, asset, Standing.LIVE)
    beside = _beside(site, settings, asset, register.state(live), history) if live else None
    version = register.add(model, asset, card, trained.state)
    write(register.path(version, ".html"), site, version, trained, history=history, live=live, beside=beside)
    return version, trained


def due(site: Site, now: int) -> list[tuple[str, str, str]]:
    """What should be trained again, as (model, asset, why): a live version too old, or one whose machine drifted.

    While a shadow waits for somebody's word, drift asks for no other.
    """
    drifted = {entry["model"]: ", ".join(entry["drifted"]) for entry in daemon_status(site)}
    versions, found = build_register(site).versions(), []
    for version in versions:
        if version.standing is not Standing.LIVE or version.model not in site.models:
            continue
        own = [v for v in versions if (v.model, v.asset) == (version.model, version.asset)]
        waiting = any(v.standing is Standing.SHADOW for v in own)
        retrain = site.models[version.model].retrain
        if (drift := drifted.get(f"{version.model}/{version.asset}")) and not waiting:
            found.append((version.model, version.asset, f"drift: {drift}"))
        elif retrain is not None and now - max(v.card.at for v in own) >= ns(retrain):
            found.append((version.model, version.asset, f"schedule: older than {retrain}"))
    return found


def daemon_status(site: Site) -> list[Mapping[str, Any]]:
    """What the running daemon says of its soft sensors; nothing if none runs."""
    try:
        return list(ask(site.state / "control.sock", {"op": "health"})["models"])
    except (OSError, ValueError, KeyError):
        return []


def tell_daemon(site: Site) -> bool:
    """Let a running daemon take up what was trained, promoted or retired; False where none runs."""
    try:
        return "error" not in ask(site.state / "control.sock", {"op": "models"}, seconds=30.0)
    except (OSError, ValueError):
        return False


def inputs_of(site: Site, settings: ModelSettings, asset: str) -> tuple[str, ...]:
    """The signals that the model reads of the asset."""
    return SoftSensor(settings, asset, quantities_of(site, asset)).inputs


def store_name(site: Site) -> str:
    """Where the site's history lies, in a word."""
    return "history" if isinstance(site.store, HistorySettings) else "InfluxDB"


def card_json(version: Version) -> dict[str, Any]:
    """A version as plain data; times are UTC ns."""
    told = asdict(version) | {"id": version.id, "standing": str(version.standing)}
    told["card"]["settings"] = json.loads(version.card.settings)
    return told


def _beside(site: Site, settings: ModelSettings, asset: str, state: bytes, history: History) -> Replay | None:
    """What the live version says to the same rows; nothing if the settings have changed since."""
    try:
        return rescore(settings, asset, quantities_of(site, asset), state, history)
    except ModelError:
        return None


def _held(times: Times, values: Any, grid: Times, every: int) -> Any:
    """The newest value at each time of ``grid``, NaN where it is too old."""
    if not len(times):
        return np.full(len(grid), np.nan)
    place = np.searchsorted(times, grid, side="right") - 1
    newest = np.where(place >= 0, times[place], np.int64(-(2**62)))
    return np.where(grid - newest <= _STALE * every, values[place], np.nan)


def _busy(desk: Desk, asset: str, times: Times) -> Any:
    """Whether an alarm was active at each time, or an order that it opened was not resolved yet."""
    busy = np.zeros(len(times), dtype=bool)
    with desk.read() as reading:
        spans = [(alarm.since, alarm.cleared_at) for alarm in reading.alarms(asset=asset, limit=_ALL)]
        spans += [
            (order.accepted_at, order.resolved_at or order.closed_at)
            for order in reading.orders(asset=asset, limit=_ALL)
            if order.accepted_at is not None
        ]
    for since, until in spans:
        busy |= (times >= since * 1_000_000) & (
            times <= (until * 1_000_000 if until is not None else times[-1])
        )
    return busy


def _text(time: int) -> str:
    return datetime.fromtimestamp(time / 1e9, UTC).strftime("%Y-%m-%d %H:%M")


def assets_of(site: Site, model: str, asset: str | None) -> Sequence[str]:
    """The assets to train ``model`` for. ModelError, with what there is, for a name that is none."""
    from gateway.site import scoped

    if model not in site.models:
        raise ModelError(f"no model {model!r} in models.toml; there are {', '.join(site.models) or 'none'}")
    known = scoped(site, site.models[model].scope)
    if asset is None:
        return known
    if asset not in known:
        raise ModelError(
            f"model {model} does not watch {asset!r}; it watches {', '.join(known) or 'nothing'}"
        )
    return [asset]
