"""The tables. Keys are natural and begin with the site, so that many gateways can share one database.

Times are UTC integer ms. What is JSON is canonical text (``events.canonical``): its bytes are hashed.
The database keeps the promises: one open order per fault key, append-only events, closed orders for ever.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def key(name: str) -> Column[str]:
    return Column(name, String, primary_key=True)


def to_order(column: str = "number") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["site", column], ["work_order.site", "work_order.number"])


def to_asset(column: str = "asset") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["site", column], ["asset.site", "asset.code"])


# One row per site; whoever writes locks it first, so the site's chain and its decisions have one order.
site = Table(
    "site",
    metadata,
    key("site"),
    Column("head_seq", BigInteger, nullable=False),
    Column("head_hash", String, nullable=False),
    Column("flooding", Boolean, nullable=False),
)

number_series = Table(
    "number_series",
    metadata,
    key("site"),
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("last", Integer, nullable=False),
)

engine_state = Table(
    "engine_state",
    metadata,
    key("site"),
    key("name"),
    Column("cursor", BigInteger, nullable=False),
    Column("blob", LargeBinary, nullable=False),
)

asset = Table(
    "asset",
    metadata,
    key("site"),
    key("code"),
    Column("asset_class", String, nullable=False),
    Column("name_zh", String, nullable=False),
    Column("name_en", String, nullable=False),
    Column("parent", String),
    Column("criticality", String, nullable=False),
    Column("model", String, nullable=False),
    Column("serial", String, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("running", Boolean),
    CheckConstraint("criticality IN ('A', 'B', 'C')", name="criticality"),
)

rule_version = Table(
    "rule_version",
    metadata,
    key("site"),
    key("rule_id"),
    key("sha256"),
    Column("body", Text, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
)

alarm = Table(
    "alarm",
    metadata,
    key("site"),
    key("episode"),
    Column("asset", String, nullable=False),
    Column("failure_mode", String, nullable=False),
    Column("fault_key", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("raised_at", BigInteger, nullable=False),
    Column("cleared_at", BigInteger),
    Column("rule_id", String, nullable=False),
    Column("rule_hash", String, nullable=False),
    Column("title_zh", String, nullable=False),
    Column("title_en", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("suppression", String, nullable=False),
    Column("from_model", Boolean, nullable=False),
    Column("policy", Text, nullable=False),
    Column("decision", String, nullable=False),
    Column("why", String, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("ready_at", BigInteger),
    Column("acked_at", BigInteger),
    Column("acked_by", String),
    Column("ack_note", String),
    Column("kind", String, nullable=False, server_default="process"),
    Column("latch", Boolean, nullable=False, server_default=false()),
    Column("inhibits", Boolean, nullable=False, server_default=false()),
    Column("above", Text, nullable=False, server_default="[]"),
    Column("reactivations", Integer, nullable=False, server_default="0"),
    to_asset(),
    ForeignKeyConstraint(
        ["site", "rule_id", "rule_hash"],
        ["rule_version.site", "rule_version.rule_id", "rule_version.sha256"],
    ),
    CheckConstraint("severity BETWEEN 1 AND 4", name="severity"),
    Index("alarm_by_key", "site", "fault_key", "raised_at"),
    Index("alarm_by_decision", "site", "decision", "decided_at"),
    Index("alarm_by_time", "site", "raised_at"),
    Index(
        "alarm_active",
        "site",
        "raised_at",
        sqlite_where=text("cleared_at IS NULL"),
        postgresql_where=text("cleared_at IS NULL"),
    ),
)

# The alarms' journal; without an episode: what concerns a rule on an asset, or (rule_id '') all of the asset.
alarm_event = Table(
    "alarm_event",
    metadata,
    key("site"),
    key("asset"),
    key("rule_id"),
    key("episode"),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    key("kind"),
    Column("actor", String, nullable=False),
    Column("note", String, nullable=False),
    to_asset(),
    Index("alarm_event_by_time", "site", "at"),
)

# The life of a rule: each step says which version stands where, who decided so, and why.
rule_step = Table(
    "rule_step",
    metadata,
    key("site"),
    key("rule_id"),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("sha256", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("assets", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("author", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("expected", String, nullable=False),
    Column("backtest", Text, nullable=False),
    ForeignKeyConstraint(
        ["site", "rule_id", "sha256"],
        ["rule_version.site", "rule_version.rule_id", "rule_version.sha256"],
    ),
    CheckConstraint("stage IN ('shadow', 'canary', 'live', 'retired')", name="stage"),
)

evidence = Table(
    "evidence",
    metadata,
    key("site"),
    key("episode"),
    Column("severity", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("body", Text, nullable=False),
    ForeignKeyConstraint(["site", "episode"], ["alarm.site", "alarm.episode"]),
)

# What was measured before the alarm; the store is asked for it when the order stands already.
lookback = Table(
    "lookback",
    metadata,
    key("site"),
    key("episode"),
    Column("severity", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    ForeignKeyConstraint(
        ["site", "episode", "severity"], ["evidence.site", "evidence.episode", "evidence.severity"]
    ),
)

work_order = Table(
    "work_order",
    metadata,
    key("site"),
    key("number"),
    Column("version", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("type", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("source", String, nullable=False),
    Column("asset", String),
    Column("failure_mode", String),
    Column("fault_key", String),
    Column("title_zh", String, nullable=False),
    Column("title_en", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("severity_max", Integer, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("due_ack_at", BigInteger, nullable=False),
    Column("due_resolve_at", BigInteger, nullable=False),
    Column("requester", String),
    Column("assignee", String),
    Column("barred", String),
    Column("accepted_at", BigInteger),
    Column("hold_reason", String),
    Column("resolved_at", BigInteger),
    Column("closed_at", BigInteger),
    Column("symptom", String),
    Column("mechanism", String),
    Column("cause", String),
    Column("remedy", String),
    Column("detection", String),
    Column("outcome", String),
    Column("stop_kind", String),
    Column("stars", Integer),
    Column("level", Integer, nullable=False),
    Column("reopen_count", Integer, nullable=False),
    Column("occurrence_count", Integer, nullable=False),
    Column("chronic", Boolean, nullable=False),
    Column("self_clear", Boolean, nullable=False),
    Column("verify_ms", BigInteger, nullable=False),
    Column("verified_at", BigInteger),
    Column("policy", String),
    Column("est_cost_fen", BigInteger, nullable=False, server_default="0"),
    Column("custom", Text, nullable=False, server_default="{}"),
    Column("downtime_start", BigInteger),
    Column("downtime_end", BigInteger),
    to_asset(),
    UniqueConstraint("site", "source"),
    CheckConstraint(
        "state IN ('new', 'assigned', 'in_progress', 'on_hold', 'resolved', 'closed', 'cancelled')",
        name="state",
    ),
    CheckConstraint("priority BETWEEN 1 AND 4", name="priority"),
    CheckConstraint("stars BETWEEN 1 AND 5", name="stars"),
    Index("work_order_by_state", "site", "state"),
    Index("work_order_by_urgency", "site", "priority", "opened_at", "state"),
    Index("work_order_by_asset", "site", "asset", "opened_at"),
    Index("work_order_by_opening", "site", "opened_at"),
    Index("work_order_by_key", "site", "fault_key", "state", "closed_at"),
)

# The key holds the site already (it is hashed in), so the index is as narrow as it can be.
STILL_OPEN = "state NOT IN ('closed', 'cancelled')"
Index(
    "one_open_work_order",
    work_order.c.fault_key,
    unique=True,
    sqlite_where=text(STILL_OPEN),
    postgresql_where=text(STILL_OPEN),
)

# Word for word the index's condition, or SQLite would not use it.
IS_OPEN = text(f"work_order.{STILL_OPEN}")

wo_alarm = Table(
    "wo_alarm",
    metadata,
    key("site"),
    key("number"),
    key("episode"),
    Column("relation", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    to_order(),
    ForeignKeyConstraint(["site", "episode"], ["alarm.site", "alarm.episode"]),
    CheckConstraint("relation IN ('trigger', 'repeat', 'correlated', 'flood', 'merged')", name="relation"),
    Index("wo_alarm_by_episode", "site", "episode"),
)

wo_event = Table(
    "wo_event",
    metadata,
    key("site"),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("number", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("actor_kind", String, nullable=False),
    Column("type", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("hash", String, nullable=False),
    to_order(),
    Index("wo_event_by_order", "site", "number", "seq"),
)

wo_link = Table(
    "wo_link",
    metadata,
    key("site"),
    key("number"),
    key("kind"),
    key("other"),
    to_order(),
    ForeignKeyConstraint(
        ["site", "other"], ["work_order.site", "work_order.number"], name="fk_wo_link_other"
    ),
    Index("wo_link_by_other", "site", "other"),
)

wo_task = Table(
    "wo_task",
    metadata,
    key("site"),
    key("number"),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("text_zh", String, nullable=False),
    Column("text_en", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("mandatory", Boolean, nullable=False),
    Column("unit", String, nullable=False, server_default=""),
    Column("low", Float),
    Column("high", Float),
    Column("done_at", BigInteger),
    Column("done_by", String),
    Column("value", String),
    to_order(),
    CheckConstraint("kind IN ('check', 'number', 'text', 'photo', 'meter')", name="kind"),
)

# The figures that orders were opened under: a new policy affects new orders only.
policy_version = Table(
    "policy_version",
    metadata,
    key("site"),
    key("sha256"),
    Column("body", Text, nullable=False),
)

# Each step of an order's escalation happens once; the key says so.
escalation = Table(
    "escalation",
    metadata,
    key("site"),
    key("number"),
    key("step"),
    Column("at", BigInteger, nullable=False),
    Column("role", String, nullable=False),
    to_order(),
)

# Knowledge: the article as it stands, every version that it had, and the words it is found by.
article = Table(
    "article",
    metadata,
    key("site"),
    key("id"),
    Column("version", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("asset_class", String, nullable=False),
    Column("model", String, nullable=False),
    Column("failure_mode", String, nullable=False),
    Column("mechanism", String),
    Column("remedy", String),
    Column("title_zh", String, nullable=False),
    Column("title_en", String, nullable=False),
    Column("body_zh", Text, nullable=False),
    Column("body_en", Text, nullable=False),
    Column("source", String, nullable=False),
    Column("author", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    UniqueConstraint("site", "source"),
    CheckConstraint("status IN ('draft', 'published', 'retired')", name="status"),
    Index("article_by_subject", "site", "status", "failure_mode"),
)

article_version = Table(
    "article_version",
    metadata,
    key("site"),
    key("id"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("author", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("body", Text, nullable=False),
    ForeignKeyConstraint(["site", "id"], ["article.site", "article.id"]),
)

article_word = Table(
    "article_word",
    metadata,
    key("site"),
    key("word"),
    key("id"),
    Column("hits", Integer, nullable=False),
    ForeignKeyConstraint(["site", "id"], ["article.site", "article.id"]),
    Index("article_word_by_article", "site", "id"),
)

# Which article was offered on which order, why, and whether it helped.
kb_use = Table(
    "kb_use",
    metadata,
    key("site"),
    key("number"),
    key("article"),
    Column("at", BigInteger, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("outcome", String),
    to_order(),
    ForeignKeyConstraint(["site", "article"], ["article.site", "article.id"]),
    CheckConstraint("outcome IN ('helped', 'not_helped')", name="outcome"),
    Index("kb_use_by_article", "site", "article"),
)

# What is to be told outside: each line once, until it is delivered or given up.
outbox = Table(
    "outbox",
    metadata,
    key("site"),
    key("key"),
    Column("channel", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("delivery", String),
    Column("delivered_at", BigInteger),
    Column("error", String),
    CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name="state"),
    Index("outbox_by_time", "site", "state", "next_at"),
    Index("outbox_by_delivery", "site", "channel", "delivered_at"),
)

# When machines started and stopped, as the engine said.
run_log = Table(
    "run_log",
    metadata,
    key("site"),
    key("asset"),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("running", Boolean, nullable=False),
    to_asset(),
)

wo_cost = Table(
    "wo_cost",
    metadata,
    key("site"),
    key("number"),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("cost_kind", String, nullable=False),
    Column("cost_fen", BigInteger, nullable=False),
    Column("minutes", Integer),
    Column("part_no", String),
    Column("comment", String),
    Column("at", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    to_order(),
    CheckConstraint("cost_kind IN ('labour', 'part', 'external')", name="cost_kind"),
)

approval = Table(
    "approval",
    metadata,
    key("site"),
    key("number"),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("role", String, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("decision", String, nullable=False),
    Column("by", String),
    Column("at", BigInteger),
    to_order(),
    CheckConstraint("decision IN ('pending', 'approved', 'rejected', 'bypassed')", name="decision"),
)

# Preventive work: the plan, and each time it fell due (without an order: the one before was still open).
pm_plan = Table(
    "pm_plan",
    metadata,
    key("site"),
    key("id"),
    Column("asset", String, nullable=False),
    Column("title_zh", String, nullable=False),
    Column("title_en", String, nullable=False),
    Column("tasks", Text, nullable=False),
    Column("every_ms", BigInteger),
    Column("every_count", BigInteger),
    Column("counter", String),
    Column("basis", String, nullable=False),
    Column("lead", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("skip_if_open", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("next_due", BigInteger),
    to_asset(),
    CheckConstraint("basis IN ('fixed', 'floating')", name="basis"),
    CheckConstraint("(every_ms IS NULL) <> (every_count IS NULL)", name="every"),
    CheckConstraint("(every_count IS NULL) = (counter IS NULL)", name="counter"),
    Index("pm_plan_by_counter", "site", "asset", "counter"),
)

pm_due = Table(
    "pm_due",
    metadata,
    key("site"),
    key("plan"),
    Column("due", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("number", String),
    ForeignKeyConstraint(["site", "plan"], ["pm_plan.site", "pm_plan.id"]),
    to_order(),
)

counter = Table(
    "counter",
    metadata,
    key("site"),
    key("asset"),
    key("name"),
    Column("value", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    to_asset(),
)

# What a gateway has to tell a database that it shares with others, oldest first, until it has arrived there.
forward = Table(
    "forward",
    metadata,
    key("site"),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("verb", String, nullable=False),
    Column("body", Text, nullable=False),
)

# Alarms that somebody muted for a stated time: of one rule on an asset, or (rule_id '') of all.
shelf = Table(
    "shelf",
    metadata,
    key("site"),
    key("asset"),
    key("rule_id"),
    Column("until", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
    to_asset(),
)

# What people add to an order: photos, papers. The bytes are named by their hash.
attachment = Table(
    "attachment",
    metadata,
    key("site"),
    key("number"),
    key("sha256"),
    Column("name", String, nullable=False),
    Column("mime", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    Column("data", LargeBinary, nullable=False),
    to_order(),
)

# What a program was answered to a request that it named by a key of its own: the same key, the same answer.
answered = Table(
    "answered",
    metadata,
    key("site"),
    key("actor"),
    key("key"),
    Column("sha256", String, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("answered_by_time", "site", "at"),
)

# What a person signs with where no signature is drawn; wrong ones are counted, so that nobody tries them all.
pin = Table(
    "pin",
    metadata,
    key("site"),
    key("person"),
    Column("salt", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("wrong", Integer, nullable=False),
    Column("wrong_at", BigInteger, nullable=False),
)

# Papers that a machine read and was not sure of: somebody looks before they become history.
review = Table(
    "review",
    metadata,
    key("site"),
    key("id"),
    Column("state", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String, nullable=False),
    Column("decided_at", BigInteger),
    Column("decided_by", String),
    CheckConstraint("state IN ('waiting', 'accepted', 'dismissed')", name="state"),
)

# A key called a false alarm, per rule: silent until the time, or until severity or rule version change.
mute = Table(
    "mute",
    metadata,
    key("site"),
    key("fault_key"),
    key("rule_id"),
    Column("rule_hash", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("number", String, nullable=False),
    Column("count", Integer, nullable=False),
    to_order(),
)

# What falls due later. With an ``asset`` it counts running time: while the machine stands, due_at is null.
timer = Table(
    "timer",
    metadata,
    key("site"),
    key("kind"),
    key("subject"),
    Column("due_at", BigInteger),
    Column("left_ms", BigInteger),
    Column("asset", String),
    Index("timer_by_due", "site", "due_at"),
)


def same(table: Table, *names: str) -> ColumnElement[bool]:
    """The rows of one site that have these values, for a statement built once; ``Reading.of`` gives the values."""
    return and_(*(table.c[name] == bindparam(f"of_{name}") for name in ("site", *names)))


# Built once, like every statement of the way from alarm to order: composing one costs SQLAlchemy more than running it.
NEWEST = (work_order.c.opened_at.desc(), work_order.c.number.desc())
NEWEST_CLOSED = (work_order.c.closed_at.desc(), work_order.c.number.desc())
