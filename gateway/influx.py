"""InfluxDB 1.x, 2.x and 3.x as the store of telemetry.

Lines are posted synchronously (the client's batching writer loses them silently when the server is away; the
spool is our buffer): by ``/api/v2/write`` where the server has it (1.8 and later), else by ``/write``. Reading is
InfluxQL, which all of them speak (2.x needs a DBRP mapping of the bucket).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway import failpoints
from gateway.influx_lines import LineProtocol, field_of, measurement_of, plain, quality_of, split
from gateway.spool import Entry
from gateway.store import (
    Sample,
    Series,
    StoreDeniedError,
    StoreError,
    StoreRefusedError,
    StoreTooLargeError,
    StoreUnavailableError,
    frame_of,
)

if TYPE_CHECKING:
    import pandas as pd

_PAGE: Final = 50_000  # rows of one answer
_SIGNALS_AT_ONCE: Final = 50
_MS: Final = 1_000_000


class InfluxSettings(BaseModel):
    """``[store]`` with ``kind = "influxdb"``: 1.x by ``username``, 2.x and 3.x by ``org`` and ``token``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["influxdb"] = "influxdb"
    url: str = Field(pattern=r"^https?://[^/\s]+/?$")
    database: str = Field(min_length=1, description="in 2.x the bucket, to which a DBRP mapping leads")
    org: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    timeout: timedelta = timedelta(seconds=10)


