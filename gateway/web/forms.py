"""Forms for moves, out of the move table: which fields a button asks for, and reading them back."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway import i18n
from gateway.i18n import Language
from gateway.site import Site
from ticketing import Actor, FieldError, Order, State
from ticketing.codes import CAUSES, DETECTIONS, FAILURE_MODES, MECHANISMS, REMEDIES, Codes
from ticketing.fields import FIELDS
from ticketing.moves import MOVES, legal_moves

# The move that leads on from each state; the others are in the menu.
LEADS_ON = {
    State.NEW: "assign",
    State.ASSIGNED: "start",
    State.IN_PROGRESS: "resolve",
    State.ON_HOLD: "resume",
    State.RESOLVED: "sign_off",
}
CODES: Mapping[str, Codes] = {
    "symptom": FAILURE_MODES,
    "mechanism": MECHANISMS,
    "cause": CAUSES,
    "remedy": REMEDIES,
    "detection": DETECTIONS,
}
LONG = {"reason", "comment", "override_reason"}
NOT_ASKED = {"expected_resume", "downtime_end"}  # the API takes them
SIGNATURE = frozenset({"pin", "signature"})  # one of them where the site wants a signature
NO_BUTTON = {"escalate", "downtime", "set_fields"}


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a form. ``options`` are (value, word); without any it is text, or a number within ``span``."""

    name: str
    label: str
    needed: bool
    options: tuple[tuple[str, str], ...]
    span: tuple[int, int] | None
    long: bool
    value: str


@dataclass(frozen=True, slots=True)
class Button:
    """One move that may be made now; ``plain`` ones ask nothing and happen at once."""

    move: str
    label: str
    needed: tuple[Input, ...]
    optional: tuple[Input, ...]

    @property
    def plain(self) -> bool:
        return not self.needed and not self.optional


def buttons(
    site: Site, order: Order, actor: Actor, language: Language, *, signed: bool = False
) -> tuple[Button | None, list[Button]]:
    """The one that leads on, if it is this actor's to press, and the others; ``signed``: it closes with a signature."""
    legal = legal_moves(order, actor)
    first = SIGNATURE if signed else frozenset()
    made = {move: _button(site, order, move, first, language) for move in legal if move not in NO_BUTTON}
    if order.accepted_at is not None:
        made.pop("accept", None)
    return made.pop(LEADS_ON.get(order.state, ""), None), list(made.values())


def _button(site: Site, order: Order, move: str, first: Collection[str], language: Language) -> Button:
    rule = MOVES[move]
    needed = [_input(site, order, name, True, language) for name in rule.needs]
    others = [_input(site, order, name, False, language) for name in rule.may if name not in NOT_ASKED]
    needed += [each for each in others if each.name in first]
    optional = tuple(each for each in others if each.name not in first)
    return Button(move, i18n.term(language, "move", move), tuple(needed), optional)


def _input(site: Site, order: Order, name: str, needed: bool, language: Language) -> Input:
    field = FIELDS[name]
    label = i18n.term(language, "field", name)
    value = str(getattr(order, name, None) or (order.failure_mode if name == "symptom" else None) or "")
    options = tuple(_options(site, name, language))
    return Input(name, label, needed, options, None if options else field.span, name in LONG, value)


def _options(site: Site, name: str, language: Language) -> list[tuple[str, str]]:
    if name == "assignee":
        people = [(key, person.name) for key, person in site.people.items() if person.role != "viewer"]
        return people or [("local", i18n.term(language, "person", "local"))]
    if name == "stars":
        return [(str(n), "★" * n + "☆" * (5 - n)) for n in range(5, 0, -1)]
    if name == "priority":
        return [(str(n), f"P{n} {i18n.term(language, 'priority', str(n))}") for n in range(1, 5)]
    return [(code, choice_name(name, code, language)) for code in FIELDS[name].choices]


def choice_name(field: str, value: Any, language: Language) -> str:
    """What people call this value of this field."""
    if field in CODES and value in CODES[field]:
        name = CODES[field][value]
        return name.zh if language == "zh" else name.en[:1].upper() + name.en[1:]
    if FIELDS[field].choices:
        return i18n.term(language, field, str(value))
    return str(value)


def read_fields(move: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What the form says, as the move wants it; an empty field was not given. Raises FieldError."""
    if move not in MOVES:
        raise FieldError(["move"], f"there is no move {move!r}")
    fields: dict[str, Any] = {}
    for name in (*MOVES[move].needs, *MOVES[move].may):
        text = given.get(name, "").strip()
        if not text:
            continue
        if FIELDS[name].values:
            fields[name] = _values(name, text)
        elif FIELDS[name].span is None:
            fields[name] = text
        elif text.isdecimal():
            fields[name] = int(text)
        else:
            raise FieldError([name], f"{name} must be a whole number")
    return fields


def _values(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise FieldError([name], f'{name} must be JSON such as {{"meter": 12}}') from None


def read_drawing(given: Mapping[str, str]) -> bytes | None:
    """The picture that was drawn with a form, if there is one. Raises FieldError."""
    kind, _, text = given.get("drawn", "").partition(",")
    if not text:
        return None
    try:
        if kind != "data:image/png;base64":
            raise ValueError(kind)
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise FieldError(["signature"], "a drawn signature is a PNG") from None
