"""The paper as one self-contained page: nothing is loaded, nothing runs, every text is escaped."""

from __future__ import annotations

import base64
from html import escape

from ticketing.printing.layout import Paper, Rows

STYLE = (
    "body{font:11pt/1.5 system-ui,'Noto Sans CJK SC',sans-serif;margin:2cm;color:#111}"
    "h1{font-size:16pt;margin:0}h2{font-size:12pt;margin:1.2em 0 .3em}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #999;padding:.2em .5em;text-align:left;"
    "vertical-align:top;font-weight:400}th{color:#555;white-space:nowrap}code{font-size:8.5pt;word-break:break-all}"
    "img{max-height:3cm}@page{margin:1.5cm}"
)


def page(paper: Paper) -> str:
    """One page to print or keep; it names the SHA-256 of the JSON document."""
    signed, rows = paper.signature
    parts = [
        f"<h1>{escape(paper.title)}</h1>",
        f"<p>{escape(paper.subtitle)}</p>" if paper.subtitle else "",
        f"<p>{escape(paper.text)}</p>" if paper.text else "",
        *(_section(title, rows) for title, rows in paper.sections),
        _section(signed, rows),
        _picture(paper),
        f"<p>SHA-256 <code>{paper.sha256}</code></p>",
        _section(*paper.history),
    ]
    head = f'<meta charset="utf-8"><title>{escape(paper.title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="zh"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _picture(paper: Paper) -> str:
    if paper.picture is None:
        return ""
    mime, data = paper.picture
    return f'<p><img alt="" src="data:{escape(mime)};base64,{base64.b64encode(data).decode()}"></p>'


def _section(title: str, rows: Rows) -> str:
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        lines.append(f"<tr><th>{escape(first)}</th>{cells}</tr>")
    return f"<h2>{title}</h2><table>{''.join(lines)}</table>"