class InfluxStore:
    """A Store in a database server. ``class_of`` tells an asset's class, which names its measurement."""

    name = "influxdb"
    in_order = False

    def __init__(self, settings: InfluxSettings, site: str, class_of: Callable[[str], str]) -> None:
        # 25 MB that only who uses it pays for
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.client.write_api import SYNCHRONOUS

        self._settings = settings
        self._site = site
        self._class_of = class_of
        self._lines = LineProtocol(site, class_of)
        token = settings.token.get_secret_value()
        self._client = InfluxDBClient(
            url=settings.url.rstrip("/"),
            token=token or f"{settings.username}:{settings.password.get_secret_value()}",
            org=settings.org or "-",
            timeout=round(settings.timeout.total_seconds() * 1000),
            auth_basic=not token,
        )
        self._write_api = self._client.write_api(write_options=SYNCHRONOUS)
        self._version = ""

    def learn_classes(self, class_of: Callable[[str], str]) -> None:
        """See ``Store``."""
        self._class_of, self._lines = class_of, LineProtocol(self._site, class_of)

    # -- writing

    def write(self, entries: Sequence[Entry]) -> int:
        """See ``Store``."""
        body = self._lines.encode(batch for entry in entries for batch in entry.batches)
        if body:
            if not self._version:
                self._version = self._ask_version()
            failpoints.hit("influx.before_post")
            self._post(body)
        return entries[-1].id if entries else 0

    def _post(self, body: bytes) -> None:
        database = self._settings.database
        if not _before_1_8(self._version):
            self._safely(self._write_api.write, database, record=body, write_precision="ns")
            return
        query = [("db", database), ("precision", "ns")]
        try:
            self._call("POST", "/write", query, body)
        except StoreDeniedError as error:
            if "database not found" not in str(error):
                raise
            self._call("POST", "/query", [("q", f"CREATE DATABASE {_identifier(database)}")])
            self._call("POST", "/write", query, body)

    def _ask_version(self) -> str:
        headers, _ = self._call("GET", "/ping", [])
        return headers.get("X-Influxdb-Version", "").lstrip("v") or "unknown"

    # -- reading

    def series(self, signal: str, start: int, end: int, points: int | None = None) -> Series:
        """See ``Store``; buckets are made by the server, on a grid of milliseconds."""
        if points is None:
            return self._samples(signal, start, end)
        few = self._page(signal, start, end, points + 1)
        if len(few["time"]) <= points:
            return _samples_of(signal, [few])
        step = max(1, math.ceil((end - start) / points / _MS)) * _MS
        return self._buckets(signal, start, end, step)

    def tail(self, signal: str, start: int) -> Series:  # noqa: ARG002
        """Nothing: what is written is to be read from the server."""
        return Series.empty(signal)

    def latest(self, signals: Sequence[str]) -> dict[str, Sample]:
        """See ``Store``."""
        found = {}
        for at in range(0, len(signals), _SIGNALS_AT_ONCE):
            some = signals[at : at + _SIGNALS_AT_ONCE]
            asked = [f"{self._select(each)} ORDER BY time DESC LIMIT 1" for each in some]
            for signal, rows in zip(some, self._query(asked), strict=True):
                if rows["time"]:
                    quality = rows["quality"][0]
                    found[signal] = Sample(rows["time"][0], float(rows["value"][0]), int(quality or 0))
        return found

    def frame(self, signals: Sequence[str], start: int, end: int) -> pd.DataFrame:
        """See ``Store``."""
        return frame_of([self.series(signal, start, end) for signal in signals])

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _samples(self, signal: str, start: int, end: int) -> Series:
        pages = []
        while True:
            page = self._page(signal, start, end, _PAGE)
            pages.append(page)
            if len(page["time"]) < _PAGE:
                return _samples_of(signal, pages)
            start = page["time"][-1] + 1

    def _page(self, signal: str, start: int, end: int, limit: int) -> Rows:
        where = f"AND time >= {start} AND time < {end} ORDER BY time LIMIT {limit}"
        (rows,) = self._query([f"{self._select(signal)} {where}"])
        return rows

    def _select(self, signal: str) -> str:
        asset, quantity = split(signal)
        value, quality = _identifier(field_of(quantity)), _identifier(quality_of(quantity))
        return f"SELECT {value} AS value, {quality} AS quality {self._from(asset)}"

    def _buckets(self, signal: str, start: int, end: int, step: int) -> Series:
        asset, quantity = split(signal)
        value, quality = _identifier(field_of(quantity)), _identifier(quality_of(quantity))
        question = (
            f"SELECT min({value}) AS min, mean({value}) AS mean, max({value}) AS max,"
            f" count({value}) AS count, max({quality}) AS quality {self._from(asset)}"
            f" AND time >= {start} AND time < {end}"
            f" GROUP BY time({step // _MS}ms, {start % step // _MS}ms) fill(none)"
        )
        (rows,) = self._query([question])
        return Series(
            signal,
            np.array(rows["time"], np.int64),
            np.array(rows["min"], np.float64),
            np.array(rows["mean"], np.float64),
            np.array(rows["max"], np.float64),
            _quality(rows),
            np.array(rows["count"], np.int64),
            step,
        )

    def _from(self, asset: str) -> str:
        measurement = _identifier(measurement_of(self._class_of(asset)))
        return f"FROM {measurement} WHERE site = {_text(self._site)} AND asset = {_text(asset)}"

    def _query(self, statements: Sequence[str]) -> list[Rows]:
        """The answers to InfluxQL ``statements``, column by column; times are UTC ns."""
        query = [("db", self._settings.database), ("epoch", "ns"), ("q", "; ".join(statements))]
        _, body = self._call("GET", "/query", query)
        answer = msgspec.json.decode(body)
        return [_rows(result) for result in answer["results"]]

    # -- the wire

    def _call(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: bytes = b""
    ) -> tuple[Mapping[str, str], bytes]:
        """One request; headers and body of its answer."""
        response = self._safely(
            self._client.api_client.call_api,
            path,
            method,
            query_params=list(query),
            header_params={"Content-Type": "text/plain; charset=utf-8"},
            body=body,
            _preload_content=False,
            _return_http_data_only=True,
        )
        return response.headers, response.data

    def _safely(self, call: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        """``call``, its failures as StoreErrors."""
        from influxdb_client.rest import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call(*args, **kwargs)
        except ApiException as error:
            raise _meaning(error.status, error.headers or {}, error.body or error.reason) from error
        except (HTTPError, OSError) as error:
            self._version = ""  # what comes back may be another server
            raise StoreUnavailableError(f"{self._settings.url}: {error}") from error


class Rows(dict[str, list[Any]]):
    """Columns of an answer; one that it does not have is empty."""

    def __missing__(self, column: str) -> list[Any]:
        return []


def _rows(result: Mapping[str, Any]) -> Rows:
    if "error" in result:
        raise StoreError(f"InfluxQL: {result['error']}")
    rows = Rows()
    for series in result.get("series", ()):
        for column, values in zip(series["columns"], zip(*series["values"], strict=True), strict=True):
            rows[column] = list(values)
    return rows


def _samples_of(signal: str, pages: Sequence[Rows]) -> Series:
    time = [each for page in pages for each in page["time"]]
    values = [each for page in pages for each in page["value"]]
    quality = np.concatenate([_quality(page) for page in pages])
    return Series.of_samples(signal, np.array(time, np.int64), np.array(values, np.float64), quality)


def _quality(rows: Rows) -> Any:
    return np.array([each or 0 for each in rows["quality"]], np.uint8)


def _meaning(status: int | None, headers: Mapping[str, str], body: object) -> StoreError:
    """What an answer other than 2xx asks of us."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    text = f"{status}: {text.strip()[:500]}"
    if status in (400, 422):
        return StoreRefusedError(text)
    if status == 413:
        return StoreTooLargeError(text)
    if status in (429, 503):
        return StoreUnavailableError(text, _seconds(headers.get("Retry-After")))
    if status is not None and 300 <= status < 500:
        return StoreDeniedError(text)
    return StoreUnavailableError(text)


def _seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after else None
    except ValueError:
        return None  # a date: our own waiting serves as well


def _before_1_8(version: str) -> bool:
    found = re.match(r"1\.(\d+)", version)
    return found is not None and int(found[1]) < 8


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '\\"') + '"'


def _text(value: str) -> str:
    return "'" + plain(value).replace("'", "\\'") + "'"
