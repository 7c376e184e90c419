"""Turns a template and values into an answer in the reader's language and theme."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from devices.batch import Reason
from gateway import i18n
from gateway.i18n import Language
from gateway.site import Site
from gateway.wording import asset_name, class_name, number, person_name, signal_name, signal_unit, unit

HERE = Path(__file__).parent
STATIC = HERE / "static"
THEMES = ("auto", "light", "dark")


class Renderer:
    """One template environment; ``page`` renders for the request's reader."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters |= {
            "number": number,
            "iso": iso,
            "unit": unit,
            "script": script,
            "size": size,
            "span": span,
            "whole": whole,
        }
        self.environment.globals |= {"static": _versioned(), "severities": (4, 3, 2, 1)}

    def page(self, request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
        """``template`` with ``values`` and what every page knows."""
        language = reader_language(self.site, request)
        theme = request.cookies.get("theme", "auto")
        context = {
            "_": i18n.speaker(language),
            "term": lambda kind, code: i18n.term(language, kind, str(code)),
            "lang": language,
            "theme": theme if theme in THEMES else "auto",
            "status": status,
            "path": request.url.path,
            "query": request.url.query,
            "site": self.site,
            "now": time.time_ns() // 1_000_000,
            "asset_name": lambda asset: asset_name(self.site, asset, language),
            "signal_name": lambda signal: signal_name(self.site, signal, language),
            "signal_unit": lambda signal: signal_unit(self.site, signal),
            "class_name": lambda asset: class_name(self.site, asset, language),
            "qualities": {
                reason.name.lower(): i18n.term(language, "quality", reason.name.lower()) for reason in Reason
            },
            "person": lambda key: person_name(self.site, key, language),
            "visitor": getattr(request.state, "visitor", None),  # None: at the door
            "say": lambda thing, field: (
                thing[f"{field}_{language}"]
                if isinstance(thing, dict)
                else getattr(thing, f"{field}_{language}")
            ),
        }
        text = self.environment.get_template(template).render(context | values)
        return HTMLResponse(
            text, status, {"Cache-Control": "private, no-cache", "Vary": "Accept-Language, Cookie"}
        )


def reader_language(site: Site, request: Request) -> Language:
    """The reader's: their choice, else the browser's, else the site's."""
    return i18n.choose(
        request.cookies.get("lang"), request.headers.get("accept-language"), site.site.language
    )


def iso(milliseconds: int) -> str:
    """UTC ms as ISO 8601; the browser shows it as local time."""
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def span(seconds: float | None) -> str:
    """A duration as a short figure: ``850 µs``, ``12 ms``, ``3.2 s``, ``5 min``, ``4 h``."""
    if seconds is None:
        return "–"
    for length, word in ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if seconds >= (2 * length if length > 1 else length):
            return f"{number(seconds / length, 3)} {word}"
    return f"{number(seconds * 1e6, 3)} µs" if seconds else "0 s"


def size(amount: float) -> str:
    """Bytes as KiB, MiB, GiB."""
    for word in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{number(amount, 3)} {word}"
        amount /= 1024
    return f"{number(amount, 3)} GiB"


def whole(count: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")


def script(value: Any) -> Markup:
    """JSON that may stand inside a ``<script type="application/json">``; absent numbers are null."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704  # nothing in it can end the element


def _versioned() -> Any:
    """``static(name)``: an address that changes when the file does, so that browsers may keep it for good."""
    marks = {
        str(path.relative_to(STATIC)): hashlib.sha256(path.read_bytes()).hexdigest()[:10]
        for path in STATIC.rglob("*")
        if path.is_file() and path.suffix != ".gz"
    }

    def static(name: str) -> str:
        return f"/static/{name}?v={marks[name]}"

    return static


class StaticAssets(StaticFiles):
    """Built files go out as the gzip beside them; an address with its version is kept for a year."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        headers = dict(scope["headers"])
        zipped = path.startswith("dist/") and b"gzip" in headers.get(b"accept-encoding", b"")
        response = await super().get_response(f"{path}.gz" if zipped else path, scope)
        if zipped:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        kept = (
            "public, max-age=31536000, immutable" if scope["query_string"].startswith(b"v=") else "no-cache"
        )
        response.headers["Cache-Control"] = kept
        return response
