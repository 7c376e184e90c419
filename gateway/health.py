"""What the gateway says about itself: one plain dictionary for the health page, the command line and the metrics.

``problems`` lists what is wrong in words, each with what to do; ``ok`` is true exactly when it is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from devices.source import SourceStatus

_FULL = 0.7  # of the spool's quota
_LAG = 10.0  # s that the judge may be behind
_RENEW = 30.0  # days before a certificate ends
_BACKLOG = 60.0  # s of unsent samples before the store counts as behind


def report(
    *,
    site: str,
    now: int,
    started: int,
    sources: Sequence[SourceStatus],
    spool: Mapping[str, Any],
    judge: Mapping[str, Any],
    core: Mapping[str, Any],
    store: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
    intake: Mapping[str, int],
    clock_behind: float,
    certificates: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Everything in one JSON-ready dictionary; times are UTC ns, durations seconds."""
    body = {
        "version": version("watchkeeper"),
        "site": site,
        "now": now,
        "started": started,
        "sources": [asdict(source) for source in sources],
        "spool": dict(spool),
        "judge": dict(judge),
        "core": dict(core),
        "store": dict(store),
        "models": [dict(model) for model in models],
        "intake": dict(intake),
        "clock_behind": clock_behind,
        "certificates": dict(certificates or {}),
    }
    body["problems"] = problems(body)
    body["ok"] = not body["problems"]
    return body


Problem = dict[str, str]


def problems(body: Mapping[str, Any]) -> list[Problem]:
    """``[{"what", "detail", "remedy"}]``: ``what`` and ``remedy`` are gettext keys, ``detail`` names part and cause."""
    return [*_of_the_lines(body["sources"]), *_of_the_hall(body), *_of_certificates(body["certificates"])]


def _problem(what: str, detail: str, remedy: str) -> Problem:
    return {"what": what, "detail": detail, "remedy": remedy}


def _of_the_lines(sources: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    for source in sources:
        if not source["up"]:
            yield _problem(
                "Line is down",
                f"{source['name']}: {source['detail']}",
                "Check cable, power and address of the line.",
            )
        for device in source["devices"]:
            if source["up"] and device["state"] == "parked":
                yield _problem(
                    "Device does not answer",
                    f"{device['name']}: {device['detail']}",
                    "Check the device's power and unit id.",
                )


def _of_certificates(days: Mapping[str, float]) -> Iterator[Problem]:
    for file, left in days.items():
        if left < _RENEW:
            yield _problem(
                "Certificate has expired" if left <= 0 else "Certificate expires soon",
                f"{file}: {left:.0f} d",
                "Renew the file: a broker's is read at the next connection, the pages' at their next start.",
            )


def _of_the_hall(body: Mapping[str, Any]) -> Iterator[Problem]:
    spool, store, judge, core = body["spool"], body["store"], body["judge"], body["core"]
    if spool["full"]:
        yield _problem(
            "Disk is full",
            f"{spool['waiting']} samples wait in memory, {spool['shed'] + spool['refused']} are lost",
            "Make room on the disk of the state folder.",
        )
    if spool["bytes"] > _FULL * spool["max_bytes"]:
        full = f"{spool['bytes'] / spool['max_bytes']:.0%}"
        yield _problem(
            "Spool is filling up",
            full,
            "Bring the store back; at 100 % the oldest samples are shed and counted.",
        )
    if not store["connected"]:
        yield _problem(
            "Store is away",
            store["detail"],
            "Samples wait in the spool; check the store's address, service and credentials.",
        )
    elif store["lag"] > _BACKLOG:
        yield _problem(
            "Store is behind",
            f"{store['lag']:.0f} s",
            "It is catching up; if this grows, the store is too slow.",
        )
    if judge["trouble"]:
        yield _problem(
            "Ticket core is away",
            judge["trouble"],
            "Samples wait in the spool, and orders open late: check the database and the disk.",
        )
    elif core["trouble"]:
        yield _problem(
            "Ticket core is away",
            f"{core['waiting']} changes of alarms wait: {core['trouble']}",
            "Judging goes on, its alarms wait here and open their orders later: check the database.",
        )
    if judge["lag"] > _LAG and not judge["trouble"]:
        yield _problem(
            "Judge is behind",
            f"{judge['lag']:.0f} s",
            "The box is overloaded: raise periods or remove signals.",
        )
    if body["clock_behind"]:
        yield _problem(
            "Clock was set back",
            f"{body['clock_behind']:.0f} s",
            "Check time synchronisation, then restart the gateway.",
        )
