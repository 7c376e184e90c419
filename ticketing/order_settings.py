"""``orders.toml``: by when orders are due, who approves and signs, who is given what, the site's own fields."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ticketing.people_settings import Role, ShiftSettings

if TYPE_CHECKING:
    from ticketing import CustomField

Priority = Annotated[int, Field(ge=1, le=4)]
Hold = Literal["parts", "access", "approval", "vendor", "production"]
Kind = Literal[
    "text", "long_text", "number", "decimal", "yes_no", "date", "time",
    "choice", "choices", "person", "asset", "address",
]  # fmt: skip
Figure = Literal[
    "first_response", "time_to_accept", "time_to_resolve", "repair_time", "down_time", "time_between_failures",
    "fixed_at_once", "satisfaction", "accepted_in_time", "resolved_in_time", "planned_in_time", "backlog",
]  # fmt: skip
MS = timedelta(milliseconds=1)


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetSettings(_Form):
    """How soon an order must be accepted and resolved; ``working``: only the hours of ``[hours]`` count."""

    ack: timedelta
    resolve: timedelta
    working: bool = False


class ApprovalSettings(_Form):
    """From so many yuan on, somebody in this role approves the estimate."""

    yuan: int = Field(ge=1)
    role: Role


class StepSettings(_Form):
    """Whom to tell when nobody opened (open), accepted (ack) or resolved it, ``before`` the due time."""

    clock: Literal["open", "ack", "resolve"]
    role: Role
    before: timedelta = timedelta(0)
    priorities: tuple[Priority, ...] = (1, 2, 3, 4)


class GoalSettings(_Form):
    """What is good and what is bearable of a figure, in hours or per cent; beyond that it is red."""

    green: float
    amber: float

    @model_validator(mode="after")
    def _apart(self) -> GoalSettings:
        if self.green == self.amber:
            raise ValueError("green and amber are the same: the better one is green")
        return self


class FieldSettings(_Form):
    """One of the site's own fields; ``choices`` maps a code to its Chinese and English name."""

    kind: Kind
    zh: str
    en: str
    choices: dict[str, tuple[str, str]] | None = None
    needed: Literal["open", "resolve"] | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _choices_where_chosen(self) -> FieldSettings:
        if (self.choices is not None) != self.kind.startswith("choice"):
            raise ValueError("choices belong to the kinds choice and choices, and only to them")
        return self

    def field(self, name: str) -> CustomField:
        """As the ticket core has it."""
        from ticketing import CustomField

        return CustomField(
            name, self.kind, self.zh, self.en, self.choices, self.needed, self.unit, self.low, self.high
        )


class OrderSettings(_Form):
    """What is not said keeps its default: `watchkeeper orders policy` prints what holds."""

    hours: ShiftSettings | None = None
    holidays: tuple[date, ...] = ()
    target: dict[Literal["1", "2", "3", "4"], TargetSettings] = Field(default_factory=dict)
    approval: tuple[ApprovalSettings, ...] | None = None
    step: dict[str, StepSettings] | None = None
    pausing: tuple[Hold, ...] | None = None
    signed: tuple[Priority, ...] = ()
    route: bool = False
    skill: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    goal: dict[Figure, GoalSettings] = Field(default_factory=dict)
    field: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], FieldSettings] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _hours_where_they_count(self) -> OrderSettings:
        if self.hours is None and any(target.working for target in self.target.values()):
            raise ValueError("a target with working = true needs [hours]: when people work")
        return self

    def figures(self) -> dict[str, Any]:
        """The fields of the ticket core's policy that this says."""
        from dataclasses import replace

        from ticketing import Step, Target
        from ticketing.policy import default_targets

        calendar = self.hours.calendar() if self.hours else None
        if calendar is not None:
            calendar = replace(calendar, holidays=tuple(day.isoformat() for day in self.holidays))
        said = {
            int(n): Target(each.ack // MS, each.resolve // MS, each.working)
            for n, each in self.target.items()
        }
        found: dict[str, Any] = {
            "calendar": calendar,
            "targets": default_targets() | said,
            "signed": self.signed,
            "route": self.route,
            "skills": self.skill,
            "goals": {name: (goal.green, goal.amber) for name, goal in self.goal.items()},
            "fields": tuple(each.field(name) for name, each in self.field.items()),
        }
        if self.approval is not None:
            found["approvals"] = tuple(sorted((each.yuan * 100, each.role) for each in self.approval))
        if self.step is not None:
            found["steps"] = tuple(
                Step(name, each.clock, each.role, each.before // MS, each.priorities)
                for name, each in self.step.items()
            )
        if self.pausing is not None:
            found["pausing"] = self.pausing
        return found
