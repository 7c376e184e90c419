"""The site folder: TOML files, read and checked as a whole before anything opens.

``load_site(folder)`` returns a :class:`Site` or raises :class:`ConfigError`, which holds every mistake at once:
file, key, what was found and what would do. Nothing is opened, no address is resolved.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from devices.kinds import KINDS, DeviceSettings, LineSettings, clashes, overloads
from devices.mqtt import MqttLine
from gateway.channels import CHANNEL_KINDS, ChannelSettings
from gateway.history import HistorySettings
from gateway.influx import InfluxSettings
from gateway.own import GATEWAY, tables
from gateway.reorder import JudgeSettings
from gateway.running import RunningSettings
from gateway.spool import SpoolSettings
from gateway.web.settings import WebSettings
from models.settings import MODEL_KINDS, BearingSettings, ModelSettings
from rules import Rule, RuleError, RuleSettings, bind
from rules.duration import parse_duration
from ticketing.order_settings import OrderSettings
from ticketing.people_settings import NAME, Person, ShiftSettings

TABLES: dict[str, set[str]] = {  # what each file may hold; orders.toml is one form
    "site.toml": {"site", "spool", "judge", "store", "web", "notify"},
    "assets.toml": {"class", "asset"},
    "devices.toml": {"line", "device"},
    "rules.toml": {"rule"},
    "models.toml": {"model"},
    "people.toml": {"person", "shift"},
}
UNITS = frozenset(
    [
        "1",
        "%",
        "A",
        "Ah",
        "Hz",
        "J",
        "K",
        "L",
        "L/h",
        "L/min",
        "N",
        "Nm",
        "Pa",
        "V",
        "VA",
        "W",
        "Wh",
        "bar",
        "cP",
        "count",
        "degC",
        "degF",
        "d",
        "dB",
        "g",
        "h",
        "kA",
        "kHz",
        "kPa",
        "kV",
        "kVA",
        "kVAh",
        "kW",
        "kWh",
        "kg",
        "kg/h",
        "kvar",
        "kvarh",
        "m",
        "m/s",
        "m/s2",
        "m3",
        "m3/h",
        "mA",
        "mPa.s",
        "mS/cm",
        "mV",
        "mbar",
        "mg/L",
        "min",
        "mm",
        "mm/s",
        "mol/L",
        "MPa",
        "MB",
        "MW",
        "MWh",
        "NTU",
        "ppm",
        "pH",
        "rad",
        "rpm",
        "s",
        "t",
        "t/h",
        "um",
        "var",
        "varh",
        "uS/cm",
    ]
)
F = TypeVar("F", bound=BaseModel)
OURSELVES = "it stands for ourselves; another name would do"
_ASSET_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in the site folder."""

    file: str
    key: str
    found: str
    wanted: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}" if self.key else self.file
        return f"{place}: found {self.found}; {self.wanted}"


