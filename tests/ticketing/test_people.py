"""People and their accounts: who may sign in, how often, and what ends a session or a token."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.ticketing.scene import T0
from ticketing import (
    Actor,
    Desk,
    FieldError,
    ForbiddenError,
    NotFoundError,
    Person,
    accounts,
    door,
    passwords,
    people,
    sessions,
    tokens,
)
from ticketing.calendar import Calendar
from ticketing.records import DAY, HOUR, MINUTE

ADMIN = Actor("root", frozenset({"admin"}))
WANG = Person("wang", "王强", ("lead",), language="zh", skills=("bearings",), shift=Calendar("Asia/Shanghai"))
SPAN = sessions.Span()


def add(desk: Desk, person: Person, *, account: bool = True, at: int = T0) -> None:
    with desk.transaction() as tx:
        people.save(tx, ADMIN, person, at)
        if account:
            accounts.set_password(tx, ADMIN, person.name, "kept", at)


def come_in(desk: Desk, name: str, secret: str, at: int, address: str = "10.0.0.5") -> None:
    with desk.transaction() as tx:
        accounts.signed_in(tx, name, secret, at, address=address, agent="Firefox")


def wrong(desk: Desk, name: str, at: int, address: str = "10.0.0.9") -> None:
    with desk.transaction() as tx:
        accounts.failed(tx, name, at, address)


def waits(desk: Desk, name: str, at: int, address: str = "10.0.0.9") -> int:
    with desk.read() as read:
        return accounts.wait(read, name, address, at)


def session(desk: Desk, secret: str, at: int) -> sessions.Session | None:
    with desk.read() as read:
        return sessions.find(read, secret, at, SPAN)


def test_a_person_reads_as_it_was_written(desk: Desk) -> None:
    add(desk, WANG, account=False)
    with desk.read() as read:
        assert people.get(read, "wang") == WANG
        assert people.accounts(read) == 0
    monday_nine, monday_night = 1_767_574_800_000, 1_767_625_200_000  # 2026-01-05 09:00 and 23:00 in Shanghai
    assert WANG.on_shift(monday_nine)
    assert not WANG.on_shift(monday_night)
    assert replace(WANG, shift=None).on_shift(monday_night)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Wang Qiang"}, "name"),
        ({"name": "engine"}, "name"),
        ({"title": " "}, "title"),
        ({"roles": ()}, "roles"),
        ({"roles": ("boss",)}, "roles"),
        ({"email": "wang"}, "email"),
        ({"email": "a@b.c\nBcc: x@y.z"}, "email"),
    ],
)
def test_a_wrong_person_is_refused_by_field(desk: Desk, change: dict[str, object], field: str) -> None:
    with desk.transaction() as tx, pytest.raises(FieldError) as refused:
        people.save(tx, ADMIN, replace(WANG, **change), T0)  # type: ignore[arg-type]
    assert refused.value.fields == (field,)


def test_only_an_admin_keeps_people(desk: Desk) -> None:
    with desk.transaction() as tx, pytest.raises(ForbiddenError):
        people.save(tx, WANG.actor(), WANG, T0)


def test_those_of_the_file_are_kept_by_the_file(desk: Desk) -> None:
    add(desk, replace(WANG, name="zhao"))
    with desk.transaction() as tx:
        people.sync(tx, [WANG], T0)
        accounts.set_password(tx, ADMIN, "wang", "kept", T0)
        sessions.open_session(tx, "s", "wang", T0, address="", agent="")
        with pytest.raises(FieldError, match=r"people\.toml"):
            people.save(tx, ADMIN, replace(WANG, roles=("viewer",)), T0)
    with desk.transaction() as tx:
        people.sync(tx, [WANG], T0)  # nothing changed: nobody is signed out
    assert session(desk, "s", T0) is not None
    with desk.transaction() as tx:
        people.sync(tx, [], T0)
    with desk.read() as read:
        assert [each.name for each in people.listed(read)] == ["zhao"]
        assert people.get(read, "wang").active is False
    assert session(desk, "s", T0) is None


@pytest.mark.parametrize("change", [{"roles": ("viewer",)}, {"active": False}])
def test_another_role_or_leaving_ends_every_session(desk: Desk, change: dict[str, object]) -> None:
    add(desk, WANG)
    come_in(desk, "wang", "s", T0)
    add(desk, replace(WANG, title="王强(班长)"), account=False)
    assert session(desk, "s", T0) is not None
    add(desk, replace(WANG, **change), account=False)  # type: ignore[arg-type]
    assert session(desk, "s", T0) is None


def test_a_new_password_ends_every_session(desk: Desk) -> None:
    add(desk, WANG)
    come_in(desk, "wang", "s", T0)
    with desk.transaction() as tx:
        accounts.set_password(tx, WANG.actor(), "wang", "other", T0)
    assert session(desk, "s", T0) is None
    with desk.transaction() as tx, pytest.raises(ForbiddenError):
        accounts.set_password(tx, WANG.actor(), "root", "other", T0)


def test_the_last_admin_who_can_sign_in_stays(desk: Desk) -> None:
    add(desk, replace(WANG, name="first", roles=("admin",)))
    add(desk, WANG)
    with desk.transaction() as tx, pytest.raises(FieldError, match="the last admin"):
        people.save(tx, ADMIN, replace(WANG, name="first", roles=("lead",)), T0)
    add(desk, replace(WANG, name="second", roles=("admin", "lead")))
    add(desk, replace(WANG, name="first", roles=("lead",)), account=False)


def test_a_session_ends_when_idle_and_at_the_end_of_the_day(desk: Desk) -> None:
    add(desk, WANG)
    come_in(desk, "wang", "s", T0)
    assert session(desk, "s", T0 + 30 * MINUTE - 1) is not None
    assert session(desk, "s", T0 + 30 * MINUTE) is None
    assert session(desk, "another", T0) is None
    for at in range(T0, T0 + 12 * HOUR, 20 * MINUTE):
        found = session(desk, "s", at)
        assert found is not None
        with desk.transaction() as tx:
            sessions.touch(tx, found, at)
    assert session(desk, "s", T0 + 12 * HOUR) is None
    with desk.transaction() as tx:
        sessions.sweep(tx, T0 + 12 * HOUR, SPAN)
        assert sessions.listed(tx, "wang", T0, SPAN) == []


def test_secrets_are_kept_as_hashes_only(desk: Desk) -> None:
    add(desk, WANG)
    come_in(desk, "wang", "a-session-secret", T0)
    given = make_token(desk)
    with desk.read() as read:
        for table in ("session", "token", "person", "door_event"):
            rows = str(read.connection.execute(text(f"SELECT * FROM {table}")).all())
            assert "a-session-secret" not in rows
            assert given.rpartition("_")[2] not in rows


def test_wrong_passwords_make_waiting_longer_and_never_for_ever(desk: Desk) -> None:
    at, waited = T0, []
    for _ in range(12):
        waited.append(waits(desk, "wang", at))
        at += waited[-1]
        wrong(desk, "wang", at)
    assert waited[:5] == [0] * 5
    assert waited[5:9] == [4_000, 8_000, 16_000, 32_000]
    assert waits(desk, "wang", at + 10 * MINUTE) == 0
    assert waits(desk, "wang", at, address="10.0.0.5") == 0  # another device, fewer than 20 tries


def test_an_attack_gets_twenty_tries_an_hour_and_the_known_device_passes(desk: Desk) -> None:
    add(desk, WANG)
    come_in(desk, "wang", "s", T0 - DAY, address="10.0.0.5")
    tried = 0
    for second in range(3_599):
        at, address = T0 + second * 1000, f"10.1.0.{second % 200}"
        if waits(desk, "wang", at, address) == 0:
            tried += 1
            wrong(desk, "wang", at, address)
        elif tried >= 20:
            break
    assert tried == 20
    assert waits(desk, "wang", at, "10.1.0.201") > 50 * MINUTE
    assert waits(desk, "wang", at, "10.0.0.5") == 0
    assert waits(desk, "wang", T0 + 2 * HOUR, "10.1.0.201") == 0


def test_an_address_that_tries_many_names_waits(desk: Desk) -> None:
    for n in range(60):
        wrong(desk, f"name-{n}", T0 + n)
    assert waits(desk, "name-60", T0 + 60) > 0
    assert waits(desk, "name-60", T0 + 60, address="10.0.0.5") == 0


def test_a_password_is_kept_with_its_figures_and_matches_only_itself() -> None:
    kept = passwords.hashed("轴承温度 too high 7", b"0" * 16)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.matches(kept, "轴承温度 too high 7")
    assert not passwords.matches(kept, "轴承温度 too high 8")
    assert not passwords.matches(kept, "轴承温度 too high 7" + " " * 300)
    assert not passwords.matches(None, "")
    assert not passwords.matches("scrypt$5$8$1$x$y", "轴承温度 too high 7")
    assert not passwords.outdated(kept)
    assert passwords.outdated(kept.replace("t=2", "t=1"))
    older = kept.replace("m=19456", "m=19455")
    assert not passwords.matches(older, "轴承温度 too high 7")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "12 to 256"),
        ("x" * 257, "12 to 256"),
        ("aaaaaaaaaaaaaa", "tried first"),
        ("Password1234", "tried first"),
        ("Wang-Qiang-2024", "more than 'wang-qiang'"),
        ("watchkeeper1", "more than 'watchkeeper'"),
        ("woaini520520", "tried first"),
        ("1qaz2wsx3edc", "tried first"),
        ("P@ssw0rd2026!", "tried first"),
    ],
)
def test_a_password_that_is_tried_first_is_refused(password: str, why: str) -> None:
    assert why in (passwords.weakness(password, ["wang-qiang", "demo"]) or "")


@pytest.mark.parametrize(
    "password", ["correct horse battery", "水泵水泵轴承振动温度压力流量", "a b c d " * 30]
)
def test_a_long_password_of_any_characters_will_do(password: str) -> None:
    assert passwords.weakness(password, ["wang", "demo"]) is None


def make_token(desk: Desk, **more: object) -> str:
    wanted = {
        "purpose": "ERP",
        "scope": ["order.*"],
        "expires_at": T0 + DAY,
        "id": "abc",
        "secret": "xyz_secret",
    }
    with desk.transaction() as tx:
        return tokens.create(tx, WANG.actor(), "wang", at=T0, **(wanted | more))  # type: ignore[arg-type]


def test_a_token_opens_until_its_date_or_until_it_is_taken_back(desk: Desk) -> None:
    add(desk, WANG)
    given = make_token(desk)
    assert given == "watchkeeper_abc_xyz_secret"
    with desk.read() as read:
        assert (found := tokens.find(read, given, T0 + DAY - 1)) is not None
        assert (found[0].name, found[1].scope) == ("wang", ("order.*",))
        assert tokens.find(read, given, T0 + DAY) is None
        for broken in (
            "",
            "watchkeeper",
            "watchkeeper_abc",
            given[:-1],
            f"{given}1",
            f"x{given}",
            given.upper(),
        ):
            assert tokens.find(read, broken, T0) is None
    with desk.transaction() as tx:
        with pytest.raises(ForbiddenError):
            tokens.revoke(tx, Actor("li", frozenset({"lead"})), "abc", T0)
        tokens.revoke(tx, WANG.actor(), "abc", T0)
        assert tokens.find(tx, given, T0) is None
        with pytest.raises(NotFoundError):
            tokens.revoke(tx, ADMIN, "abc", T0)


def test_a_token_of_somebody_who_left_is_dead(desk: Desk) -> None:
    add(desk, WANG)
    given = make_token(desk)
    add(desk, replace(WANG, active=False), account=False)
    with desk.read() as read:
        assert tokens.find(read, given, T0) is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"scope": []}, "scope"),
        ({"scope": ["everything"]}, "scope"),
        ({"expires_at": T0}, "expires_at"),
        ({"expires_at": T0 + 367 * DAY}, "expires_at"),
    ],
)
def test_a_token_needs_a_scope_and_an_end(desk: Desk, wrong: dict[str, object], field: str) -> None:
    add(desk, WANG)
    with pytest.raises(FieldError) as refused:
        make_token(desk, **wrong)
    assert refused.value.fields == (field,)


def test_a_token_for_somebody_else_is_an_admins_to_make(desk: Desk) -> None:
    add(desk, WANG)
    with desk.transaction() as tx, pytest.raises(ForbiddenError):
        tokens.create(
            tx, Actor("li"), "wang", purpose="", scope=["*"], expires_at=T0 + 1, at=T0, id="a", secret="b"
        )


def test_the_book_of_the_door_is_whole_and_never_changes(desk: Desk) -> None:
    add(desk, WANG)
    come_in(desk, "wang", "s", T0)
    wrong(desk, "wang", T0)
    make_token(desk)
    with desk.read() as read:
        assert [line.type for line in reversed(door.listed(read))] == [
            "person_added",
            "password_set",
            "signed_in",
            "sign_in_failed",
            "token_made",
        ]
        assert (door.verify(read).length, door.verify(read).broken) == (5, None)
    for change in ("UPDATE door_event SET actor = 'x'", "DELETE FROM door_event"):
        with pytest.raises(DBAPIError, match="append-only"), desk.transaction() as tx:
            tx.connection.execute(text(change))


def test_a_changed_line_of_the_book_is_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    desk = Desk.open(tmp_path_factory.mktemp("book") / "core.db", site="demo")
    for n in range(3):
        wrong(desk, f"name-{n}", T0 + n)
    with desk.transaction() as tx:
        tx.connection.execute(text("DROP TRIGGER door_event_update"))
        tx.connection.execute(text("UPDATE door_event SET name = 'other' WHERE seq = 2"))
    with desk.read() as read:
        assert door.verify(read).broken == 2
    desk.close()
