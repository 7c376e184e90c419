"""The site's figures for orders: priority, due times, floods. A new policy affects new orders only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import TypeAdapter

from ticketing.calendar import Calendar, add
from ticketing.custom import CustomField
from ticketing.events import canonical, sha256
from ticketing.records import DAY, HOUR, MINUTE

# severity → priority for criticality A, B, C
PRIORITY: Mapping[int, tuple[int, int, int]] = {
    4: (1, 1, 2),
    3: (1, 2, 3),
    2: (2, 3, 4),
    1: (3, 4, 4),
}
MODEL_PRIORITY = 3  # what a model alone sees is inspected, not rushed


def priority(severity: int, criticality: str, *, from_model: bool = False) -> int:
    """How urgent an alarm is: severity × what the asset means to the plant.

    ========  ==  ==  ==
    severity  A   B   C
    ========  ==  ==  ==
    4         P1  P1  P2
    3         P1  P2  P3
    2         P2  P3  P4
    1         P3  P4  P4
    ========  ==  ==  ==
    """
    if from_model:
        return MODEL_PRIORITY
    return PRIORITY[severity]["ABC".index(criticality)]


@dataclass(frozen=True, slots=True)
class Target:
    """How soon an order must be accepted and resolved, in ms; ``working``: counted by the site's calendar."""

    ack: int
    resolve: int
    working: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Whom to tell when: ``before`` ms ahead of the clock's due time. An order takes each step at most once.

    ``clock``: "open" (at once), "ack" (nobody accepted), "resolve" (not resolved).
    """

    name: str
    clock: str
    role: str
    before: int = 0
    priorities: tuple[int, ...] = (1, 2, 3, 4)


def default_targets() -> dict[int, Target]:
    return {
        1: Target(15 * MINUTE, 4 * HOUR),
        2: Target(HOUR, DAY),
        3: Target(8 * HOUR, 5 * DAY),
        4: Target(DAY, 20 * DAY),
    }


@dataclass(frozen=True, slots=True)
class Channel:
    """Where to tell what happens: the kinds of ``events`` and the priorities that go there.

    At most ``per_minute`` messages; what is more goes as one digest. After ``tries`` failures a message goes to
    the channel ``fallback``, if there is one, and is given up here.
    """

    name: str
    events: tuple[str, ...] = ("open", "recur", "escalate")
    priorities: tuple[int, ...] = (1, 2, 3, 4)
    per_minute: int = 20
    tries: int = 8
    fallback: str | None = None


DEFAULT_APPROVALS = ((2_000_00, "lead"), (20_000_00, "manager"), (100_000_00, "director"))
DEFAULT_STEPS = (
    Step("p1_opened", "open", "director", priorities=(1,)),
    Step("not_accepted", "ack", "lead"),
    Step("resolve_soon", "resolve", "lead", before=HOUR, priorities=(1, 2)),
    Step("not_resolved", "resolve", "manager"),
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in ms. ``targets`` by priority; ``flood_*`` count new engine orders within ``flood_window``."""

    targets: Mapping[int, Target] = field(default_factory=default_targets)
    calendar: Calendar | None = None  # None: all hours count
    pausing: tuple[str, ...] = (
        "parts",
        "access",
        "vendor",
        "production",
    )  # these holds stop the resolve clock
    steps: tuple[Step, ...] = DEFAULT_STEPS
    channels: tuple[Channel, ...] = ()
    fields: tuple[CustomField, ...] = ()  # the site's own, on every order
    route: bool = False  # new orders are given to whom they fit
    skills: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by failure mode and class of asset
    signed: tuple[int, ...] = ()  # orders of these priorities close with a PIN or a drawn signature only
    approvals: tuple[tuple[int, str], ...] = DEFAULT_APPROVALS  # from so many fen on, this role must approve
    correlation_window: int = 600_000
    flood_window: int = 600_000
    flood_start: int = 10
    flood_end: int = 5
    repeat_window: int = 90 * DAY
    urgent_repeats: int = 2
    chronic_repeats: int = 3
    self_clear_after: int = 30 * MINUTE
    not_cleared_after: int = 30 * MINUTE  # running time
    auto_close_after: int = 7 * DAY
    auto_close_from: int = 3  # P3 and P4 only
    mute_days: int = 7
    goals: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # green and amber, by figure

    def due(self, priority: int, at: int) -> tuple[int, int]:
        """By when an order of this priority must be accepted and resolved, counted from ``at``."""
        target, calendar = self.targets[priority], self.calendar_of(priority)
        return add(calendar, at, target.ack), add(calendar, at, target.resolve)

    def calendar_of(self, priority: int) -> Calendar | None:
        """The hours that count for this priority."""
        return self.calendar if self.targets[priority].working else None


class PolicyVersion(NamedTuple):
    """A policy as it is kept: its hash names it for ever."""

    sha256: str
    body: str
    policy: Policy


_ADAPTER = TypeAdapter(Policy)


def versioned(policy: Policy) -> PolicyVersion:
    """The policy with its canonical text and hash."""
    body = canonical(_ADAPTER.dump_python(policy, mode="json"))
    return PolicyVersion(sha256(body), body, policy)


def policy_of(body: str) -> Policy:
    """As it was stored; a field that is new since then has its default."""
    return _ADAPTER.validate_json(body)
