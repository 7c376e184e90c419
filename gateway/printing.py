"""A signed order as one self-contained page to print or keep: in both languages, with its hash and its signature.

There is no PDF library among our dependencies (one with Chinese fonts weighs more than all the rest): browsers print
this page to PDF. The JSON document is the original; the page names its SHA-256.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from gateway import i18n

STYLE = (
    "body{font:11pt/1.5 system-ui,'Noto Sans CJK SC',sans-serif;margin:2cm;color:#111}"
    "h1{font-size:16pt;margin:0}h2{font-size:12pt;margin:1.2em 0 .3em}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #999;padding:.2em .5em;text-align:left;"
    "vertical-align:top;font-weight:400}th{color:#555;white-space:nowrap}code{font-size:8.5pt;word-break:break-all}"
    "img{max-height:3cm}@page{margin:1.5cm}"
)
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


def page(document: str, seal: Mapping[str, Any] | None, images: Mapping[str, tuple[str, bytes]]) -> str:
    """The HTML of a document (``Reading.document``); ``images`` maps a sha256 to its type and bytes."""
    body = json.loads(document)
    order = body["order"]
    parts = [
        f"<h1>{escape(order['number'])} · {escape(order['title_zh'])}</h1>",
        f"<p>{escape(order['title_en'])}</p>" if order["title_en"] != order["title_zh"] else "",
        f"<p>{escape(order['description'])}</p>" if order["description"] else "",
        _table(_facts(order)),
        _section("任务 · Tasks", [_task(task) for task in body["tasks"]]),
        _section("费用 · Costs", [_cost(cost) for cost in body["costs"]]),
        _section(
            "审批 · Approvals",
            [
                (f"{a['level']} {a['role']}", a["decision"], a["by"] or "", _when(a["at"]))
                for a in body["approvals"]
            ],
        ),
        _section("附件 · Attachments", [(a["name"], a["by"], a["sha256"]) for a in body["attachments"]]),
        _section(
            "经过 · History",
            [(_when(e["at"]), _both("event", e["type"]), e["actor"], _fields(e)) for e in body["history"]],
        ),
        _signature(body, seal, images),
    ]
    title = escape(f"{order['number']} {order['title_zh']}")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="zh"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _facts(order: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name in SHOWN:
        if (value := order[name]) is not None:
            yield (
                _both("field", name),
                _when(value) if name.endswith(("_at", "_start", "_end")) else _value(name, value),
            )
    for name, value in order["custom"].items():
        yield name, str(value)


def _value(name: str, value: Any) -> str:
    if name in ("state", "type", "outcome", "stop_kind"):
        return _both(name, str(value))
    return f"P{value}" if name == "priority" else str(value)


def _task(task: Mapping[str, Any]) -> tuple[str, ...]:
    done = f"{_when(task['done_at'])} {task['done_by']}" if task["done_at"] else "—"
    return f"{task['text_zh']} · {task['text_en']}", f"{task['value'] or ''} {task['unit']}", done


def _cost(cost: Mapping[str, Any]) -> tuple[str, ...]:
    return cost["cost_kind"], f"¥{cost['cost_fen'] / 100:.2f}", cost["part_no"] or "", cost["comment"] or ""


def _fields(event: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in event["payload"].get("fields", {}).items())


def _signature(
    body: Mapping[str, Any], seal: Mapping[str, Any] | None, images: Mapping[str, tuple[str, bytes]]
) -> str:
    if seal is None:
        return "<h2>未签字 · Not signed</h2>"
    drawn = body["history"][-1]["payload"].get("fields", {}).get("signature")
    picture = ""
    if drawn in images:
        mime, data = images[drawn]
        picture = f'<p><img alt="" src="data:{escape(mime)};base64,{base64.b64encode(data).decode()}"></p>'
    rows = [
        ("签字人 · signed by", seal["by"]),
        ("时间 · at", _when(seal["at"])),
        ("方式 · how", seal["method"]),
    ]
    stamp = f"<p>SHA-256 <code>{escape(seal['document'])}</code></p>"
    return f"<h2>签字 · Signature</h2>{_table(rows)}{picture}{stamp}"


def _section(title: str, rows: list[tuple[str, ...]]) -> str:
    return f"<h2>{title}</h2>{_table(rows)}" if rows else ""


def _table(rows: Iterable[Iterable[object]]) -> str:
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in others)
        lines.append(f"<tr><th>{escape(str(first))}</th>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _both(kind: str, code: str) -> str:
    zh, en = (i18n.term(language, kind, code) for language in ("zh", "en"))
    return zh if zh == en else f"{zh} · {en}"


def _when(at: int | None) -> str:
    """UTC, said so: a paper travels."""
    return "" if at is None else datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
