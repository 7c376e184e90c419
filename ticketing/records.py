"""What goes in and out of the desk: plain frozen values. Times are UTC integer ms, money is integer fen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class State(StrEnum):
    """Where a work order stands; which way leads on is written in ``moves.MOVES``."""

    NEW = "new"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    RESOLVED = "resolved"
    CLOSED = "closed"
    CANCELLED = "cancelled"


OPEN_STATES = tuple(s for s in State if s not in (State.CLOSED, State.CANCELLED))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a person with roles, or one of our own hands (``ENGINE``, ``TIMER``).

    ``scope``: where a program acts for the person, the permissions that its token has (patterns).
    """

    name: str
    roles: frozenset[str] = frozenset()
    kind: str = "person"  # person | engine | timer
    scope: frozenset[str] | None = None

    def covers(self, permission: str) -> bool:
        """Whether the scope, if there is one, has this permission in it."""
        return self.scope is None or any(fnmatchcase(permission, each) for each in self.scope)


ENGINE = Actor("engine", kind="engine")
TIMER = Actor("timer", kind="timer")


@dataclass(frozen=True, slots=True)
class Asset:
    """A machine that is maintained. ``criticality`` is A (production stops), B or C."""

    code: str
    asset_class: str
    name_zh: str
    name_en: str
    parent: str | None = None
    criticality: str = "B"
    model: str = ""
    serial: str = ""
    retired: bool = False
    running: bool | None = None  # None: nobody has said; counted as running


@dataclass(frozen=True, slots=True)
class OrderPolicy:
    """What a rule says about its work orders (``[rule.x.work_order]``).

    ``min_active`` maps severity to ms that the alarm must stay active before an order opens; a severity that
    is named neither here nor in ``intake.MIN_ACTIVE`` opens none. ``occurrences`` alarms of the key within
    ``window`` ms are needed too. After the repair the signal must stay normal for ``verify`` running ms.
    """

    key: str = "asset_failure_mode"  # asset_failure_mode | asset | rule_asset
    min_active: Mapping[int, int] = field(default_factory=dict)
    occurrences: int = 1
    window: int = 0
    verify: int = DAY
    self_clear: bool = False


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """An alarm episode that just became active, as the judge hands it over.

    ``episode`` names it for ever (the same input gives the same name); ``since`` is when the limit was first
    violated, ``at`` when the alarm became active. ``rule_body`` is the rule version's full text, kept once
    per ``rule_hash``. ``from_model`` marks a rule on a model's score: its order opens as P3 "inspection".
    Where the evidence has a place for ``earlier_orders`` of the asset, the desk fills it in.
    """

    episode: str
    asset: str
    failure_mode: str
    severity: int  # 1 (notice) to 4 (danger)
    at: int
    since: int
    rule_id: str
    rule_hash: str
    rule_body: str
    title_zh: str
    title_en: str
    evidence: Mapping[str, Any]
    policy: OrderPolicy = OrderPolicy()
    mode: str = "live"  # live | shadow
    suppression: str = "none"  # none | shelved | by_design | out_of_service
    from_model: bool = False
    kind: str = "process"  # process | no_data | frozen | model: what was seen
    latch: bool = False  # once cleared it stays in the list until somebody acknowledges it
    inhibits: bool = False  # while it is active, what stands under its asset is silent by design
    above: tuple[str, ...] = ()  # assets and devices whose alarms may inhibit this one
    silent_at_work: bool = False  # suppressed by design while somebody works on the asset


