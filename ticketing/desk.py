"""The desk: the one door to the tickets' database."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, Table, Update, select, update
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError

from ticketing import (
    answers,
    attachments,
    database,
    events,
    history,
    intake,
    journal,
    outbox,
    plans,
    report,
    shelving,
    signing,
    stages,
    tick,
    timers,
)
from ticketing.errors import FieldError, StorageError, WrongPinError
from ticketing.history import Imported, PastOrder
from ticketing.knowledge import articles, search, suggest
from ticketing.kpi import alarms as kpi_alarms
from ticketing.kpi.alarms import AlarmFigures, RuleFigures
from ticketing.kpi.board import Kpi, board
from ticketing.moves import Asked
from ticketing.moving import make_move
from ticketing.policy import Policy, versioned
from ticketing.reading import Reading
from ticketing.records import (
    Actor,
    Alarm,
    AlarmEvent,
    Article,
    ArticleVersion,
    Asset,
    Attachment,
    Decision,
    Delivery,
    Offered,
    Order,
    Plan,
    PlanDue,
    RaisedAlarm,
    RuleStep,
    RuleVersion,
    Shelf,
    Suggestion,
)
from ticketing.statements import Driver
from ticketing.tables import asset as assets
from ticketing.tables import engine_state, policy_version, site
from ticketing.writing import Writing, adding_once

NAMED_BY = "assets named by "  # a gateway: the state that lists what its site file names


class Desk:
    """One site's tickets in one database. Threads may share it; each transaction belongs to one thread."""

    def __init__(self, engine: Engine, site_id: str, policy: Policy) -> None:
        self.site = site_id
        self.policy = policy
        self._version = versioned(policy)
        self._engine = engine
        self._ready = False
        self._reading = database.for_reading(engine)
        self._writing = engine.execution_options(writing=True)

    @classmethod
    def open(
        cls, target: str | Path, *, site: str, policy: Policy | None = None, later: bool = False
    ) -> Self:
        """Open (and create or bring up to date) the database: a file path, or ``postgresql://…``.

        SchemaError if a newer version wrote it, StorageError if it cannot be opened. With ``later`` all that
        happens at the first use that finds the database there.
        """
        desk = cls(database.connect(target), site, policy or Policy())
        if not later:
            try:
                desk._get_ready()
            except DBAPIError as error:
                desk.close()
                raise StorageError(
                    f"the ticket core {desk._place} cannot be opened: {_said(error)}"
                ) from error
            except BaseException:
                desk.close()
                raise
        return desk

    def close(self) -> None:
        """Give the connections back; never raises."""
        self._engine.dispose()
        self._reading.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """What is written inside is committed at the end, or nothing is. One writer per site at a time.

        StorageError when the database is away or the disk is full.
        """
        try:
            with self._there(), self._writing.connect() as connection, connection.begin():
                tx = Tx(connection, self.site, self._version)
                yield tx
                tx.finish()
                outbox.tell(tx, tx.lines)
        except WrongPinError as error:  # nothing was done, yet it must be remembered
            with self._writing.connect() as connection, connection.begin():
                signing.count_wrong(Tx(connection, self.site, self._version), error)
            raise

    @contextmanager
    def read(self) -> Iterator[View]:
        """A consistent view that blocks nobody; StorageError when the database is away."""
        with self._there(), self._reading.connect() as connection, connection.begin():
            yield View(connection, self.site, self._version)

    @contextmanager
    def _there(self) -> Iterator[None]:
        try:
            self._get_ready()
            yield
        except DataError as error:  # PostgreSQL holds no NUL and no number beyond its types
            raise FieldError(["text"], f"the ticket core cannot hold that: {_said(error)}") from error
        except (OperationalError, InterfaceError) as error:
            raise StorageError(f"the ticket core {self._place} does not answer: {_said(error)}") from error

    @property
    def _place(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    def _get_ready(self) -> None:
        """Bring the database up to date, once."""
        if not self._ready:
            database.migrate(self._engine)
            self._prepare()
            self._ready = True

    def _prepare(self) -> None:
        """The site's own row and the policy's version, if they are not there yet."""
        with self._engine.connect() as connection:
            site_known = select(site.c.site).where(site.c.site == self.site)
            policy_known = select(policy_version.c.site).where(
                policy_version.c.site == self.site, policy_version.c.sha256 == self._version.sha256
            )
            if connection.scalar(site_known) and connection.scalar(policy_known):
                return
        rows: dict[Table, dict[str, object]] = {
            site: {"head_seq": 0, "head_hash": events.GENESIS, "flooding": False},
            policy_version: {"sha256": self._version.sha256, "body": self._version.body},
        }
        with self._writing.begin() as connection:
            for table, row in rows.items():
                adding = adding_once(table, self._engine.dialect.name)
                Driver(connection).run(adding, {"site": self.site, **row})


def _said(error: DBAPIError) -> str:
    """The database's own words, the first line of them."""
    return str(error.orig).partition("\n")[0]


class View(Reading):
    """Everything that can be read: orders, alarms and assets by ``Reading``, and what was made of them."""

    def article(self, article_id: str) -> Article:
        """One article as it stands; NotFoundError."""
        return articles.get(self, article_id)

    def articles(self, *, status: str | None = None, asset_class: str | None = None) -> list[Article]:
        """All articles by id, or those of a status (draft, published, retired) or a class."""
        return articles.listed(self, status=status, asset_class=asset_class)

    def article_versions(self, article_id: str) -> list[ArticleVersion]:
        """All that the article was, newest first."""
        return articles.versions(self, article_id)

    def search_articles(self, text: str, *, limit: int = 10) -> list[Article]:
        """Published articles for words in Chinese or English, the best first."""
        return search.search(self, text, limit=limit)

    def suggestions(self, number: str, at: int) -> list[Suggestion]:
        """What may help with the order: fixes that held, then articles, each with its reasons."""
        return suggest.suggestions(self, number, at)

    def deliveries(self, now: int) -> list[Delivery]:
        """The messages to send now, within each channel's rate."""
        return outbox.deliveries(self, now)

    def kpis(
        self, start: int, end: int, *, asset_class: str | None = None, imported: bool = False
    ) -> list[Kpi]:
        """All figures of [start, end) with their lights, and how they stood in the period before."""
        return board(self, start, end, asset_class=asset_class, imported=imported)

    def plans(self, *, asset: str | None = None) -> list[Plan]:
        """The plans of preventive work."""
        return plans.listed(self, asset=asset)

    def plan_dues(self, plan_id: str) -> list[PlanDue]:
        """Each time the plan fell due, and the order that opened."""
        return plans.dues(self, plan_id)

    def rule_stages(self) -> dict[str, RuleStep]:
        """Where each rule stands that ever took a step."""
        return stages.latest(self)

    def rule_steps(self, rule_id: str) -> list[RuleStep]:
        """All steps of a rule, oldest first."""
        return stages.steps(self, rule_id)

    def rule_versions(self, rule_id: str) -> list[RuleVersion]:
        """The rule's versions that raised an alarm or took a step, oldest first."""
        return stages.versions(self, rule_id)

    def alarm_figures(
        self, start: int, end: int, *, monitored: Collection[str] | None = None
    ) -> AlarmFigures:
        """ISA-18.2 figures of all alarms of [start, end); ``monitored``: the assets that rules watch."""
        return kpi_alarms.site_figures(self, start, end, monitored=monitored)

    def rule_figures(
        self, start: int, end: int, *, rule_id: str | None = None, sha256: str | None = None
    ) -> list[RuleFigures]:
        """What each rule (or one, or one version) did in [start, end), the most alarms first."""
        return kpi_alarms.rule_figures(self, start, end, rule_id=rule_id, sha256=sha256)

    def alarm_events(
        self, start: int, end: int, *, asset: str | None = None, episode: str | None = None
    ) -> list[AlarmEvent]:
        """The alarms' journal of [start, end), oldest first."""
        return journal.events(self, start, end, asset=asset, episode=episode)

    def shelves(self, at: int) -> list[Shelf]:
        """What is muted at that time, by whom, why, and until when."""
        return shelving.listed(self, at)

    def attachments(self, number: str) -> list[Attachment]:
        """What is attached to the order, without the bytes."""
        return attachments.listed(self, number)

    def attachment(self, number: str, sha256: str) -> bytes:
        """The bytes of one attachment; NotFoundError."""
        return attachments.data_of(self, number, sha256)

    def document(self, number: str) -> str:
        """The order as it was signed, as canonical JSON: its SHA-256 is what ``seal`` says."""
        return signing.document(self, number)

    def seal(self, number: str) -> dict[str, Any]:
        """Who signed the order, when and how, and the hash of its document; NotFoundError."""
        return signing.seal_of(self, number)

    def answered(self, actor: Actor, key: str, request: str) -> str | None:
        """What this request was answered before under its key; StaleError if the key is another request's."""
        return answers.given(self, actor, key, request)

    def offered(self, number: str) -> list[Offered]:
        """Which articles were offered when the order opened, and what people said of them."""
        return suggest.offered(self, number)


class Tx(Writing, View):
    """What can be done in one transaction; reading sees what was written before in it.

    The engine's calls first let happen what fell due before them, so the result does not depend on how often
    ``tick`` is called. Everything decided meanwhile stands in ``decisions``.
    """

    # The engine's side

    def save_state(self, name: str, cursor: int, blob: bytes) -> None:
        """Keep the judge's log position and state, in the transaction of the alarms it produced."""
        self.set(engine_state, name=name, cursor=cursor, blob=blob)

    def states(self, prefix: str) -> dict[str, bytes]:
        """What is kept under the names that begin so."""
        begins = engine_state.c.name.startswith(prefix, autoescape=True)
        rows = self.connection.execute(
            select(engine_state.c.name, engine_state.c.blob).where(self.here(engine_state), begins)
        )
        return {row.name: bytes(row.blob) for row in rows}

    def alarm_raised(self, alarm: RaisedAlarm) -> Decision:
        """An episode became active: keep it with its evidence and decide about an order. Idempotent."""
        tick.serve(self, alarm.at)
        return intake.raised(self, alarm)

    def severity_raised(
        self, episode: str, severity: int, at: int, evidence: Mapping[str, Any] | None = None
    ) -> Decision:
        """The episode reached a higher severity: its order becomes more urgent, or it is decided anew."""
        tick.serve(self, at)
        return intake.severity_raised(self, episode, severity, at, evidence)

    def look_back(self, episode: str, severity: int, past: Mapping[str, Any]) -> None:
        """What was measured before the alarm (``series``, ``statistics``): added to its evidence. Idempotent."""
        intake.look_back(self, episode, severity, past)

    def alarm_reactivated(self, episode: str, count: int, at: int) -> None:
        """The episode was clearing and is violated again, for the ``count``-th time. Idempotent."""
        tick.serve(self, at)
        journal.reactivated(self, episode, count, at)

    def alarm_cleared(self, episode: str, at: int) -> None:
        """The episode is back to normal; no order is closed by that. Idempotent."""
        tick.serve(self, at)
        intake.cleared(self, episode, at)

    def machine_runs(self, asset: str, at: int, *, running: bool) -> None:
        """The machine started or stopped; verify windows count running time."""
        tick.serve(self, at)
        timers.machine_runs(self, asset, at, running=running)

    def counter(self, asset: str, name: str, value: int, at: int) -> None:
        """A counter of the machine (running hours, starts) stands at ``value``: plans may fall due."""
        tick.serve(self, at)
        plans.count(self, asset, name, value, at)

    def tick(self, now: int) -> list[Decision]:
        """Let happen what fell due by ``now``: alarms held long enough, self-clearing, verifying, closing."""
        return tick.serve(self, now)

    def post(self, key: str, channel: str, payload: Mapping[str, Any], at: int) -> None:
        """Have something delivered outside; the same key again is the same post."""
        outbox.post(self, key, channel, payload, at)

    def delivered(self, delivery: Delivery, at: int) -> None:
        """The message arrived."""
        outbox.delivered(self, delivery, at)

    def failed(self, delivery: Delivery, at: int, error: str) -> None:
        """The message did not arrive: it is tried again later, in the end by the fallback channel."""
        outbox.failed(self, delivery, at, error)

    # The people's side

    def open_order(self, actor: Actor, *, at: int, asset: str, title: str, **more: Any) -> Order:
        """A person reports: see ``report.open_order`` for the rest of the fields."""
        return report.open_order(self, actor, at=at, asset=asset, title=title, **more)

    def move(self, number: str, move: str, actor: Actor, version: int, at: int, **fields: Any) -> Order:
        """Make a move of ``MOVES``; the only way to change an order's state.

        ``version`` is that of the order the actor saw. NotFoundError; MoveRefusedError with the present
        state; MissingFieldError and FieldError naming the fields.
        """
        make_move(self, self.order(number), Asked(move, actor, version, at, fields))
        return self.order(number)  # with its facts as they are now

    def ack(self, episode: str, actor: Actor, at: int, note: str = "") -> Alarm:
        """A person has seen the alarm; the first one counts."""
        return journal.ack(self, episode, actor, at, note)

    def take_rule_step(self, actor: Actor, step: RuleStep, body: str) -> RuleStep:
        """A version of a rule goes to another stage; active alarms of it follow at once."""
        return stages.take(self, actor, step, body)

    def shelve(
        self, actor: Actor, asset: str, *, at: int, until: int, reason: str, rule_id: str = ""
    ) -> None:
        """Mute an asset's alarms (or those of one rule on it) for at most eight hours."""
        shelving.shelve(self, actor, asset, at=at, until=until, reason=reason, rule_id=rule_id)

    def unshelve(self, actor: Actor, asset: str, *, at: int, rule_id: str = "") -> None:
        """End a shelving now; active alarms are judged at once."""
        shelving.unshelve(self, actor, asset, at=at, rule_id=rule_id)

    def attach(self, actor: Actor, number: str, *, at: int, name: str, mime: str, data: bytes) -> Attachment:
        """Add a photo or paper to an open order."""
        return attachments.attach(self, actor, number, at=at, name=name, mime=mime, data=data)

    def set_pin(self, actor: Actor, pin: str, *, salt: bytes, at: int) -> None:
        """What the person signs with from now on; ``salt`` is 16 random bytes."""
        signing.set_pin(self, actor, pin, salt=salt, at=at)

    def keep_answer(self, actor: Actor, key: str, request: str, answer: str, *, at: int) -> None:
        """Remember what a request was answered under its key, with what it did."""
        answers.keep(self, actor, key, request, answer, at=at)

    def save_article(self, actor: Actor, article: Article, *, at: int, reason: str) -> Article:
        """A new article, or (with its ``id`` and the ``version`` that was read) its next version; StaleError."""
        return articles.save(self, actor, article, at=at, reason=reason)

    def set_article_status(
        self, actor: Actor, article_id: str, version: int, status: str, *, at: int
    ) -> Article:
        """Publish an article, or retire it; StaleError."""
        return articles.set_status(self, actor, article_id, version, status, at=at)

    def feedback(self, actor: Actor, number: str, article_id: str, *, at: int, helped: bool) -> None:
        """Say whether an article that was offered on the order helped."""
        suggest.feedback(self, actor, number, article_id, at=at, helped=helped)

    def save_plan(self, actor: Actor, plan: Plan, *, at: int) -> Plan:
        """A plan of preventive work, new or changed; it opens its orders by itself."""
        return plans.save(self, actor, plan, at=at)

    def import_history(self, actor: Actor, past: Sequence[PastOrder]) -> Imported:
        """Keep orders from before our time (``history.read_rows`` checks a sheet); known ones are left alone."""
        return history.keep(self, actor, past)

    def sync_assets(self, given: Iterable[Asset], *, gateway: str = "gateway") -> None:
        """Make the register what the gateway's site file says.

        What no gateway of the site names any more is retired, never deleted.
        """
        wanted = {asset.code: asset for asset in given}
        self.save_state(NAMED_BY + gateway, 0, events.canonical(sorted(wanted)).encode())
        named = {code for codes in self.states(NAMED_BY).values() for code in json.loads(codes)}
        present = {asset.code: asset for asset in self.assets(retired=True)}
        for code, asset in wanted.items():
            row = asdict(asset)
            row.pop("running")  # the machine says so itself
            if code not in present:
                self.add(assets, **row)
            elif row != {name: value for name, value in asdict(present[code]).items() if name in row}:
                self.connection.execute(self._asset(code).values(**row))
        for code in present.keys() - named:
            self.connection.execute(self._asset(code).values(retired=True))
        self.forget_assets()

    def _asset(self, code: str) -> Update:
        return update(assets).where(self.here(assets, code=code))
