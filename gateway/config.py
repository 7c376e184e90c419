"""The site folder: TOML files, read and checked as a whole before anything opens.

``load_site(folder)`` returns a :class:`~gateway.site.Site` or raises :class:`ConfigError`, which holds every mistake
at once: file, key, what was found and what would do. Nothing is opened, no address is resolved.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from devices.kinds import KINDS, DeviceSettings
from gateway.channels import CHANNEL_KINDS
from gateway.history import HistorySettings
from gateway.influx import InfluxSettings
from gateway.mistakes import ConfigError, Mistake, cut, did_you_mean, shorten
from gateway.own import tables
from gateway.reorder import JudgeSettings
from gateway.site import Asset, AssetClass, Site, SiteSettings
from gateway.site_checks import check_own_classes, check_site
from gateway.spool import SpoolSettings
from gateway.web.settings import WebSettings
from models.settings import MODEL_KINDS
from rules import RuleSettings
from rules.duration import parse_duration
from ticketing.order_settings import OrderSettings
from ticketing.people_settings import Person, ShiftSettings

TABLES: Final[dict[str, set[str]]] = {  # what each file may hold; orders.toml is one form
    "site.toml": {"site", "spool", "judge", "store", "web", "notify"},
    "assets.toml": {"class", "asset"},
    "devices.toml": {"line", "device"},
    "rules.toml": {"rule"},
    "models.toml": {"model"},
    "people.toml": {"person", "shift"},
}
STORES: Final[dict[str, type[HistorySettings] | type[InfluxSettings]]] = {
    "local": HistorySettings,
    "influxdb": InfluxSettings,
}
F = TypeVar("F", bound=BaseModel)


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
        self.mistakes.append(Mistake(file, cut(key), cut(str(found)), cut(wanted)))

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
        check_own_classes(assets, self.wrong)
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
        scores = not self.broken & tree["models.toml"].get("model", {}).keys()
        check_site(site, self.misfit, any_load=self.any_load, rules=scores)  # a rule may watch a score
        return site

    def tables(self, file: str, allowed: set[str]) -> dict[str, Any]:
        """The tables of one file, each a table indeed."""
        tree = self.read(file)
        for key, data in tree.items():
            if key not in allowed:
                self.wrong(file, key, "an unknown table", did_you_mean(key, allowed))
            elif not isinstance(data, dict):
                self.wrong(file, key, shorten(data), f"a table [{key}] would do")
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
        kind, found, last = item["type"], shorten(item["input"]), str(item["loc"][-1] if item["loc"] else "")
        match kind:
            case "extra_forbidden":
                self.wrong(file, path, "an unknown key", did_you_mean(last, _keys(form, item["loc"][:-1])))
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
                self.wrong(file, f"{name}.{key}", shorten(data), f"a table [{name}.{key}] would do")
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
                near = did_you_mean(line, set(lines))
                self.wrong("devices.toml", f"device.{name}.line", repr(data.get("line")), near)
            elif str(kind) in KINDS:  # else said already, at the line
                device = self.form(KINDS[str(kind)].device, data, "devices.toml", f"device.{name}")
            if device is None:
                self.broken.add(name)
            else:
                found[name] = device
        return found


def _over(own: dict[str, Any], said: Any) -> Any:
    """A rule of our own as the site changed it."""
    if not isinstance(said, dict):
        return said
    params = {**own.get("params", {}), **said["params"]} if isinstance(said.get("params"), dict) else None
    return {**own, **said, **({"params": params} if params else {})}


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
