"""A Modbus device's settings: its unit id, its manners, and where each signal stands in its map."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from devices.plan import MOST_REGISTERS
from devices.register import BIT_TABLES, Block, Order, Register, Table, Type, orders
from devices.settings import DeviceSettings, NotNegative, PointName, Positive, Scaled

_SECOND = timedelta(seconds=1)


class ModbusPoint(Scaled):
    """Where one signal stands in the device's map, and what its number means."""

    address: int = Field(ge=0, le=65535)
    table: Table = "holding"
    type: Type | None = None
    order: Order = "ABCD"
    bit: int | None = Field(default=None, ge=0, le=15)
    period: Positive | None = None

    @model_validator(mode="after")
    def _fits(self) -> ModbusPoint:
        if self.table in BIT_TABLES:
            if self.type not in (None, "bit") or self.bit is not None:
                raise ValueError(f"a {self.table} is one bit by itself: leave out type and bit")
            return self
        if (self.type == "bit") != (self.bit is not None):
            raise ValueError('type = "bit" and bit = 0..15 belong together (0 is the lowest)')
        register = self.register()
        if self.order not in orders(register.type):
            suits = ", ".join(orders(register.type))
            raise ValueError(f"order {self.order} does not suit {register.type}; one of {suits} would do")
        if register.end > 65536:
            raise ValueError(f"{register.type} at address {self.address} ends beyond 65535")
        return self

    def register(self) -> Register:
        """The point as the decoder takes it; equal points share one."""
        return _register(self)


@cache
def _register(point: ModbusPoint) -> Register:
    return Register(
        address=point.address,
        type=point.type or ("bit" if point.table in BIT_TABLES else "u16"),
        table=point.table,
        order=point.order,
        bit=point.bit or 0,
        scale=point.scale,
        offset=point.offset,
        sentinel=point.sentinel,
        range=point.range,
    )


@cache
def _same(point: ModbusPoint) -> ModbusPoint:
    return point


class ModbusDevice(DeviceSettings):
    """One unit and the points to read from it."""

    unit_id: int = Field(default=1, ge=0, le=255)
    period: Positive = _SECOND
    timeout: Positive = _SECOND
    retries: int = Field(default=1, ge=0, le=10)
    turn_around: NotNegative = timedelta()
    max_registers: int = Field(default=MOST_REGISTERS, ge=1, le=MOST_REGISTERS)
    points: Annotated[dict[PointName, ModbusPoint], Field(min_length=1)]

    @field_validator("points", mode="after")
    @classmethod
    def _share(cls, points: dict[str, ModbusPoint]) -> dict[str, ModbusPoint]:
        """A thousand devices of one type hold their map once."""
        return {name: _same(point) for name, point in points.items()}

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

    def groups(self) -> dict[timedelta, dict[str, Register]]:
        """Points by the period at which they are read, the fastest first."""
        found: dict[timedelta, dict[str, Register]] = {}
        for name, point in self.points.items():
            found.setdefault(point.period or self.period, {})[name] = point.register()
        return dict(sorted(found.items()))
