"""What a site folder says: its assets and their signals, and the settings of every room, checked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from devices.kinds import DeviceSettings, LineSettings
from devices.mqtt import MqttLine
from gateway.channels import ChannelSettings
from gateway.history import HistorySettings
from gateway.influx import InfluxSettings
from gateway.mistakes import did_you_mean
from gateway.own import GATEWAY
from gateway.reorder import JudgeSettings
from gateway.running import RunningSettings
from gateway.spool import SpoolSettings
from gateway.web.settings import WebSettings
from models.settings import BearingSettings, ModelSettings
from rules import RuleSettings
from ticketing.order_settings import OrderSettings
from ticketing.people_settings import Person, ShiftSettings

_UNITS: Final = {
    "number": ("1", "%", "count", "ppm", "dB"),
    "time": ("s", "min", "h", "d"),
    "length": ("um", "mm", "m"),
    "speed": ("rpm", "mm/s", "m/s"),
    "acceleration": ("g", "m/s2"),
    "angle": ("rad",),
    "frequency": ("Hz", "kHz"),
    "temperature": ("degC", "degF", "K"),
    "mass": ("g", "kg", "t"),
    "force": ("N", "Nm"),
    "pressure": ("Pa", "kPa", "MPa", "mbar", "bar"),
    "volume": ("L", "m3"),
    "flow": ("L/min", "L/h", "m3/h", "kg/h", "t/h"),
    "electric": ("mV", "V", "kV", "mA", "A", "kA", "Ah"),
    "power": ("W", "kW", "MW", "VA", "kVA", "var", "kvar"),
    "energy": ("J", "Wh", "kWh", "MWh", "kVAh", "varh", "kvarh"),
    "liquid": ("cP", "mPa.s", "mS/cm", "uS/cm", "NTU", "pH", "mg/L", "mol/L"),
    "data": ("MB",),
}
UNITS: Final = frozenset(chain.from_iterable(_UNITS.values()))


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SiteSettings(_Form):
    """The head of ``site.toml``."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    name: str
    language: Literal["zh", "en"] = "en"
    state: Path = Path("state")
    core: SecretStr | None = None  # a PostgreSQL address; absent: SQLite in the state folder
    gateway: str = Field(default=GATEWAY, pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")  # its name among several


def _known_unit(unit: str) -> str:
    if unit not in UNITS:
        raise ValueError(did_you_mean(unit, UNITS, "a unit such as mm/s, degC, bar"))
    return unit


class Signal(_Form):
    """One quantity of a class of assets."""

    unit: Annotated[str, AfterValidator(_known_unit)]
    range: tuple[float, float] | None = None
    name_zh: str = ""
    name_en: str = ""


class AssetClass(_Form):
    """A kind of machine and the quantities it has."""

    name_zh: str = ""
    name_en: str = ""
    signals: dict[str, Signal] = Field(min_length=1)
    running: RunningSettings | None = None


class Asset(_Form):
    """A maintained machine. ``params`` overrides rule parameters: ``{rule id: {parameter: number}}``."""

    asset_class: str = Field(alias="class")
    name_zh: str = ""
    name_en: str = ""
    parent: str | None = None
    criticality: Literal["A", "B", "C"] = "B"
    model: str = ""
    serial: str = ""
    params: dict[str, dict[str, float]] = Field(default_factory=dict)
    bearings: dict[str, BearingSettings] = Field(default_factory=dict)
    running: RunningSettings | None = None  # else the class's


@dataclass(frozen=True)
class Site:
    """Everything the site folder says, checked."""

    folder: Path
    site: SiteSettings
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    store: HistorySettings | InfluxSettings = field(default_factory=HistorySettings)
    web: WebSettings = field(default_factory=WebSettings)
    classes: Mapping[str, AssetClass] = field(default_factory=dict)
    assets: Mapping[str, Asset] = field(default_factory=dict)
    lines: Mapping[str, LineSettings] = field(default_factory=dict)
    devices: Mapping[str, DeviceSettings] = field(default_factory=dict)
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    people: Mapping[str, Person] = field(default_factory=dict)
    shifts: Mapping[str, ShiftSettings] = field(default_factory=dict)
    channels: Mapping[str, ChannelSettings] = field(default_factory=dict)
    orders: OrderSettings = field(default_factory=OrderSettings)

    @cached_property
    def state(self) -> Path:
        """The state folder: systemd's, or the site file's (relative to the site folder)."""
        return Path(os.environ.get("STATE_DIRECTORY") or self.folder / self.site.state)

    @property
    def core(self) -> str:
        """The ticket core's database: PostgreSQL, or SQLite in the state folder."""
        return self.site.core.get_secret_value() if self.site.core else str(self.state / "core.db")

    @property
    def shared(self) -> bool:
        """Whether the ticket core is a server's, for several gateways, and may be away."""
        return "://" in self.core

    @property
    def gateway(self) -> str:
        """What we ourselves are called among the site's assets."""
        return self.site.gateway

    @cached_property
    def watched_lines(self) -> list[str]:
        """The lines that are judged themselves: brokers, and wires that several devices share."""
        on = Counter(device.line for device in self.devices.values())
        return [name for name, line in self.lines.items() if on[name] > (not isinstance(line, MqttLine))]

    def class_of(self, asset: str) -> str:
        """The asset's class; ``device`` for what is talked to but not maintained, ``line`` for its wire."""
        if asset in self.assets:
            return self.assets[asset].asset_class
        if asset == self.gateway:
            return GATEWAY
        return "line" if asset in self.watched_lines else "device"

    def bearings_of(self, asset: str) -> dict[str, BearingSettings]:
        """The rolling bearings of the asset, by their names."""
        return self.assets[asset].bearings if asset in self.assets else {}

    def running_of(self, asset: str) -> RunningSettings | None:
        """How it is told whether the asset runs: its own way or that of its class."""
        found = self.assets[asset]
        kind = self.classes.get(found.asset_class)
        return found.running or (kind.running if kind else None)

    def signal(self, name: str) -> Signal | None:
        """What is known of the signal ``"pump-1/vib_rms"``."""
        asset, _, quantity = name.partition("/")
        kind = self.classes.get(self.class_of(asset))
        return kind.signals.get(quantity) if kind else None


def scoped(site: Site, scope: Any) -> list[str]:
    """The assets, devices, lines, or the gateway, that a rule's or model's scope means, in file order."""
    known = dict.fromkeys([*site.assets, *site.devices, *site.watched_lines, site.gateway])
    if scope.asset_class is not None:
        return [name for name in known if site.class_of(name) == scope.asset_class]
    return [name for name in scope.assets or () if name in known]


def quantities(site: Site, asset: str) -> set[str]:
    """What can be asked of ``asset``: its class's signals, its soft sensors; ``online`` of a device or line."""
    kind = site.classes.get(site.class_of(asset))
    known = set(kind.signals) if kind else set()
    if asset not in site.assets:
        return known
    for model in site.models.values():
        if asset in scoped(site, model.scope):
            known.update(model.outputs(sorted(known)))
    return known


def spans(site: Site, asset: str) -> dict[str, tuple[float, float] | None]:
    """The asset's quantities with their ranges, None where unknown."""
    found: dict[str, tuple[float, float] | None] = dict.fromkeys(sorted(quantities(site, asset)))
    if kind := site.classes.get(site.class_of(asset)):
        found.update({quantity: signal.range for quantity, signal in kind.signals.items()})
    return found


def overrides(site: Site, asset: str, rule: str) -> Mapping[str, float]:
    """The asset's own numbers for the rule's parameters."""
    return site.assets[asset].params.get(rule, {}) if asset in site.assets else {}
