"""What stands on an order's paper: its facts, tasks, costs, approvals, files and history, who signed, and the hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ticketing import attachments, signing
from ticketing.codes import CAUSES, FAILURE_MODES, MECHANISMS, REMEDIES, Codes
from ticketing.errors import NotFoundError
from ticketing.reading import Reading

Words = Callable[[str, str], str]  # (kind, code) → what people call it, in both languages
Rows = tuple[tuple[str, ...], ...]
SHOWN = (
    "state",
    "priority",
    "type",
    "asset",
    "failure_mode",
    "opened_at",
    "requester",
    "assignee",
    "accepted_at",
    "resolved_at",
    "closed_at",
    "symptom",
    "mechanism",
    "cause",
    "remedy",
    "outcome",
    "stop_kind",
    "downtime_start",
    "downtime_end",
    "stars",
    "reopen_count",
)
NAMED: Mapping[str, Codes] = {
    "failure_mode": FAILURE_MODES,
    "symptom": FAILURE_MODES,
    "mechanism": MECHANISMS,
    "cause": CAUSES,
    "remedy": REMEDIES,
}
# What would not be seen, or would turn the reading order of what stands beside it.
UNSEEN = dict.fromkeys((*range(32), 127, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd") | {
    ord("\n"): "\n",
    ord("\t"): " ",
    ord("\r"): "",
}


@dataclass(frozen=True, slots=True)
class Paper:
    """``document`` is the JSON that was signed and ``sha256`` its hash; ``picture`` the type and bytes of a drawn
    signature."""

    number: str
    title: str
    subtitle: str
    text: str
    sections: tuple[tuple[str, Rows], ...]
    signature: tuple[str, Rows]
    history: tuple[str, Rows]
    picture: tuple[str, bytes] | None
    document: str
    sha256: str


def lay_out(read: Reading, number: str, words: Words) -> Paper:
    """The paper of an order, as it was signed; of one without a signature, as it stands."""
    document = signing.document(read, number)
    try:
        seal = signing.seal_of(read, number)
    except NotFoundError:
        seal = None
    body = json.loads(document)
    order = body["order"]
    second = order["title_en"] if order["title_en"] != order["title_zh"] else ""
    sections = (
        ("", list(_facts(order, words))),
        ("任务 · Tasks", [_task(task) for task in body["tasks"]]),
        ("费用 · Costs", [_cost(cost, words) for cost in body["costs"]]),
        ("审批 · Approvals", [_approval(each, words) for each in body["approvals"]]),
        ("附件 · Attachments", [(a["name"], a["by"], a["sha256"]) for a in body["attachments"]]),
    )
    digest = hashlib.sha256(document.encode()).hexdigest()
    return Paper(
        number=number,
        title=_plain(f"{number} · {order['title_zh']}"),
        subtitle=_plain(second),
        text=_plain(order["description"]),
        sections=tuple((title, _rows(rows)) for title, rows in sections if rows),
        signature=_signature(seal, digest, words),
        history=("经过 · History", _rows(_event(event, words) for event in body["history"])),
        picture=_picture(read, number, body) if seal else None,
        document=document,
        sha256=digest,
    )


def _facts(order: Mapping[str, Any], words: Words) -> Iterable[tuple[str, str]]:
    for name in SHOWN:
        if (value := order[name]) is not None:
            time = name.endswith(("_at", "_start", "_end"))
            yield words("field", name), _when(value) if time else _value(name, value, words)
    for name, value in order["custom"].items():
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _value(name: str, value: Any, words: Words) -> str:
    if name in ("state", "type", "outcome", "stop_kind"):
        return words(name, str(value))
    if (known := NAMED.get(name, {}).get(value)) is not None:
        return f"{value} {known.zh} · {known.en}"
    return f"P{value}" if name == "priority" else str(value)


def _task(task: Mapping[str, Any]) -> tuple[str, ...]:
    done = f"{_when(task['done_at'])} {task['done_by']}" if task["done_at"] else "—"
    text = " · ".join(dict.fromkeys((task["text_zh"], task["text_en"])))
    return text, f"{task['value'] or ''} {task['unit']}", done


def _cost(cost: Mapping[str, Any], words: Words) -> tuple[str, ...]:
    kind = words("cost_kind", cost["cost_kind"])
    return kind, f"¥{cost['cost_fen'] / 100:.2f}", cost["part_no"] or "", cost["comment"] or ""


def _approval(each: Mapping[str, Any], words: Words) -> tuple[str, ...]:
    return (
        f"{each['level']} {words('role', each['role'])}",
        each["decision"],
        each["by"] or "",
        _when(each["at"]),
    )


def _event(event: Mapping[str, Any], words: Words) -> tuple[str, ...]:
    given = event["payload"].get("fields", {})
    fields = ", ".join(f"{name}={value}" for name, value in given.items())
    return _when(event["at"]), words("event", event["type"]), event["actor"], fields


def _signature(seal: Mapping[str, Any] | None, digest: str, words: Words) -> tuple[str, Rows]:
    if seal is None:
        return "未签字 · Not signed", ()
    rows = [
        ("签字人 · signed by", seal["by"]),
        ("时间 · at", _when(seal["at"])),
        ("方式 · how", words("signed", seal["method"])),
    ]
    if seal["document"] != digest:
        rows.append(("与所签内容不符 · NOT what was signed", f"SHA-256 {seal['document']}"))
    return "签字 · Signature", _rows(rows)


def _picture(read: Reading, number: str, body: Mapping[str, Any]) -> tuple[str, bytes] | None:
    drawn = body["history"][-1]["payload"].get("fields", {}).get("signature")
    for each in attachments.listed(read, number):
        if each.sha256 == drawn and each.mime.startswith("image/"):
            return each.mime, attachments.data_of(read, number, each.sha256)
    return None


def _rows(rows: Iterable[Iterable[str]]) -> Rows:
    return tuple(tuple(_plain(cell) for cell in row) for row in rows)


def _plain(text: str) -> str:
    return text.translate(UNSEEN)


def _when(at: int | None) -> str:
    """UTC, said so: a paper travels."""
    return "" if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
