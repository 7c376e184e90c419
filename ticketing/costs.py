"""Money, in fen: what was estimated, who approved it, what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select, update

from ticketing import timers
from ticketing.errors import MoveRefusedError
from ticketing.moves import Asked
from ticketing.reading import Reading
from ticketing.records import DAY, Cost, Order
from ticketing.tables import approval, wo_cost
from ticketing.writing import Writing

OVERRUN = 1.1  # so much more than approved may be spent without asking again
PENDING, APPROVED, REJECTED, BYPASSED = "pending", "approved", "rejected", "bypassed"
CONFIRM_WITHIN = DAY


@dataclass(frozen=True, slots=True)
class CostStatement:
    """What an order cost, in fen; labour in minutes too."""

    number: str
    estimated_fen: int
    labour_fen: int
    part_fen: int
    external_fen: int
    total_fen: int
    minutes: int
    lines: tuple[Cost, ...]


def statement(read: Reading, number: str) -> CostStatement:
    """What was spent, by kind and line by line; NotFoundError."""
    order, lines = read.order(number), read.costs(number)
    spent = dict.fromkeys(("labour", "part", "external"), 0)
    for line in lines:
        spent[line.cost_kind] += line.cost_fen
    return CostStatement(
        number=number,
        estimated_fen=order.est_cost_fen,
        labour_fen=spent["labour"],
        part_fen=spent["part"],
        external_fen=spent["external"],
        total_fen=sum(spent.values()),
        minutes=sum(line.minutes or 0 for line in lines),
        lines=tuple(lines),
    )


def added(tx: Writing, order: Order, asked: Asked) -> None:
    """Work, a part or a bill was booked."""
    seq = tx.connection.scalar(
        select(func.count()).select_from(wo_cost).where(tx.here(wo_cost, number=order.number))
    )
    given = {
        name: asked.fields.get(name) for name in ("cost_kind", "cost_fen", "minutes", "part_no", "comment")
    }
    tx.add(wo_cost, number=order.number, seq=(seq or 0) + 1, at=asked.at, by=asked.actor.name, **given)


def ask_for_approval(tx: Writing, order: Order, asked: Asked) -> None:
    """Each level that the estimate reaches must approve it, unless it approved as much before."""
    amount = asked.fields["est_cost_fen"]
    wanted = {
        level: role for level, (least, role) in enumerate(tx.policy_of(order).approvals, 1) if amount >= least
    }
    rows = tx.connection.execute(select(approval).where(tx.here(approval, number=order.number))).all()
    kept = {row.level for row in rows if row.decision == APPROVED and row.amount_fen >= amount}
    stale = [row.level for row in rows if row.level not in kept or row.level not in wanted]
    here = tx.here(approval, number=order.number)
    tx.connection.execute(delete(approval).where(here, approval.c.level.in_(stale)))
    for level, role in wanted.items():
        if level not in kept:
            tx.add(approval, number=order.number, level=level, role=role, amount_fen=amount, decision=PENDING)


def approved(tx: Writing, order: Order, asked: Asked) -> None:
    """The lowest level that waits for one of this person's roles is decided."""
    waiting = tx.connection.execute(
        select(approval.c.level)
        .where(
            tx.here(approval, number=order.number),
            approval.c.decision.in_([PENDING, BYPASSED, REJECTED]),
            approval.c.role.in_(sorted(asked.actor.roles)),
        )
        .order_by(approval.c.level)
    ).first()
    if waiting is None:
        raise MoveRefusedError(
            order.number,
            order.state,
            order.version,
            "guard",
            f"nothing waits for {asked.actor.name}'s approval",
        )
    decided = {"decision": asked.fields["decision"], "by": asked.actor.name, "at": asked.at}
    here = tx.here(approval, number=order.number, level=waiting.level)
    tx.connection.execute(update(approval).where(here).values(**decided))


def bypass_if_urgent(tx: Writing, order: Order, asked: Asked) -> None:
    """A P1 order starts without waiting; who should have approved has a day to confirm it."""
    skipped = update(approval).where(tx.here(approval, number=order.number, decision=PENDING))
    values = {"decision": BYPASSED, "by": asked.actor.name, "at": asked.at}
    if tx.connection.execute(skipped.values(**values)).rowcount:
        timers.start(tx, "confirm_bypass", order.number, at=asked.at, ms=CONFIRM_WITHIN)


def unconfirmed(tx: Writing, order: Order) -> str | None:
    """The role that has not confirmed a bypass yet."""
    return tx.connection.scalar(
        select(approval.c.role)
        .where(tx.here(approval, number=order.number, decision=BYPASSED))
        .order_by(approval.c.level.desc())
        .limit(1)
    )


def within_approval(tx: Writing, order: Order) -> None:
    """Refuse to resolve what cost more than anybody approved."""
    least = min((least for least, _ in tx.policy_of(order).approvals), default=None)
    if least is None or order.cost_fen < least or order.cost_fen <= order.est_cost_fen * OVERRUN:
        return
    text = f"it cost ¥{order.cost_fen / 100:.2f}, approved are ¥{order.est_cost_fen / 100:.2f}: raise the estimate"
    raise MoveRefusedError(order.number, order.state, order.version, "guard", text)
