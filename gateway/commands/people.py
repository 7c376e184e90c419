"""`people`, `permissions`: who may sign in, as what, and by which tokens; made on the gateway itself."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, AtSite, acting, fail, now_ms, refusals, staffed

if TYPE_CHECKING:
    from ticketing import Desk

app = typer.Typer()
people_app = typer.Typer(
    help="People and their accounts: who may sign in, in which roles, and tokens for programs.",
    no_args_is_help=True,
)
token_app = typer.Typer(help="Tokens for programs that use the API.", no_args_is_help=True)
people_app.add_typer(token_app, name="token")
app.add_typer(people_app, name="people")
Name = Annotated[str, typer.Argument(metavar="NAME", help="what they sign in with")]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="read the password from standard input, one line")
]
DAY = 86_400_000  # ms


@people_app.command("list")
def people_list(site: AtSite = None, as_json: AsJson = False) -> None:
    """Everybody, with roles, skills and whether they can sign in."""
    from dataclasses import asdict

    from gateway.show import table
    from ticketing import people

    with staffed(site).read() as read:
        found = people.listed(read, active=False)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
        return
    rows = [
        [
            each.name,
            each.title,
            ", ".join(each.roles),
            each.team or "–",
            ", ".join(each.skills) or "–",
            "people.toml" if each.origin == "file" else "command",
            "left" if not each.active else "yes" if each.account else "no password",
        ]
        for each in found
    ]
    table(["name", "called", "roles", "team", "skills", "kept by", "signs in"], rows)
    if not any(each.account and each.active for each in found):
        typer.echo("Nobody can sign in: the pages are open to whoever sits at this machine.")


@people_app.command("add")
def people_add(
    name: Name,
    *,
    role: Annotated[list[str], typer.Option("--role", help="a role; say it again for a second one")],
    site: AtSite = None,
    called: Annotated[str, typer.Option(help="what others read; otherwise the name")] = "",
    email: Annotated[str, typer.Option(help="where messages go")] = "",
    team: Annotated[str, typer.Option(help="their team")] = "",
    skill: Annotated[list[str] | None, typer.Option("--skill", help="a skill; again for more")] = None,
    password_stdin: FromInput = False,
) -> None:
    """Somebody new with an account, or other roles for somebody that a command added; asks for the password."""
    from dataclasses import replace

    from ticketing import Person, accounts, people

    desk = staffed(site)
    said: dict[str, Any] = {"title": called, "email": email, "team": team, "skills": tuple(skill or ())}
    with refusals():
        with desk.read() as read:
            known = next((each for each in people.listed(read, active=False) if each.name == name), None)
        before = known or Person(name, name)
        given = {field: value for field, value in said.items() if value}
        kept = None if before.account else _new_password(desk, name, password_stdin)
        with desk.transaction() as tx:
            after = replace(before, roles=tuple(role), active=True, **given)
            people.save(tx, acting(desk, None), after, now_ms())
            if kept:
                accounts.set_password(tx, acting(desk, None), name, kept, now_ms())
    typer.echo(f"{name} is {', '.join(sorted(role))}" + (" and can sign in" if kept else ""))


@people_app.command("password")
def people_password(name: Name, site: AtSite = None, password_stdin: FromInput = False) -> None:
    """A new password for somebody; they are signed out everywhere."""
    from ticketing import accounts

    desk = staffed(site)
    with refusals():
        kept = _new_password(desk, name, password_stdin)
        with desk.transaction() as tx:
            accounts.set_password(tx, acting(desk, None), name, kept, now_ms())
    typer.echo(f"{name} has a new password")


@people_app.command("remove")
def people_remove(name: Name, site: AtSite = None) -> None:
    """Somebody left: no sign-in, no token works any more; the history goes on naming them."""
    from dataclasses import replace

    from ticketing import people

    desk = staffed(site)
    with refusals(), desk.transaction() as tx:
        people.save(tx, acting(desk, None), replace(people.get(tx, name), active=False), now_ms())
    typer.echo(f"{name} can no longer sign in")


@people_app.command("log")
def people_log(
    site: AtSite = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many lines")] = 50,
    as_json: AsJson = False,
) -> None:
    """What happened at the door, newest first, and whether the book is whole; exit 1 if it is not."""
    from dataclasses import asdict

    from gateway.show import table, when
    from ticketing import door

    with staffed(site).read() as read:
        lines, chain = door.listed(read, limit=limit), door.verify(read)
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=2))
    else:
        table(
            ["time", "who", "did", "to", "from"],
            [[when(line.at), line.actor, line.type, line.name, line.address or "–"] for line in lines],
        )
    if chain.broken:
        fail(f"the book is broken: {chain.why}", 1)


@token_app.command("make")
def token_make(
    name: Name,
    scope: Annotated[
        list[str], typer.Option("--scope", help="a permission such as kpi.read, or order.*; again for more")
    ],
    site: AtSite = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="it ends after so many")] = 90,
    purpose: Annotated[str, typer.Option("--for", help="which program it is for")] = "",
) -> None:
    """A token that acts for somebody; it is shown once."""
    import secrets

    from ticketing import tokens

    desk = staffed(site)
    with refusals(), desk.transaction() as tx:
        now = now_ms()
        text = tokens.create(
            tx,
            acting(desk, None),
            name,
            purpose=purpose,
            scope=scope,
            expires_at=now + days * DAY,
            at=now,
            id=secrets.token_hex(6),
            secret=secrets.token_urlsafe(32),
        )
    typer.echo(text)
    typer.echo(f"shown once; it ends in {days} days. Send it as: Authorization: Bearer …", err=True)


@token_app.command("list")
def token_list(site: AtSite = None) -> None:
    """All tokens, without their secrets."""
    from gateway.show import table, when
    from ticketing import tokens

    with staffed(site).read() as read:
        found = tokens.listed(read)
    rows = [
        (each.id, each.name, each.purpose, " ".join(each.scope), when(each.expires_at), when(each.used_at))
        for each in found
    ]
    table(["token", "acts for", "for", "may", "ends", "last used"], rows)


@token_app.command("revoke")
def token_revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="as `people token list` shows it")],
    site: AtSite = None,
) -> None:
    """Take a token back; it is dead at once."""
    from ticketing import tokens

    desk = staffed(site)
    with refusals(), desk.transaction() as tx:
        tokens.revoke(tx, acting(desk, None), token, now_ms())
    typer.echo(f"{token} opens nothing any more")


@app.command()
def permissions(as_json: AsJson = False) -> None:
    """Who may do what: the one table that the API, the pages and the tests go by."""
    from gateway.show import table
    from ticketing import ROLES, matrix

    cells = {(cell.permission, cell.role): cell.answer for cell in matrix()}
    names = list(dict.fromkeys(permission for permission, _ in cells))
    if as_json:
        body = {name: {role: cells[name, role] for role in ROLES} for name in names}
        typer.echo(json.dumps(body, indent=2))
        return
    signs = {"yes": "yes", "no": "·", "assignee": "own", "requester": "asked", "assignee or requester": "own"}
    rows = [[name, *(signs.get(cells[name, role], cells[name, role]) for role in ROLES)] for name in names]
    table(["permission", *ROLES], rows)
    typer.echo("own: only as the order's assignee · asked: only as the one who reported it")


def _new_password(desk: Desk, name: str, from_input: bool) -> str:
    """The hash of what was typed twice (or piped once), if it will do."""
    import secrets

    from ticketing import passwords

    if from_input:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt(
            "Password (12 characters at least)", hide_input=True, confirmation_prompt=True
        )
    if weakness := passwords.weakness(password, [name, desk.site]):
        fail(f"the password {weakness}", 2)
    return passwords.hashed(password, secrets.token_bytes(16))
