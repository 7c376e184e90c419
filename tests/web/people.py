"""People with accounts for the tests of the door: everybody's password is the same, hashed cheaply."""

from __future__ import annotations

from argon2 import PasswordHasher
from starlette.testclient import TestClient

from ticketing import Actor, Desk, Person, accounts, people, tokens
from ticketing.records import DAY

ADMIN = Actor("root", frozenset({"admin"}))
PASSWORD = "a long walk by the river"
SAME_ORIGIN = {"Origin": "http://localhost"}


def kept() -> str:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD, salt=b"0" * 16)


def add(desk: Desk, name: str, *roles: str, at: int, account: bool = True) -> None:
    """Somebody with an account; those of the site file get one."""
    with desk.transaction() as tx:
        if name not in {each.name for each in people.listed(tx)}:
            people.save(tx, ADMIN, Person(name, name.title(), roles or ("technician",)), at)
        if account:
            accounts.set_password(tx, ADMIN, name, kept(), at)


def token(desk: Desk, name: str, *scope: str, at: int, days: int = 1) -> dict[str, str]:
    """The header of a program that acts for ``name``."""
    with desk.transaction() as tx:
        mark = f"{name}{len(tokens.listed(tx))}".replace("-", "")
        text = tokens.create(
            tx,
            ADMIN,
            name,
            purpose="test",
            scope=scope or ("*",),
            expires_at=at + days * DAY,
            at=at,
            id=mark,
            secret="s" * 40,
        )
    return {"Authorization": f"Bearer {text}"}


def sign_in(client: TestClient, name: str, password: str = PASSWORD, **more: str):  # type: ignore[no-untyped-def]
    given = {"name": name, "password": password, **more}
    return client.post("/sign-in", data=given, headers=SAME_ORIGIN, follow_redirects=False)
