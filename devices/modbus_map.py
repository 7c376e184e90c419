"""A Modbus device's settings: its unit id, its manners, and its points, which a profile may give."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from devices.modbus_point import ModbusPoint
from devices.modbus_text import ModbusText, TextName
from devices.plan import MOST_REGISTERS
from devices.profile import fill_in
from devices.register import Block
from devices.settings import NotNegative, PointName, PolledDevice, Positive

_SECOND = timedelta(seconds=1)


@cache
def _same(point: ModbusPoint) -> ModbusPoint:
    return point


class ModbusDevice(PolledDevice):
    """One unit and the points to read from it.

    With a ``profile`` a point may be the name of one of its points, or a table with ``point`` and what differs;
    ``asset`` takes all of them, or those named in ``only``, as signals of that asset.
    """

    profile: str | None = None
    asset: str | None = None
    only: tuple[str, ...] | None = None
    unit_id: int = Field(default=1, ge=0, le=255)
    timeout: Positive = _SECOND
    retries: int = Field(default=1, ge=0, le=10)
    turn_around: NotNegative = timedelta()
    max_registers: int = Field(default=MOST_REGISTERS, ge=1, le=MOST_REGISTERS)
    points: Annotated[dict[PointName, ModbusPoint], Field(min_length=1)]
    texts: dict[TextName, ModbusText] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_profile(cls, data: Any, info: ValidationInfo) -> Any:
        return fill_in(data, (info.context or {}).get("folder")) if isinstance(data, dict) else data

    @field_validator("points", mode="after")
    @classmethod
    def _share(cls, points: dict[str, ModbusPoint]) -> dict[str, ModbusPoint]:
        """A thousand devices of one type hold their map once."""
        return {name: _same(point) for name, point in points.items()}

    @model_validator(mode="after")
    def _reports_fit(self) -> ModbusDevice:
        self.check_reports(self.points)
        return self

    @model_validator(mode="after")
    def _points_stand_apart(self) -> ModbusDevice:
        taken = sorted(
            (point.table, point.address, point.register().end, name)
            for name, point in self.points.items()
            if point.bit is None
        )
        for (table, start, end, name), (next_table, next_start, next_end, other) in pairwise(taken):
            same = (start, end) == (next_start, next_end)  # one register may well be two signals
            if table == next_table and next_start < end and not same:
                one, two = Block(table, start, end - start), Block(table, next_start, next_end - next_start)
                raise ValueError(f"{name} ({one}) and {other} ({two}) overlap: correct an address or a type")
        return self

    def signals(self) -> tuple[str, ...]:
        """The names of its points."""
        return tuple(self.points)

    def units(self) -> dict[str, str]:
        """See DeviceSettings."""
        return {name: point.unit for name, point in self.points.items() if point.unit is not None}

    def groups(self) -> dict[timedelta, dict[str, ModbusPoint]]:
        """Points by the period at which they are read, the fastest first."""
        found: dict[timedelta, dict[str, ModbusPoint]] = {}
        for name, point in self.points.items():
            found.setdefault(point.period or self.period, {})[name] = point
        return dict(sorted(found.items()))