@dataclass(frozen=True, slots=True)
class Decision:
    """What the desk made of an alarm or a timer.

    ``kind`` for an alarm: opened, attached, correlated, recurred, muted, waiting, shadow, suppressed, flood,
    known; from timers also self_cleared, verified, auto_closed, escalated. ``why`` is one English sentence.
    """

    kind: str
    number: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm episode as the desk keeps it."""

    episode: str
    asset: str
    failure_mode: str
    fault_key: str
    severity: int
    since: int
    raised_at: int
    cleared_at: int | None
    rule_id: str
    rule_hash: str
    title_zh: str
    title_en: str
    mode: str
    suppression: str
    from_model: bool
    policy: OrderPolicy
    decision: str
    why: str
    decided_at: int
    ready_at: int | None  # from when it may open an order; None: it opens none
    acked_at: int | None
    acked_by: str | None
    ack_note: str | None
    kind: str
    latch: bool
    inhibits: bool
    above: tuple[str, ...]
    reactivations: int

    @property
    def active(self) -> bool:
        """Whether it has not returned to normal yet."""
        return self.cleared_at is None

    @property
    def latched(self) -> bool:
        """Whether it is normal again, and still waits for somebody to acknowledge it."""
        return self.latch and self.cleared_at is not None and self.acked_at is None


@dataclass(frozen=True, slots=True)
class RuleStep:
    """A step in the life of a rule's version: where it stands from ``at`` on, by whom, why, and what is hoped for.

    ``assets`` are those of a canary. ``backtest`` is what the version did over the past, and {} where nobody looked.
    """

    rule_id: str
    sha256: str
    stage: str  # shadow | canary | live | retired
    at: int
    reason: str
    assets: tuple[str, ...] = ()
    expected: str = ""
    backtest: Mapping[str, Any] = field(default_factory=dict)
    author: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A rule as it was; its hash names it for ever."""

    rule_id: str
    sha256: str
    body: str
    first_seen_at: int


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One line of the alarms' journal.

    ``kind``: raised, severity_raised, reactivated, chatters, cleared, acked; shelved and unshelved have no episode.
    """

    at: int
    asset: str
    rule_id: str
    episode: str
    kind: str
    actor: str
    note: str


@dataclass(frozen=True, slots=True)
class Order:
    """A work order as it stands. ``version`` counts its moves: hand it back with the next one."""

    number: str
    version: int
    state: State
    type: str  # condition | inspection | corrective | preventive | reinspection | flood
    origin: str  # alarm | person | plan | import
    source: str
    asset: str | None
    failure_mode: str | None
    fault_key: str | None
    title_zh: str
    title_en: str
    description: str
    priority: int  # 1 (P1) to 4
    severity_max: int
    opened_at: int
    first_seen_at: int
    due_ack_at: int
    due_resolve_at: int
    requester: str | None
    assignee: str | None
    barred: str | None  # who may not be the assignee: a re-inspection is for somebody else
    accepted_at: int | None
    hold_reason: str | None
    resolved_at: int | None
    closed_at: int | None
    symptom: str | None
    mechanism: str | None
    cause: str | None
    remedy: str | None
    detection: str | None
    outcome: str | None
    stop_kind: str | None
    stars: int | None
    level: int
    reopen_count: int
    occurrence_count: int
    chronic: bool
    self_clear: bool
    verify_ms: int
    verified_at: int | None
    policy: str | None  # the version of the site's figures that it was opened under
    est_cost_fen: int
    custom: Mapping[str, Any] = field(default_factory=dict)  # the site's own fields
    downtime_start: int | None = None
    downtime_end: int | None = None
    # facts beside the row
    alarms: int = 0
    alarms_active: int = 0
    open_tasks: int = 0
    cost_fen: int = 0
    approvals_missing: int = 0

    @property
    def open(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an order's history; ``payload`` holds the given ``fields`` and the columns ``set``."""

    seq: int
    number: str
    at: int
    actor: str
    actor_kind: str
    type: str
    payload: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an alarm was raised, as it was then. ``relation``: trigger, repeat, correlated, flood, merged."""

    episode: str
    severity: int
    at: int
    relation: str
    sha256: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """``number`` is ``kind`` of ``other``: recurrence_of, duplicate_of, merged_into, reinspects …"""

    number: str
    kind: str
    other: str


@dataclass(frozen=True, slots=True)
class Task:
    """A step to do on an order; a mandatory one holds back ``resolve`` until it is done."""

    number: str
    seq: int
    text_zh: str
    text_en: str
    kind: str  # check | number | text | photo | meter
    mandatory: bool
    unit: str
    low: float | None
    high: float | None
    done_at: int | None
    done_by: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A task as a plan or a rule asks for it. A number or meter may have to lie within ``low`` to ``high``."""

    text_zh: str
    text_en: str
    kind: str = "check"  # check | number | text | photo | meter
    mandatory: bool = True
    unit: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Preventive work on an asset, every so many ms or every so many counts of one of its counters.

    ``next_due`` is the first due time (or count); the order opens ``lead`` ms (or counts) before. ``basis``:
    "fixed" keeps the grid, "floating" counts from the last completion. With ``skip_if_open`` nothing opens while
    the order before is still open; that time counts as missed.
    """

    id: str
    asset: str
    title_zh: str
    title_en: str
    next_due: int | None
    every_ms: int | None = None
    every_count: int | None = None
    counter: str | None = None
    basis: str = "fixed"
    lead: int = 0
    priority: int = 3
    tasks: tuple[Template, ...] = ()
    skip_if_open: bool = True
    active: bool = True


@dataclass(frozen=True, slots=True)
class PlanDue:
    """One time that a plan fell due; ``number`` is the order that opened, None where it was skipped."""

    plan: str
    due: int
    at: int
    number: str | None


@dataclass(frozen=True, slots=True)
class Shelf:
    """Alarms of an asset (of one rule, or of all where ``rule_id`` is empty) are muted until then."""

    asset: str
    rule_id: str
    until: int
    at: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file on an order; its bytes are asked for by their hash."""

    sha256: str
    name: str
    mime: str
    size: int
    at: int
    by: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent on an order: labour (``minutes``), a part (``part_no``) or somebody's bill; in fen."""

    seq: int
    cost_kind: str
    cost_fen: int
    minutes: int | None
    part_no: str | None
    comment: str | None
    at: int
    by: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One level's word on an estimate: pending, approved, rejected, or bypassed by urgency."""

    level: int
    role: str
    amount_fen: int
    decision: str
    by: str | None
    at: int | None


@dataclass(frozen=True, slots=True)
class Article:
    """Something learnt about a class of assets and a failure mode, in one or two languages.

    ``id``, ``version``, ``status``, ``author``, ``at`` are the desk's; ``source`` says what it was drafted from.
    """

    asset_class: str
    failure_mode: str
    title_zh: str = ""
    title_en: str = ""
    body_zh: str = ""
    body_en: str = ""
    model: str = ""
    mechanism: str | None = None
    remedy: str | None = None
    id: str = ""
    version: int = 0
    status: str = "draft"  # draft | published | retired
    source: str = ""
    author: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What may help with an order. ``kind``: "fix" (``ref`` is a closed order) or "article" (``ref`` is its id).

    ``reasons`` maps each reason to what it adds to the score: same_asset, same_model, same_failure_mode,
    same_class_and_model, same_class, text, helped, fresh.
    """

    kind: str
    ref: str
    title_zh: str
    title_en: str
    score: float
    reasons: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ArticleVersion:
    """One version of an article: who wrote it, when and why."""

    version: int
    at: int
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Offered:
    """An article that was offered on an order; ``outcome`` is helped, not_helped, or None while nobody said."""

    article: str
    reasons: Mapping[str, float]
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to send by ``channel``: a single post, or several as a digest. The keys make it idempotent."""

    channel: str
    keys: tuple[str, ...]
    payloads: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the judge saved with the alarms it produced: its log position and its own bytes."""

    cursor: int
    blob: bytes
