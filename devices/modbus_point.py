"""Where one signal stands in a Modbus device's map."""

from __future__ import annotations

from functools import cache

from pydantic import Field, model_validator

from devices.register import BIT_TABLES, Order, Register, Table, Type, orders
from devices.settings import Positive, Reported


class ModbusPoint(Reported):
    """Where one signal stands in the device's map, and what its number means.

    ``unit``, as a profile gives it, must be that of the signal.
    """

    address: int = Field(ge=0, le=65535)
    table: Table = "holding"
    type: Type | None = None
    order: Order = "ABCD"
    bit: int | None = Field(default=None, ge=0, le=15)
    period: Positive | None = None
    unit: str | None = None

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
