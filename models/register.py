"""The versions of a site's models on disk: what each learned, from what, by whom, and which one is live."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from models.promise import ModelError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Standing(StrEnum):
    """What a version does: scores beside the live one, is believed by rules, or neither."""

    SHADOW = "shadow"
    LIVE = "live"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Move:
    """A change of standing: UTC ns, who, to what and why."""

    at: int
    by: str
    to: Standing
    why: str


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of how a version came about. Times are UTC ns; ``start`` to ``end`` is what it was trained on."""

    kind: str
    at: int
    by: str
    why: str
    source: str
    start: int
    end: int
    rows: int
    signals: tuple[str, ...]
    left_out: Mapping[str, str]
    figures: Mapping[str, float]
    """Held-out figures: ``days``, ``alarms``, ``alarms_a_day``, ``share_beyond``, and the ``stated`` rate."""
    settings: str
    """The model's settings as JSON."""


@dataclass(frozen=True, slots=True)
class Version:
    """One trained state of a model of one asset; ``hash`` is the SHA-256 of its file."""

    model: str
    asset: str
    number: int
    hash: str
    standing: Standing
    card: Card
    moves: tuple[Move, ...] = field(default=())

    @property
    def id(self) -> str:
        """``pump-watch/pump-1/3``."""
        return f"{self.model}/{self.asset}/{self.number}"


class Register:
    """The folder of a site's model versions: ``register.json``, and ``<model>/<asset>/<number>.npz`` beside it.

    A version's file never changes. Of one model and asset at most one version is live and at most one a shadow. The
    register is replaced as a whole, under a lock, so two commands at once lose nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def versions(self) -> list[Version]:
        """All of them, in the order they were trained."""
        path = self._folder / "register.json"
        if not path.is_file():
            return []
        try:
            return [_version(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is damaged: {error}") from error

    def version(self, name: str) -> Version:
        """The version called ``name``. ModelError, with what there is, if none is."""
        known = self.versions()
        for version in known:
            if version.id == name:
                return version
        near = [each.id for each in known if each.id.startswith(name)] or [each.id for each in known]
        there = f"there are {', '.join(near[-8:])}" if near else "none has been trained yet"
        raise ModelError(f"no model version {name!r}; {there}")

    def standing(self, model: str, asset: str, standing: Standing) -> Version | None:
        """The live (or shadow) version of ``model`` on ``asset``."""
        found = [v for v in self.versions() if (v.model, v.asset, v.standing) == (model, asset, standing)]
        return found[-1] if found else None

    def add(self, model: str, asset: str, card: Card, state: bytes) -> Version:
        """Keep a newly trained version as the shadow; an earlier shadow retires."""
        for name in (model, asset):
            if not _NAME.fullmatch(name):
                raise ModelError(f"{name!r} cannot name a file: letters, digits, '-', '_' and '.' would do")
        with self._changing() as versions:
            mine = [v for v in versions if (v.model, v.asset) == (model, asset)]
            number = max((v.number for v in mine), default=0) + 1
            version = Version(model, asset, number, hashlib.sha256(state).hexdigest(), Standing.SHADOW, card)
            version = _moved(version, Move(card.at, card.by, Standing.SHADOW, card.why))
            path = self.path(version)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, state)
            self._retire(versions, version, Standing.SHADOW, card.at, card.by)
            versions.append(version)
        return version

    def promote(self, name: str, at: int, by: str, why: str = "") -> Version:
        """Make a version the live one; the one that was retires. Its file must be whole."""
        self.state(self.version(name))
        return self._move(name, Move(at, by, Standing.LIVE, why))

    def retire(self, name: str, at: int, by: str, why: str = "") -> Version:
        """Take a version out of use; without a live one the daemon's own learning scores again."""
        return self._move(name, Move(at, by, Standing.RETIRED, why))

    def state(self, version: Version) -> bytes:
        """What the version has learned. ModelError if the file is gone or is not what was registered."""
        path = self.path(version)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"the file of {version.id} cannot be read: {error.strerror} ({path})") from error
        if hashlib.sha256(data).hexdigest() != version.hash:
            raise ModelError(f"{path} is not the file that was registered as {version.id}: train it again")
        return data

    def path(self, version: Version, suffix: str = ".npz") -> Path:
        """Where the version's file lies, or its report (``.html``)."""
        return self._folder / version.model / version.asset / f"{version.number}{suffix}"

    def _move(self, name: str, move: Move) -> Version:
        self.version(name)  # says what there is, if it is not among them
        with self._changing() as versions:
            place = next(i for i, version in enumerate(versions) if version.id == name)
            if versions[place].standing is move.to:
                raise ModelError(f"{name} is {move.to} already")
            versions[place] = _moved(versions[place], move)
            if move.to is Standing.LIVE:
                self._retire(versions, versions[place], Standing.LIVE, move.at, move.by)
            return versions[place]

    @staticmethod
    def _retire(versions: list[Version], by_version: Version, standing: Standing, at: int, by: str) -> None:
        """Whoever else had ``standing`` gives way to ``by_version``."""
        for i, other in enumerate(versions):
            same = (other.model, other.asset) == (by_version.model, by_version.asset)
            if same and other.number != by_version.number and other.standing is standing:
                versions[i] = _moved(
                    other, Move(at, by, Standing.RETIRED, f"{by_version.id} takes its place")
                )

    @contextmanager
    def _changing(self) -> Iterator[list[Version]]:
        """The versions, to be changed; written when the block ends well."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "register.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            versions = self.versions()
            yield versions
            text = json.dumps([asdict(version) for version in versions], ensure_ascii=False, indent=1)
            _write(self._folder / "register.json", text.encode())


def _moved(version: Version, move: Move) -> Version:
    return replace(version, standing=move.to, moves=(*version.moves, move))


def _version(entry: dict[str, object]) -> Version:
    card, moves = entry.pop("card"), entry.pop("moves")
    assert isinstance(card, dict)
    assert isinstance(moves, list)
    card["signals"] = tuple(card["signals"])
    told = tuple(Move(**move | {"to": Standing(move["to"])}) for move in moves)
    entry["standing"] = Standing(str(entry["standing"]))
    return Version(**entry, card=Card(**card), moves=told)  # type: ignore[arg-type]


def _write(path: Path, data: bytes) -> None:
    """Replace ``path`` as a whole: a power cut leaves the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
