"""Sparkplug B payloads: the few Protocol Buffers fields that carry measurements, read and (to ask for a birth) written.

Pure: no wire, no clock. Of the wire format only what a reader needs: varints, fixed fields and lengths; fields that
nobody asked for are passed over, as the format wants it (protobuf.dev, Encoding; Sparkplug 3.0, chapter 6).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from devices.mqtt_payload import PayloadError

REBIRTH: Final = "Node Control/Rebirth"
BD_SEQ: Final = "bdSeq"  # which birth a death belongs to

_SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}  # bits of Int8 to Int64: they come as unsigned numbers
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_VARINT = 10
Value: TypeAlias = float | int | bool | str | None


class Metric(NamedTuple):
    """One metric of a message. ``time`` is UTC in ms, ``name`` is empty where an alias stands for it.

    ``value`` is None where there is none, or nothing that is a number, a truth or a text.
    """

    name: str = ""
    alias: int | None = None
    time: int | None = None
    datatype: int = 0
    historical: bool = False
    value: Value = None


class Payload(NamedTuple):
    """A message. ``time`` is UTC in ms, ``seq`` counts the node's messages from 0 to 255 and round again."""

    time: int | None
    seq: int | None
    metrics: tuple[Metric, ...]


def payload(data: bytes) -> Payload:
    """The message in ``data``; PayloadError if it is none."""
    time = seq = None
    metrics = []
    for number, field in _fields(data):
        if number == 1 and isinstance(field, int):
            time = field
        elif number == 2 and isinstance(field, bytes):
            metrics.append(_metric(field))
        elif number == 3 and isinstance(field, int):
            seq = field
    return Payload(time, seq, tuple(metrics))


def number(value: Value, datatype: int) -> Value:
    """``value`` with the sign that its datatype gives it; a DATA message may leave the datatype to the birth."""
    bits = _SIGNED.get(datatype)
    if bits is None or not isinstance(value, int) or isinstance(value, bool):
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def rebirth(time: int) -> bytes:
    """The command by which a node is asked to say again all that it has; ``time`` is UTC in ms."""
    name = REBIRTH.encode()
    metric = b"\x0a" + _varint(len(name)) + name + b"\x18" + _varint(time) + b"\x20\x0b" + b"\x70\x01"
    return b"\x08" + _varint(time) + b"\x12" + _varint(len(metric)) + metric


def _metric(data: bytes) -> Metric:
    fields = dict(_fields(data))
    name, datatype = fields.get(1, b""), _whole(fields, 4) or 0
    return Metric(
        name=_text(name) if isinstance(name, bytes) else "",
        alias=_whole(fields, 2),
        time=_whole(fields, 3),
        datatype=datatype,
        historical=bool(_whole(fields, 5)),
        value=None if _whole(fields, 7) else number(_value(fields), datatype),
    )


def _whole(fields: dict[int, int | bytes], place: int) -> int | None:
    found = fields.get(place)
    return found if isinstance(found, int) else None


def _value(fields: dict[int, int | bytes]) -> Value:
    """The one of the fields 10 to 15 that is there, as what it is."""
    for place, field in fields.items():
        match place, field:
            case ((10 | 11), int()):
                return field
            case 12, bytes() if len(field) == _FLOAT.size:
                return float(_FLOAT.unpack(field)[0])
            case 13, bytes() if len(field) == _DOUBLE.size:
                return float(_DOUBLE.unpack(field)[0])
            case 14, int():
                return bool(field)
            case 15, bytes():
                return _text(field)
    return None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields in ``data``: varints as numbers, all others as their bytes."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        elif kind in (_EIGHT, _FOUR):
            size = 8 if kind == _EIGHT else 4
        else:
            raise PayloadError(f"no Sparkplug payload: wire type {kind}")
        if at + size > len(data):
            raise PayloadError("no Sparkplug payload: it ends within a field")
        yield key >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + _LONGEST_VARINT, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, place + 1
        shift += 7
    raise PayloadError("no Sparkplug payload: a number without end")


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f"no Sparkplug payload: {error}") from error