class ConfigError(Exception):
    """The site folder is wrong; ``mistakes`` names all of it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[Mistake]]]:
        return ConfigError, (self.mistakes,)

    def summary(self, folder: Path) -> str:
        """How many there are, and that this is all that happened."""
        n = len(self.mistakes)
        return f"{n} mistake{'s' * (n != 1)} in {folder}; nothing was opened"


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


STORES: dict[str, type[HistorySettings] | type[InfluxSettings]] = {
    "local": HistorySettings,
    "influxdb": InfluxSettings,
}


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
        raise ValueError(_did_you_mean(unit, UNITS, "a unit such as mm/s, degC, bar"))
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


def load_site(folder: Path, *, any_load: bool = False) -> Site:
    """Read and check the whole site folder; raises ConfigError with every mistake.

    With ``any_load`` a line may be asked for more than it can give.
    """
    reader = _Reader(folder, any_load)
    site = reader.build()
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    return site


class _Reader:
    def __init__(self, folder: Path, any_load: bool) -> None:
        self.folder = folder
        self.any_load = any_load
        self.mistakes: list[Mistake] = []
        self.broken: set[str] = set()  # names of tables that have mistakes of their own

    def wrong(self, file: str, key: str, found: object, wanted: str) -> None:
        self.mistakes.append(Mistake(file, _cut(key), _cut(str(found)), _cut(wanted)))

    def misfit(self, file: str, key: str, found: object, wanted: str) -> None:
        """A mistake between tables; none if it only follows from one that is said already."""
        if found not in {repr(name) for name in self.broken}:
            self.wrong(file, key, found, wanted)

    def build(self) -> Site:
        """What the folder says; where there are mistakes, what can be made of the rest, to find more of them."""
        if not (self.folder / "site.toml").is_file():
            wanted = "name a site folder, such as examples/demo"
            raise ConfigError([Mistake(str(self.folder), "", "no site.toml there", wanted)])
        tree = {file: self.tables(file, allowed) for file, allowed in TABLES.items()}
        head, assets, devices = tree["site.toml"], tree["assets.toml"], tree["devices.toml"]
        _check_own_classes(assets, self.wrong)
        assets["class"] = self.with_own("class", assets)
        tree["rules.toml"]["rule"] = self.with_own("rule", tree["rules.toml"])
        settings = self.form(SiteSettings, head.get("site", {}), "site.toml", "site")
        lines = self.table(
            {kind: entry.line for kind, entry in KINDS.items()}, devices, "devices.toml", "line"
        )
        read: dict[str, Any] = {
            "judge": self.form(JudgeSettings, head.get("judge", {}), "site.toml", "judge"),
            "spool": self.form(SpoolSettings, head.get("spool", {}), "site.toml", "spool"),
            "store": self.store(head.get("store", {})),
            "web": self.form(WebSettings, head.get("web", {}), "site.toml", "web"),
            "classes": self.table(AssetClass, assets, "assets.toml", "class"),
            "assets": self.table(Asset, assets, "assets.toml", "asset"),
            "lines": lines,
            "devices": self.devices(devices),
            "rules": self.table(RuleSettings, tree["rules.toml"], "rules.toml", "rule"),
            "models": self.table(MODEL_KINDS, tree["models.toml"], "models.toml", "model"),
            "people": self.table(Person, tree["people.toml"], "people.toml", "person"),
            "shifts": self.table(ShiftSettings, tree["people.toml"], "people.toml", "shift"),
            "channels": self.table(CHANNEL_KINDS, head, "site.toml", "notify"),
            "orders": self.form(OrderSettings, self.read("orders.toml"), "orders.toml", ""),
        }
        orphans = {name for name, asset in read["assets"].items() if asset.asset_class in self.broken}
        self.broken |= orphans
        read["assets"] = {name: asset for name, asset in read["assets"].items() if name not in orphans}
        known = {name: value for name, value in read.items() if value is not None}
        site = Site(self.folder.resolve(), settings or SiteSettings(id="unread", name=""), **known)
        _check_core(site, self.misfit)
        _check_assets(site, self.misfit)
        _check_lines(site, self.misfit)
        _check_points(site, self.misfit)
        loads = [] if self.any_load else overloads(site.lines, site.devices)
        for clash in clashes(site.lines, site.devices) + loads:
            self.wrong("devices.toml", clash.key, clash.found, clash.wanted)
        if not self.broken & tree["models.toml"].get("model", {}).keys():  # rules may watch their scores
            _check_rules(site, self.misfit)
        _check_models(site, self.misfit)
        _check_people(site, self.misfit)
        _check_channels(site, self.misfit)
        return site

    def tables(self, file: str, allowed: set[str]) -> dict[str, Any]:
        """The tables of one file, each a table indeed."""
        tree = self.read(file)
        for key, data in tree.items():
            if key not in allowed:
                self.wrong(file, key, "an unknown table", _did_you_mean(key, allowed))
            elif not isinstance(data, dict):
                self.wrong(file, key, _short(data), f"a table [{key}] would do")
        return {key: data for key, data in tree.items() if isinstance(data, dict)}

    def with_own(self, name: str, tree: dict[str, Any]) -> dict[str, Any]:
        """The tables that the site has, and those that each gateway brings; of these a site may change single keys."""
        said, own = tree.get(name, {}), self.resolve(tables()[name], "own.toml", name)
        changed = {key: _over(own[key], data) for key, data in said.items() if key in own}
        return {**said, **own, **changed}

    def read(self, file: str) -> dict[str, Any]:
        path = self.folder / file
        if not path.is_file():
            return {}
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            self.wrong(file, "", error, "valid TOML in UTF-8 would do")
            return {}
        return {key: self.resolve(value, file, key) for key, value in tree.items()}

    def resolve(self, value: Any, file: str, key: str) -> Any:
        """Durations become timedeltas; ``{ file = … }`` and ``{ env = … }`` become what they point to."""
        if isinstance(value, str):
            return _duration_or_text(value)
        if isinstance(value, list):
            return [self.resolve(item, file, f"{key}[{i}]") for i, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if set(value) == {"env"} and isinstance(value["env"], str):
            return self.secret(
                os.environ.get(value["env"]), file, key, f"environment variable {value['env']} unset"
            )
        if set(value) == {"file"} and isinstance(value["file"], str):
            path = self.folder / os.path.expandvars(value["file"])  # $CREDENTIALS_DIRECTORY is systemd's
            text = path.read_text(encoding="utf-8").strip() if path.is_file() else None
            return self.secret(text, file, key, f"no file {path}")
        return {name: self.resolve(item, file, f"{key}.{name}") for name, item in value.items()}

    def secret(self, text: str | None, file: str, key: str, missing: str) -> str:
        if text is None:
            self.wrong(file, key, missing, "set it, or write the value here")
        return text or ""

    def form(self, form: type[F], data: Any, file: str, key: str) -> F | None:
        """``data`` as ``form``, or None with every mistake noted."""
        try:
            return form.model_validate(data, context={"folder": self.folder})
        except ValidationError as error:
            for item in error.errors(include_url=False):
                self.refused(form, item, file, key)
            return None

    def refused(self, form: type[BaseModel], item: Any, file: str, key: str) -> None:
        """One of pydantic's findings in our words."""
        path = ".".join(filter(None, [key, *map(str, item["loc"])]))
        kind, found, last = item["type"], _short(item["input"]), str(item["loc"][-1] if item["loc"] else "")
        match kind:
            case "extra_forbidden":
                self.wrong(file, path, "an unknown key", _did_you_mean(last, _keys(form, item["loc"][:-1])))
            case "missing":
                self.wrong(file, path, "nothing", "this key is needed")
            case "value_error":
                found = "a contradiction" if isinstance(item["input"], dict) else found
                self.wrong(file, path, found, str(item["ctx"]["error"]))
            case _ if kind.startswith("time_delta"):
                self.wrong(
                    file, path, found, 'a duration such as "500ms", "5s", "10m", "2h" or "1d" would do'
                )
            case _:
                self.wrong(file, path, found, item["msg"][:1].lower() + item["msg"][1:])

    def store(self, data: dict[str, Any]) -> HistorySettings | InfluxSettings | None:
        form = self.chosen(STORES, {"kind": "local", **data}, "site.toml", "store")
        rest = {key: value for key, value in data.items() if key != "kind"}
        return self.form(form, rest, "site.toml", "store") if form else None

    def entries(self, tree: dict[str, Any], file: str, name: str) -> dict[str, dict[str, Any]]:
        """The ``[name.<id>]`` tables as they are written; what is none is said."""
        found = tree.get(name, {})
        for key, data in found.items():
            if not isinstance(data, dict):
                self.wrong(file, f"{name}.{key}", _short(data), f"a table [{name}.{key}] would do")
                self.broken.add(key)
        return {key: data for key, data in found.items() if isinstance(data, dict)}

    def table(
        self, form: type[F] | Mapping[str, type[F]], tree: dict[str, Any], file: str, name: str
    ) -> dict[str, F]:
        """Those ``[name.<id>]`` tables that are right, each as ``form`` or as its ``kind`` asks."""
        found: dict[str, F] = {}
        for key, data in self.entries(tree, file, name).items():
            chosen = form if isinstance(form, type) else self.chosen(form, data, file, f"{name}.{key}")
            entry = self.form(chosen, data, file, f"{name}.{key}") if chosen else None
            if entry is None:
                self.broken.add(key)
            else:
                found[key] = entry
        return found

    def chosen(
        self, forms: Mapping[str, type[F]], data: dict[str, Any], file: str, key: str
    ) -> type[F] | None:
        kind = data.get("kind")
        if str(kind) not in forms:
            self.wrong(file, f"{key}.kind", repr(kind), f"one of {', '.join(forms)} would do")
        return forms.get(str(kind))

    def devices(self, tree: dict[str, Any]) -> dict[str, DeviceSettings]:
        """Those devices that are right, each by the form that its line's kind asks for."""
        found: dict[str, DeviceSettings] = {}
        lines = tree.get("line", {})
        for name, data in self.entries(tree, "devices.toml", "device").items():
            line, device = str(data.get("line")), None
            kind = lines[line].get("kind") if isinstance(lines.get(line), dict) else None
            if line not in lines:
                near = _did_you_mean(line, set(lines))
                self.wrong("devices.toml", f"device.{name}.line", repr(data.get("line")), near)
            elif str(kind) in KINDS:  # else said already, at the line
                device = self.form(KINDS[str(kind)].device, data, "devices.toml", f"device.{name}")
            if device is None:
                self.broken.add(name)
            else:
                found[name] = device
        return found


