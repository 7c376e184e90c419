"""A publisher as the site file names it: its topic, its payload, and where each signal stands in that."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import Field, model_validator

from devices.mqtt_payload import Kind, Path, TimeUnit, column_path, compile_path
from devices.mqtt_waveform import Waveform
from devices.settings import Reported, Reporting

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
SIGNAL = re.compile(f"{_NAME}/{_NAME}")


class MqttPoint(Reported):
    """Where a signal's value stands in the payload, and how it becomes engineering units."""

    path: str | None = Field(
        default=None,
        description='motor.phases[0].current, a CSV column or "[2]"; the quantity\'s name if absent',
    )


class MqttDevice(Reporting):
    """A publisher, or with wildcards many alike.

    In ``topic = "plant/+/state"`` the first wildcard's text is ``{1}`` in the points' names, so
    ``"{1}/vib_rms"`` is ``fan-1/vib_rms`` for ``plant/fan-1/state``.
    """

    topic: str
    payload: Kind = "json"
    columns: tuple[str, ...] = Field(default=(), description="names of the CSV columns, in order")
    separator: str = Field(default=",", min_length=1, max_length=1)
    points: dict[str, MqttPoint] = Field(min_length=1)
    partial: bool = Field(
        default=False, description="a message may carry some of the points; otherwise what lacks is bad"
    )
    waveform: Waveform | None = Field(
        default=None, description="an array of vibration samples, whose features are what the points pick"
    )
    time_path: str | None = Field(
        default=None, description="the payload's own time; without, a sample's time is its arrival"
    )
    time_unit: TimeUnit | None = Field(default=None, description="told from the number's size if absent")
    silence: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=1),
        description="no message for so long means: it is gone",
    )
    max_topics: int = Field(
        default=1000, ge=1, description="topics that a wildcard may bind; what comes beyond is refused"
    )

    @model_validator(mode="after")
    def _topic_and_names_agree(self) -> MqttDevice:
        wildcards = _check_filter(self.topic)
        places = [f"{{{n}}}" for n in range(1, wildcards + 1)]
        for name in self.points:
            if sorted(set(re.findall(r"\{\d+\}", name))) != places:
                wanted = " and ".join(places) or "no {n}"
                raise ValueError(
                    f"topic {self.topic!r} wants {wanted} in the name of each point; found {name!r}"
                )
            if not places and not SIGNAL.fullmatch(name):
                raise ValueError(f'a point is called "<asset>/<quantity>"; found {name!r}')
        return self

    @model_validator(mode="after")
    def _reports_fit(self) -> MqttDevice:
        self.check_reports(self.points)
        if self.partial and self.longest_silence is not None:
            raise ValueError("a partial message carries what changed already: leave out longest_silence")
        return self

    @model_validator(mode="after")
    def _paths_suit_the_payload(self) -> MqttDevice:
        if self.waveform is not None and self.payload != "json":
            raise ValueError("a waveform is an array in a JSON payload")
        if self.payload == "plain":
            if len(self.points) > 1 or self.time_path:
                raise ValueError("a plain payload is one number: it has one point and no time_path")
            return self
        for name, point in self.points.items():
            path = path_of(name, point)
            if "{" in path:
                raise ValueError(f"say the path of {name!r}: it cannot be told from the name")
            self.compiled(path)
        if self.time_path is not None:
            self.compiled(self.time_path)
        return self

    def signals(self) -> tuple[str, ...]:
        """Names of its points; with wildcards these are patterns."""
        return tuple(self.points)

    def compiled(self, path: str) -> Path:
        """``path`` as steps into this device's documents. ValueError if it cannot be one."""
        if self.payload == "plain":
            return ()
        return column_path(path, self.columns) if self.payload == "csv" else compile_path(path)


def path_of(name: str, point: MqttPoint) -> str:
    """Where this point's value stands: said, or else under the name of its quantity."""
    return point.path if point.path is not None else name.rpartition("/")[2]


def _check_filter(topic: str) -> int:
    """How many wildcards this topic filter has. ValueError if it is none that we may use."""
    levels = topic.split("/")
    if not topic or topic.startswith("$") or "\0" in topic:
        raise ValueError(f"{topic!r} is no device's topic ($-topics are the broker's own)")
    for place, level in enumerate(levels):
        if level == "+" or (level == "#" and place == len(levels) - 1):
            continue
        if "+" in level or "#" in level:
            raise ValueError(f"in {topic!r} a + must be a whole level and a # the last; found {level!r}")
    return levels.count("+") + levels.count("#")
