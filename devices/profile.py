"""Device types as data: register maps with their sources, that a site's devices take points from.

The shipped ones stand in ``devices/profiles/``; a site adds its own in its folder ``profiles/``.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from devices.modbus_point import ModbusPoint
from devices.modbus_text import ModbusText, TextName
from devices.settings import NotNegative, Positive, Settings

SHIPPED = Path(__file__).with_name("profiles")


class ProfilePoint(ModbusPoint):
    """A point of a device type, in ``unit``."""

    unit: str  # in the words of a site's asset classes


class FactoryPort(Settings):
    """How its serial port leaves the factory; the site's line says how it is set."""

    baud: int
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1

    def __str__(self) -> str:
        return f"{self.baud} 8{self.parity}{self.stop_bits}"


class Profile(Settings):
    """A device type: where its registers are known from, its manners, its points by their names."""

    title: str = Field(min_length=1)
    category: Literal[
        "energy meter", "drive", "compressor", "vibration", "temperature", "flow", "environment"
    ]
    source: str = Field(min_length=10)
    note: str = ""
    port: FactoryPort | None = None
    unit_id: int | None = Field(default=None, ge=0, le=255)
    timeout: Positive | None = None
    turn_around: NotNegative | None = None
    max_registers: int | None = Field(default=None, ge=1, le=125)
    points: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ProfilePoint], Field(min_length=1)
    ]
    texts: dict[TextName, ModbusText] = Field(default_factory=dict)

    def manners(self) -> dict[str, Any]:
        """What it says about a device beside its points."""
        return self.model_dump(
            include={"unit_id", "timeout", "turn_around", "max_registers"}, exclude_none=True
        )

    def point(self, name: str) -> dict[str, Any]:
        """The settings of one point; raises ValueError when there is none of that name."""
        if name not in self.points:
            raise ValueError(f"the profile has no point {name!r}; {_nearest(name, self.points)}")
        return self.points[name].model_dump(exclude_unset=True)


def names(folder: Path | None = None) -> dict[str, Path]:
    """Every profile's file by its name: the shipped ones, and those of the site ``folder``, which come first."""
    own = sorted((folder / "profiles").glob("*.toml")) if folder else []
    return {path.stem: path for path in (*sorted(SHIPPED.glob("*.toml")), *own)}


def load(path: Path) -> Profile:
    """The profile in this file; raises ValueError with the first mistake in it."""
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else _missing(path)


def named(name: str, folder: Path | None = None) -> Profile:
    """The profile of this name; raises ValueError."""
    known = names(folder)
    if name not in known:
        raise ValueError(f"no profile {name!r}; {_nearest(name, known)}")
    return load(known[name])


def fill_in(device: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """A device's settings with what its profile gives; what the device says itself comes first."""
    asset, only, points = device.get("asset"), device.get("only"), device.get("points", {})
    if "profile" not in device:
        if asset is not None or only is not None:
            raise ValueError(
                'asset and only take points from a profile; name one, such as profile = "eastron-sdm630"'
            )
        return dict(device)
    profile = named(str(device["profile"]), folder)
    if only is not None and asset is None:
        raise ValueError("only needs asset: the asset whose signals these points are")
    taken = list(profile.points if only is None else only) if asset is not None else []
    found = {f"{asset}/{name}": profile.point(str(name)) for name in taken}
    if isinstance(points, Mapping):
        found |= {signal: _point(profile, value) for signal, value in points.items()}
    if not found:
        raise ValueError(f"which points? {_example(profile)}")
    texts = device.get("texts", {})
    if isinstance(texts, Mapping):
        texts = {**profile.model_dump(include={"texts"}, exclude_unset=True).get("texts", {}), **texts}
    return {**profile.manners(), **device, "points": found, "texts": texts}


def _point(profile: Profile, value: Any) -> Any:
    if isinstance(value, str):
        return profile.point(value)
    if isinstance(value, Mapping) and "point" in value:
        return profile.point(str(value["point"])) | {k: v for k, v in value.items() if k != "point"}
    return value


def _example(profile: Profile) -> str:
    return f'asset = "…" takes all, [points] "asset/signal" = "{next(iter(profile.points))}" takes one'


def _missing(path: Path) -> Profile:
    raise ValueError(f"no profile at {path}")


@lru_cache(maxsize=256)
def _load(path: Path, _changed: int) -> Profile:
    try:
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path.name}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: {error}") from None


def _nearest(found: str, known: Iterable[str]) -> str:
    choices = list(known)
    near = difflib.get_close_matches(found, choices, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(choices)}"