Wrong = Callable[[str, str, object, str], None]


def _over(own: dict[str, Any], said: Any) -> Any:
    """A rule of our own as the site changed it."""
    if not isinstance(said, dict):
        return said
    params = {**own.get("params", {}), **said["params"]} if isinstance(said.get("params"), dict) else None
    return {**own, **said, **({"params": params} if params else {})}


def _check_own_classes(assets: dict[str, Any], wrong: Wrong) -> None:
    for kind in assets.get("class", {}).keys() & tables()["class"].keys():
        wrong("assets.toml", f"class.{kind}", repr(kind), "the gateway's own class; another name would do")


def _check_core(site: Site, wrong: Wrong) -> None:
    """Its text is not shown: there may be a password in it."""
    if site.site.core is not None and not re.match(r"postgresql://[^/]*/\w", site.core):
        wanted = "postgresql://user@host/database would do; without it the work orders are in SQLite"
        wrong("site.toml", "site.core", "no PostgreSQL address", wanted)


def _check_assets(site: Site, wrong: Wrong) -> None:
    if site.gateway in site.assets:
        wrong("assets.toml", f"asset.{site.gateway}", repr(site.gateway), OURSELVES)
    for name, asset in site.assets.items():
        key = f"asset.{name}"
        if not _ASSET_ID.fullmatch(name):
            wrong(
                "assets.toml",
                key,
                repr(name),
                "lower-case letters, digits, '-', '_' and '.' would do (64 at most)",
            )
        if asset.asset_class not in site.classes:
            wrong(
                "assets.toml",
                f"{key}.class",
                repr(asset.asset_class),
                _did_you_mean(asset.asset_class, set(site.classes)),
            )
        if asset.parent is not None and asset.parent not in site.assets:
            wrong(
                "assets.toml",
                f"{key}.parent",
                repr(asset.parent),
                _did_you_mean(asset.parent, set(site.assets)),
            )
        elif name in _ancestors(site, name):
            wrong("assets.toml", f"{key}.parent", repr(asset.parent), "an asset cannot stand below itself")
        for rule in asset.params.keys() - site.rules.keys():
            wrong("assets.toml", f"{key}.params", repr(rule), _did_you_mean(rule, set(site.rules)))
        kind = site.classes.get(asset.asset_class)
        if kind and (told := site.running_of(name)) is not None and told.signal not in kind.signals:
            where = key if asset.running else f"class.{asset.asset_class}"
            would = _did_you_mean(told.signal, set(kind.signals))
            wrong("assets.toml", f"{where}.running.signal", repr(told.signal), would)


