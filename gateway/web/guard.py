"""What every answer carries and every request must pass, whatever the route."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Styles and scripts come from our own files only; charts set sizes through the DOM, which this allows.
CONTENT_SECURITY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LARGEST_BODY = 1 << 20
LARGEST_FILE = 16 << 20
TAKE_FILES = ("/attachments", "/imports")  # what an address that takes files ends with


class Guard:
    """Security headers on each answer; foreign hosts, cross-site changes and huge bodies are turned away.

    ``hosts`` are the names this server answers to, without port (stops DNS rebinding). ``X-Forwarded-*`` is not read.
    ``secure``: browsers come by HTTPS and are to keep to it for a day.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, secure: bool = False) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.headers = HEADERS | ({"Strict-Transport-Security": "max-age=86400"} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        largest = LARGEST_FILE if scope["path"].endswith(TAKE_FILES) else LARGEST_BODY
        refusal = self.refuse(scope["method"], Headers(scope=scope), largest)
        await (refusal or self.app)(scope, receive, send_guarded)

    def refuse(self, method: str, headers: Headers, largest: int) -> PlainTextResponse | None:
        """The answer to a request that may not pass; None when it may."""
        host = headers.get("host", "")
        if _name(host) not in self.hosts:
            return PlainTextResponse("This server does not answer to that host name.\n", 421)
        if method in SAFE:
            return None
        if not _same_origin(headers, host):
            return PlainTextResponse("Changes are accepted from this site's own pages only.\n", 403)
        length = headers.get("content-length", "")
        if not length.isdigit():
            return PlainTextResponse("A change states its length.\n", 411)
        if int(length) > largest:
            return PlainTextResponse("The request is too large.\n", 413)
        return None


def _name(host: str) -> str:
    return (urlsplit(f"//{host}").hostname or "").lower()


def _same_origin(headers: Headers, host: str) -> bool:
    """A browser says where a change comes from; a program that says nothing carries no cookie to be abused."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host
