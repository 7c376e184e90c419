"""The door: who is asking. A session's cookie, a program's token, or (while nobody can sign in) whoever sits here."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request, Response

from gateway.web.settings import WebSettings
from ticketing import Actor, Desk, ForbiddenError, people, sessions, tokens

# While only this machine can come and nobody can sign in, whoever sits there is this lead, or says who they are.
LOCAL = Actor("local", frozenset({"lead", "technician", "engineer"}))
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What open pages ask by themselves keeps nobody signed in.
AUTOMATIC = frozenset({"/api/pulse", "/api/live"})
WRITTEN = 60_000  # ms between two notes of a session's use
WAITING = 8  # passwords that may wait to be checked


class SignInNeededError(Exception):
    """Nobody is known by what the request carries."""


class BusyError(Exception):
    """Too many passwords are waiting to be checked, or too many were wrong; ``seconds`` until the next try."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"try again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and by what: the ``session`` of a browser, a program's token, or (neither) by sitting here."""

    actor: Actor
    session: sessions.Session | None = None


class Door:
    """Tells visitors by their cookies and tokens, and lets them in by their passwords."""

    def __init__(self, desk: Desk, settings: WebSettings) -> None:
        self.desk, self.settings = desk, settings
        self.cookie = "__Host-session" if settings.secure else "session"
        self.span = sessions.Span(_ms(settings.idle), _ms(settings.session))
        self._room = threading.BoundedSemaphore(WAITING)
        self._turn = threading.Lock()

    def visitor(self, request: Request, now: int) -> Visitor:
        """Whoever sent the request; SignInNeededError."""
        if (header := request.headers.get("authorization")) is not None:
            return self._program(header, now)
        if secret := request.cookies.get(self.cookie):
            return self._browser(request, secret, now)
        if self.unguarded():
            return Visitor(self._said(request))
        raise SignInNeededError

    def unguarded(self) -> bool:
        """Whether the pages are open: only this machine can come, and nobody can sign in yet."""
        if not self.settings.private:
            return False
        with self.desk.read() as read:
            return people.accounts(read) == 0

    def still_in(self, visitor: Visitor, now: int) -> bool:
        """Whether a long answer may go on: the session did not end meanwhile."""
        if visitor.session is None:
            return True
        with self.desk.read() as read:
            return sessions.holds(read, visitor.session, now, self.span)

    def let_in(self, answer: Response, secret: str) -> None:
        """Hand the browser its session; the cookie ends with the browser, our session by itself."""
        answer.set_cookie(
            self.cookie, secret, path="/", secure=self.settings.secure, httponly=True, samesite="strict"
        )

    def forget(self, answer: Response) -> None:
        """Take the session back from the browser."""
        answer.delete_cookie(
            self.cookie, path="/", secure=self.settings.secure, httponly=True, samesite="strict"
        )

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Passwords are checked one by one: each takes 16 MiB and a fifth of a second. BusyError."""
        if not self._room.acquire(blocking=False):
            raise BusyError(5)
        try:
            with self._turn:
                yield
        finally:
            self._room.release()

    def _program(self, header: str, now: int) -> Visitor:
        scheme, _, text = header.partition(" ")
        with self.desk.read() as read:
            found = tokens.find(read, text.strip(), now) if scheme.lower() == "bearer" else None
        if found is None:
            raise SignInNeededError
        owner, token = found
        if now - (token.used_at or 0) > WRITTEN:
            with self.desk.transaction() as tx:
                tokens.used(tx, token, now)
        return Visitor(owner.actor(frozenset(token.scope)))

    def _browser(self, request: Request, secret: str, now: int) -> Visitor:
        with self.desk.read() as read:
            session = sessions.find(read, secret, now, self.span)
            person = people.get(read, session.name) if session else None
        if session is None or person is None:
            raise SignInNeededError
        said = "origin" in request.headers or "sec-fetch-site" in request.headers
        if request.method not in SAFE and not said:  # the guard has checked what they say
            raise ForbiddenError("a browser says where a change comes from; a program brings a token")
        if now - session.seen_at > WRITTEN and request.url.path not in AUTOMATIC:
            with self.desk.transaction() as tx:
                sessions.touch(tx, session, now)
        return Visitor(person.actor(), session)

    def _said(self, request: Request) -> Actor:
        name = request.cookies.get("who", "")
        with self.desk.read() as read:
            person = next((each for each in people.listed(read) if each.name == name), None)
        return person.actor() if person else LOCAL


def fresh_secret() -> str:
    """256 random bits for a session."""
    return secrets.token_urlsafe(32)


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