def _ancestors(site: Site, name: str) -> Iterator[str]:
    seen: set[str] = set()
    parent = site.assets[name].parent
    while parent is not None and parent in site.assets and parent not in seen:
        yield parent
        seen.add(parent)
        parent = site.assets[parent].parent


def _check_lines(site: Site, wrong: Wrong) -> None:
    for name in site.watched_lines:
        if name in site.assets or name in site.devices:
            key = f"line.{name}"
            wrong("devices.toml", key, repr(name), "an asset or device has this name; give the line another")


def _check_points(site: Site, wrong: Wrong) -> None:
    reader: dict[str, str] = {}
    for name, device in site.devices.items():
        if name == site.gateway:
            wrong("devices.toml", f"device.{name}", repr(name), OURSELVES)
        if name in site.assets:
            wrong(
                "devices.toml",
                f"device.{name}",
                repr(name),
                "an asset has this name; give the device another",
            )
        for signal in device.signals():
            key = f'device.{name}.points."{signal}"'
            if _is_pattern(signal):
                continue
            asset = signal.partition("/")[0]
            if asset not in site.assets:
                wrong(
                    "devices.toml",
                    key,
                    repr(asset),
                    "no such asset; " + _did_you_mean(asset, set(site.assets)),
                )
            elif site.assets[asset].asset_class in site.classes and site.signal(signal) is None:
                known = site.classes[site.assets[asset].asset_class].signals
                wrong(
                    "devices.toml",
                    key,
                    repr(signal.partition("/")[2]),
                    _did_you_mean(signal.partition("/")[2], set(known)),
                )
            if signal in reader:
                wrong(
                    "devices.toml",
                    key,
                    f"read by {reader[signal]} too",
                    "one device reads a signal; rename or remove one",
                )
            reader[signal] = name
        for signal, unit in device.units().items():
            meant = site.signal(signal)
            if meant is not None and meant.unit != unit:
                key = f'device.{name}.points."{signal}"'
                would = f'{{ point = "…", scale = …, unit = "{meant.unit}" }} would do'
                wrong("devices.toml", key, f"{unit} where the signal is in {meant.unit}", would)


