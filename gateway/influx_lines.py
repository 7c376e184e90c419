"""Batches as InfluxDB line protocol: a template for each signal set, filled for many batches at once.

Measurement = class of asset; tags ``site``, ``asset``, ``source``; one field a quantity, and ``<quantity>_q`` beside
it where the quality is not good. What is BAD, or not a finite number, has no field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import msgspec
import numpy as np

from devices.batch import BAD, Batch, SignalSet

TAGS: Final = ("site", "asset", "source")
_RESERVED: Final = {"time", *TAGS}
# A backslash before a delimiter cannot be written, control characters end a line: neither is worth a name.
_UNWRITABLE: Final = {ord("\\"): "_", **dict.fromkeys(range(32), "_"), 127: "_"}
_MEASUREMENT_ESCAPES: Final = {ord(","): "\\,", ord(" "): "\\ "}
_ESCAPES: Final = {**_MEASUREMENT_ESCAPES, ord("="): "\\="}

_numbers = msgspec.json.Encoder()


def plain(name: str) -> str:
    """``name`` as it is stored: without what line protocol cannot carry."""
    return name.translate(_UNWRITABLE) or "_"


def field_of(quantity: str) -> str:
    """The field that holds ``quantity``: its name, unless that means something else already."""
    name = plain(quantity)
    return f"{name}_" if name in _RESERVED or name.endswith("_q") else name


def quality_of(quantity: str) -> str:
    """The field that holds the quality of ``quantity`` where it is not good."""
    return f"{field_of(quantity)}_q"


def measurement_of(asset_class: str) -> str:
    """The measurement of a class of assets; ``#`` at its head would make its lines comments."""
    name = plain(asset_class)
    return f"_{name[1:]}" if name.startswith("#") else name


def split(signal: str) -> tuple[str, str]:
    """Asset and quantity of ``"pump-1/vib_rms"``."""
    asset, _, quantity = signal.partition("/")
    return asset, quantity


@dataclass(frozen=True, slots=True)
class _Line:
    """One asset's line: what comes before its fields, and the fields with their places in the batch."""

    head: bytes
    columns: tuple[int, ...]
    fields: tuple[bytes, ...]
    quality_fields: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Template:
    """All lines of a signal set; ``whole`` is filled with what ``pick`` takes of the values and the time."""

    lines: tuple[_Line, ...]
    whole: bytes
    pick: Callable[[Sequence[bytes]], tuple[bytes, ...]]


class LineProtocol:
    """Encodes batches of one site; ``class_of`` tells an asset's class."""

    def __init__(self, site: str, class_of: Callable[[str], str]) -> None:
        self._site = site
        self._class_of = class_of
        self._templates: dict[SignalSet, _Template] = {}

    def encode(self, batches: Iterable[Batch]) -> bytes:
        """The lines of ``batches``, those of a signal set together."""
        groups: dict[SignalSet, list[Batch]] = {}
        for batch in batches:
            groups.setdefault(batch.signals, []).append(batch)
        return b"".join(
            part for signals, group in groups.items() for part in self._encode_group(signals, group)
        )

    def _encode_group(self, signals: SignalSet, group: Sequence[Batch]) -> list[bytes]:
        template = self._templates.get(signals)
        if template is None:
            template = self._templates[signals] = self._compile(signals)
        width = len(signals.names)
        values = np.concatenate([batch.values for batch in group]).reshape(len(group), width)
        quality = np.concatenate([batch.quality for batch in group]).reshape(len(group), width)
        finite = np.isfinite(values)
        whole = (finite.all(axis=1) & ~quality.any(axis=1)).tolist()
        numbers = _numbers.encode(values.ravel().tolist())[1:-1].split(b",")
        parts = []
        for i, batch in enumerate(group):
            row = numbers[i * width : (i + 1) * width]
            time = b"%d" % batch.time
            if whole[i]:
                parts.append(template.whole % template.pick([*row, time]))
            else:
                there = (finite[i] & (quality[i] & BAD == 0)).tolist()
                parts.append(_some(template, row, quality[i].tolist(), there, time))
        return parts

    def _compile(self, signals: SignalSet) -> _Template:
        columns: dict[str, list[int]] = {}
        for column, name in enumerate(signals.names):
            columns.setdefault(split(name)[0], []).append(column)
        lines = tuple(self._line(signals, asset, places) for asset, places in columns.items())
        whole = b"".join(
            line.head.replace(b"%", b"%%")
            + b",".join(field.replace(b"%", b"%%") + b"=%b" for field in line.fields)
            + b" %b\n"
            for line in lines
        )
        places = [place for line in lines for place in (*line.columns, len(signals.names))]
        return _Template(lines, whole, itemgetter(*places))

    def _line(self, signals: SignalSet, asset: str, columns: Sequence[int]) -> _Line:
        tags = zip(TAGS, (self._site, asset, signals.source), strict=True)
        quantities = [split(signals.names[column])[1] for column in columns]
        measurement = measurement_of(self._class_of(asset)).translate(_MEASUREMENT_ESCAPES)
        head = ",".join([measurement, *(f"{key}={_escaped(plain(value))}" for key, value in tags)])
        return _Line(
            f"{head} ".encode(),
            tuple(columns),
            tuple(_escaped(field_of(each)).encode() for each in quantities),
            tuple(_escaped(quality_of(each)).encode() for each in quantities),
        )


def _some(
    template: _Template, row: Sequence[bytes], quality: Sequence[int], there: Sequence[bool], time: bytes
) -> bytes:
    """The lines of a batch in which not all is good."""
    lines = []
    for line in template.lines:
        fields = []
        for column, name, quality_name in zip(line.columns, line.fields, line.quality_fields, strict=True):
            if there[column]:
                fields.append(b"%b=%b" % (name, row[column]))
                if quality[column]:
                    fields.append(b"%b=%di" % (quality_name, quality[column]))
        if fields:
            lines.append(b"%b%b %b\n" % (line.head, b",".join(fields), time))
    return b"".join(lines)


def _escaped(name: str) -> str:
    return name.translate(_ESCAPES)
