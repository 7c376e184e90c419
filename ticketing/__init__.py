"""The ticket core: assets, alarms, evidence and work orders, with promises kept by the database.

May import no other room and reads no clock: time is an argument (UTC, integer milliseconds); money is integer fen.

::

    desk = Desk.open(state / "core.db", site="demo")             # or "postgresql://user@host/db"; policy=Policy(…)

    # The engine's side
    with desk.transaction() as tx:                               # all or nothing; one writer per site
        tx.sync_assets([Asset("pump-1", "pump", "一号泵", "Pump 1", criticality="A")])
        decision = tx.alarm_raised(RaisedAlarm(episode=…, …))    # Decision(kind, number, why)
        tx.severity_raised(episode, 4, at, evidence); tx.alarm_cleared(episode, at)
        tx.look_back(episode, 4, past)                           # what was measured before, when the store has said it
        tx.machine_runs("pump-1", at, running=True); tx.counter("pump-1", "hours", 512, at)
        tx.tick(now)                                             # what fell due: list[Decision]
        tx.save_state("judge", cursor, blob)                     # with the alarms, or not at all
        tx.decisions                                             # everything decided in this transaction

    # Reading
    with desk.read() as read:                                    # one moment; blocks nobody; cannot write
        read.orders(state="open", limit=50); read.count_orders(overdue_at=now); read.count_by_state()
        read.order(number); read.timeline(number); read.evidence(number); read.links(number); read.tasks(number)
        read.costs(number); read.approvals(number); read.attachments(number); read.suggestions(number, now)
        read.alarms(active=True); read.shelves(now); read.assets(); read.asset_history("pump-1"); read.plans()
        read.legal_moves(number, actor)                          # names in MOVES: the buttons
        read.search_articles("轴承"); read.kpis(start, end); read.deliveries(now)
        read.document(number); read.seal(number)                 # what was signed, and its hash
        read.load_state("judge"); read.head(); read.verify(); read.export()

    # The people's side
    with desk.transaction() as tx:
        order = tx.open_order(actor, at=now, asset="pump-1", title="漏油", failure_mode="ELU", key="phone-1:17")
        tx.move(order.number, "assign", actor, order.version, now, assignee="li")
        tx.ack(episode, actor, now, "seen"); tx.shelve(actor, "pump-1", at=now, until=later, reason="test run")
        tx.attach(actor, number, at=now, name="a.png", mime="image/png", data=…)
        tx.save_article(actor, Article(…), at=now, reason="…")
        tx.feedback(actor, number, "KB-000001", at=now, helped=True)
        tx.save_plan(actor, Plan(…), at=now); tx.delivered(delivery, now)
        tx.answered(actor, key, request); tx.keep_answer(actor, key, request, answer, at=now)  # Idempotency-Key
        tx.set_pin(actor, "2580", salt=…, at=now)

A move is refused by MoveRefusedError (``why``: illegal, stale, guard → 409; role → 403), MissingFieldError and
FieldError (→ 422, ``fields``), ForbiddenError (→ 403), StaleError (→ 409), NotFoundError (→ 404). ``MOVES`` says which
moves there are, who may make them and which fields they need; ``FIELDS`` what each field may hold; ``FAILURE_MODES``
… the codes' names; ``PERMISSIONS`` who may do what else, and ``matrix()`` prints both. A gateway that shares a database
with others says everything through ``Branch``, which tells the shared one later.

People have rooms of their own, as functions over such a transaction: ``people`` (who, which roles), ``accounts``
(signing in, waiting after wrong passwords), ``passwords``, ``sessions``, ``tokens``; ``door`` is the book of it all.

How it is made: ``tables`` and ``migrations`` hold the schema, ``queries`` what is asked of it again and again,
``statements`` hands that to the driver as it is, ``reading`` and ``writing`` make values of it; ``moves`` is the
one flow as a table and ``moving``/``effects`` carry it out; ``intake`` → ``auto_open`` → ``attaching`` turn alarms into
orders; ``timers``/``tick`` let happen what falls due; ``routing`` says whom an order fits; ``events`` chains the
history and ``anchors`` keeps its heads outside; ``exchange``/``sheets``/``papers`` bring old orders in and ours out.
"""

from ticketing.codes import CAUSES, DETECTIONS, FAILURE_MODES, MECHANISMS, REMEDIES
from ticketing.custom import CustomField
from ticketing.desk import Desk, Tx, View
from ticketing.errors import (
    FieldError,
    ForbiddenError,
    MissingFieldError,
    MoveRefusedError,
    NotFoundError,
    SchemaError,
    StaleError,
    StorageError,
    TicketingError,
)
from ticketing.events import Chain, canonical
from ticketing.fields import FIELDS, Field
from ticketing.kpi.alarms import AlarmFigures, RuleFigures
from ticketing.kpi.board import Goal, Kpi
from ticketing.kpi.formulas import Figure
from ticketing.moves import MOVES, Move, legal_moves
from ticketing.people import Person
from ticketing.permissions import PERMISSIONS, ROLES, matrix, require
from ticketing.policy import Channel, Policy, Step, Target, priority
from ticketing.reading import OPEN, Reading
from ticketing.records import (
    ENGINE,
    OPEN_STATES,
    TIMER,
    Actor,
    Alarm,
    AlarmEvent,
    Approval,
    Article,
    ArticleVersion,
    Asset,
    Attachment,
    Cost,
    Decision,
    Delivery,
    EngineState,
    Event,
    Evidence,
    Link,
    Offered,
    Order,
    OrderPolicy,
    Plan,
    PlanDue,
    RaisedAlarm,
    RuleStep,
    RuleVersion,
    Shelf,
    State,
    Suggestion,
    Task,
    Template,
)
from ticketing.relay import Branch, Forwarding

__all__ = [
    "CAUSES",
    "DETECTIONS",
    "ENGINE",
    "FAILURE_MODES",
    "FIELDS",
    "MECHANISMS",
    "MOVES",
    "OPEN",
    "OPEN_STATES",
    "PERMISSIONS",
    "REMEDIES",
    "ROLES",
    "TIMER",
    "Actor",
    "Alarm",
    "AlarmEvent",
    "AlarmFigures",
    "Approval",
    "Article",
    "ArticleVersion",
    "Asset",
    "Attachment",
    "Branch",
    "Chain",
    "Channel",
    "Cost",
    "CustomField",
    "Decision",
    "Delivery",
    "Desk",
    "EngineState",
    "Event",
    "Evidence",
    "Field",
    "FieldError",
    "Figure",
    "ForbiddenError",
    "Forwarding",
    "Goal",
    "Kpi",
    "Link",
    "MissingFieldError",
    "Move",
    "MoveRefusedError",
    "NotFoundError",
    "Offered",
    "Order",
    "OrderPolicy",
    "Person",
    "Plan",
    "PlanDue",
    "Policy",
    "RaisedAlarm",
    "Reading",
    "RuleFigures",
    "RuleStep",
    "RuleVersion",
    "SchemaError",
    "Shelf",
    "StaleError",
    "State",
    "Step",
    "StorageError",
    "Suggestion",
    "Target",
    "Task",
    "Template",
    "TicketingError",
    "Tx",
    "View",
    "canonical",
    "legal_moves",
    "matrix",
    "priority",
    "require",
]
