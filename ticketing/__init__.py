"""The ticket core: assets, alarms, evidence and work orders, with promises kept by the database.

May import no other room and reads no clock: time is an argument (UTC, integer milliseconds).

::

    desk = Desk.open(state / "core.db", site="demo")             # or "postgresql://user@host/db"
    with desk.transaction() as tx:                               # all or nothing; one writer per site
        tx.sync_assets([Asset("pump-1", "pump", "一号泵", "Pump 1", criticality="A")])
        decision = tx.alarm_raised(RaisedAlarm(episode=…, …))    # Decision(kind, number, why)
        tx.severity_raised(episode, 4, at, evidence)
        tx.alarm_cleared(episode, at)
        tx.tick(now)                                             # what fell due: list[Decision]
        tx.save_state("judge", cursor, blob)                     # with the alarms, or not at all
        tx.decisions                                             # everything decided in this transaction
    with desk.read() as read:                                    # a consistent view; blocks nobody
        read.orders(state="open", limit=50)                      # list[Order]; count_orders, count_by_state
        read.order(number); read.timeline(number); read.evidence(number); read.tasks(number)
        read.links(number); read.alarms(number=number); read.assets(); read.asset_history("pump-1")
        read.legal_moves(number, actor)                          # names in MOVES: the buttons
        read.load_state("judge"); read.verify(); read.export()
    with desk.transaction() as tx:
        order = tx.open_order(actor, at=now, asset="pump-1", title="漏油", failure_mode="ELU")
        tx.move(order.number, "assign", actor, order.version, now, assignee="li")
        tx.ack(episode, actor, now, "seen")

A move is refused by MoveRefusedError (``why``: illegal, stale, guard → 409; role → 403), MissingFieldError
and FieldError (→ 422, ``fields``), ForbiddenError (→ 403), NotFoundError (→ 404). ``MOVES`` says which moves
there are, who may make them and which fields they need; ``FIELDS`` what each field may hold; ``FAILURE_MODES`` …
the codes' names; ``PERMISSIONS`` who may do what else, and ``matrix()`` prints both.
"""

from ticketing.codes import CAUSES, DETECTIONS, FAILURE_MODES, MECHANISMS, REMEDIES
from ticketing.desk import Desk, Tx, View
from ticketing.errors import (
    FieldError,
    ForbiddenError,
    MissingFieldError,
    MoveRefusedError,
    NotFoundError,
    SchemaError,
    StaleError,
    TicketingError,
)
from ticketing.events import Chain, canonical
from ticketing.fields import FIELDS, Field
from ticketing.kpi.board import Goal, Kpi
from ticketing.kpi.formulas import Figure
from ticketing.moves import MOVES, Move, legal_moves
from ticketing.permissions import PERMISSIONS, ROLES, matrix, require
from ticketing.policy import Channel, Policy, Step, Target, priority
from ticketing.reading import OPEN, Reading
from ticketing.records import (
    ENGINE,
    OPEN_STATES,
    TIMER,
    Actor,
    Alarm,
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
    Shelf,
    State,
    Suggestion,
    Task,
    Template,
)

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
    "Approval",
    "Article",
    "ArticleVersion",
    "Asset",
    "Attachment",
    "Chain",
    "Channel",
    "Cost",
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
    "Plan",
    "PlanDue",
    "Policy",
    "RaisedAlarm",
    "Reading",
    "SchemaError",
    "Shelf",
    "StaleError",
    "State",
    "Step",
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