def _is_pattern(signal: str) -> bool:
    return "{" in signal  # an MQTT point whose asset comes from the topic


def _check_rules(site: Site, wrong: Wrong) -> None:
    spans_of = cache(partial(spans, site))
    for name, settings in site.rules.items():
        key, rule = f"rule.{name}", Rule(name, settings)
        _check_scope(site, settings.scope, "rules.toml", f"{key}.scope", wrong)
        for asset in scoped(site, settings.scope):
            known = spans_of(asset)
            if missing := rule.missing(known):
                wrong(
                    "rules.toml",
                    f"{key}.signals",
                    f"{missing[0]!r} (for {asset})",
                    _did_you_mean(missing[0], set(known)),
                )
                continue
            try:
                bind(rule, asset, known, overrides(site, asset, name))
            except RuleError as error:
                wrong(
                    "assets.toml" if overrides(site, asset, name) else "rules.toml",
                    key,
                    f"a misfit on {asset}",
                    str(error),
                )


def _check_models(site: Site, wrong: Wrong) -> None:
    writer: dict[str, str] = {}
    for name, model in site.models.items():
        key = f"model.{name}"
        _check_scope(site, model.scope, "models.toml", f"{key}.scope", wrong)
        for asset in scoped(site, model.scope):
            kind = site.classes.get(site.class_of(asset))
            known = set(kind.signals) if kind else set()
            for missing in set(model.watched) - known:
                place = f"{key}.signals" if missing in model.signals else key
                wrong("models.toml", place, f"{missing!r} (for {asset})", _did_you_mean(missing, known))
            for output in model.outputs(sorted(known)):
                signal = f"{asset}/{output}"
                if signal in writer:
                    found = f"{signal}, which model {writer[signal]} writes too"
                    wrong("models.toml", key, found, "one of them, or another scope, would do")
                writer[signal] = name


def _check_people(site: Site, wrong: Wrong) -> None:
    for name, person in site.people.items():
        if not NAME.fullmatch(name):
            wanted = (
                "1 to 32 lower-case letters, digits, '-', '_', '.' would do, and no name of our own hands"
            )
            wrong("people.toml", f"person.{name}", repr(name), wanted)
        if person.shift is not None and person.shift not in site.shifts:
            known = set(site.shifts)
            wrong(
                "people.toml", f"person.{name}.shift", repr(person.shift), _did_you_mean(person.shift, known)
            )


def _check_channels(site: Site, wrong: Wrong) -> None:
    for name, channel in site.channels.items():
        others = set(site.channels) - {name}
        if channel.fallback is not None and channel.fallback not in others:
            key = f"notify.{name}.fallback"
            wrong("site.toml", key, repr(channel.fallback), _did_you_mean(channel.fallback, others))


def _check_scope(site: Site, scope: Any, file: str, key: str, wrong: Wrong) -> None:
    wanted = scope.asset_class
    if wanted is not None and wanted not in site.classes:
        wrong(file, f"{key}.class", repr(wanted), _did_you_mean(wanted, set(site.classes)))
    known = {*site.assets, *site.devices, *site.watched_lines, site.gateway}
    for asset in scope.assets or ():
        if asset not in known:
            wrong(file, f"{key}.assets", repr(asset), _did_you_mean(asset, known))


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


def _duration_or_text(value: str) -> str | timedelta:
    try:
        return parse_duration(value)
    except ValueError:
        return value


def _keys(form: type[BaseModel], way: tuple[int | str, ...]) -> set[str]:
    """The keys of the form that stands at ``way`` within ``form``; none where several forms may stand."""
    here: Any = form
    for step in way:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in here.model_fields.items()}
            here = fields.get(str(step))
        else:  # a table or list of such forms
            here = (get_args(here) or (None,))[-1]
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return set()
    return {field.alias or name for name, field in here.model_fields.items()}


def _short(value: object) -> str:
    return _cut(repr(value), 80)


def _cut(text: str, length: int = 400) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _did_you_mean(found: str, known: set[str] | frozenset[str], what: str = "") -> str:
    near = difflib.get_close_matches(found, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if what:
        return f"{what} would do"
    return f"one of {', '.join(sorted(known)[:12])} would do" if known else "none is defined there yet"
