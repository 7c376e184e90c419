"""The plant on real wires: opens them all, says so in one line of JSON, obeys lines on standard input."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators import faults
from simulators.chaos_plant import ChaosPlant
from simulators.instrument import Instrument
from simulators.modbus import MOTOR_MAP, PUMP_MAP, RtuSlaves, Station, Unit, serve_tcp
from simulators.process import opening, say, until_stopped
from simulators.publisher import Publisher
from simulators.stand import MOODS, Device, Stand
from simulators.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which wires to open, and how many of each machine hang on them (unit ids 1, 2, 3 …)."""

    tcp: int | None = None
    rtu: Path | None = None
    ascii: Path | None = None
    mqtt: tuple[str, int] | None = None
    host: str = "127.0.0.1"
    pumps: int = 1
    motors: int = 1
    baud: int | None = None
    """Speed the RTU line insists on and keeps wire time for; None takes any speed and answers at once."""
    chaos: float = 0.0
    """Share of the answers on Modbus wires that meet trouble; then devices misbehave now and then, too."""


class Rig:
    """A stand with its wires open."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.devices: dict[str, Device] = {}
        self.endpoints: dict[str, dict[str, object]] = {}
        self._closing = contextlib.AsyncExitStack()
        self._chaos: ChaosPlant | None = None

    async def open(self, wiring: Wiring) -> None:
        """Open what is asked; OSError or BrokerError when one cannot be had."""
        if wiring.chaos:
            self._chaos = ChaosPlant(wiring.chaos, self.stand.seed)
            self._closing.push_async_callback(self._chaos.close)
        if wiring.tcp is not None:
            units = {n: Unit(self._device(f"pump-{n}"), PUMP_MAP) for n in range(1, wiring.pumps + 1)}
            with opening(wiring.tcp):
                port, stop = await serve_tcp(Station(units), 0 if self._chaos else wiring.tcp, wiring.host)
            self._closing.callback(stop)
            if self._chaos:
                port = await self._chaos.stand_before_tcp((wiring.host, port), wiring.host, wiring.tcp)
            self.endpoints["tcp"] = {"host": wiring.host, "port": port}
        if wiring.rtu is not None:
            units = {n: Unit(self._device(f"motor-{n}"), MOTOR_MAP) for n in range(1, wiring.motors + 1)}
            link = wiring.rtu.with_name(f"{wiring.rtu.name}-undisturbed") if self._chaos else wiring.rtu
            RtuSlaves(Station(units), self._terminal("rtu", link, wiring.baud))
            if self._chaos:
                self._chaos.stand_before_rtu(link, wiring.rtu)
                self.endpoints["rtu"] = {"port": str(wiring.rtu)}
        if wiring.ascii is not None:
            Instrument(self._device("compressor-1"), self._terminal("ascii", wiring.ascii, None))
        if wiring.mqtt is not None:
            await self._open_mqtt(*wiring.mqtt)
        if self._chaos:
            self._chaos.unsettle(self.devices)

    async def close(self) -> None:
        await self._closing.aclose()

    def command(self, line: str) -> dict[str, object]:
        """Do what one line of JSON on standard input says; the answer."""
        try:
            return self._obey(json.loads(line))
        except (ValueError, TypeError) as error:
            return {"error": str(error)}

    def _obey(self, command: Any) -> dict[str, object]:
        if not isinstance(command, dict) or not command.keys() & {"fault", "heal", "behave"}:
            raise ValueError('a command is an object with "fault", "heal" or "behave"')
        if "fault" in command:
            asset, _, scenario = str(command["fault"]).partition(":")
            ramp = command.get("ramp")
            fault = self.stand.strike(asset, scenario, None if ramp is None else float(ramp))
            return self.described(fault)
        if "heal" in command:
            asset = str(command["heal"])
            return {"healed": asset, "faults": self.stand.heal(asset), "time": self.stand.tick()}
        asset, mood = str(command.get("device", "")), command["behave"]
        if mood not in MOODS:
            raise ValueError(f"no behaviour {mood!r}; there are {', '.join(MOODS)}")
        if asset not in self.devices:
            raise ValueError(f"no device {asset!r} on these wires; there are {', '.join(self.devices)}")
        seconds = command.get("seconds")
        self.devices[asset].behave(mood, None if seconds is None else float(seconds))
        return {"device": asset, "behave": mood, "time": self.stand.wall()}

    def described(self, fault: faults.Fault) -> dict[str, object]:
        """A fault for the JSON lines; times are UTC ns on the wall clock."""
        return {
            "asset": fault.asset,
            "scenario": fault.scenario,
            "failure_mode": fault.failure_mode,
            "onset": self.stand.wall_time(fault.onset),
        }

    def counts(self) -> dict[str, object]:
        return {
            "requests": sum(device.requests for device in self.devices.values()),
            "writes": sum(device.writes for device in self.devices.values()),
            **(self._chaos.counts() if self._chaos else {}),
        }

    def _device(self, asset: str) -> Device:
        return self.devices.setdefault(asset, Device(self.stand, asset))

    def _terminal(self, wire: str, link: Path, baud: int | None) -> Terminal:
        terminal = Terminal(link, baud)
        self._closing.callback(terminal.close)
        self.endpoints[wire] = {"port": str(link)}
        return terminal

    async def _open_mqtt(self, host: str, port: int) -> None:
        publisher = Publisher(host, port, client_id=f"plant-fan-{self.stand.start}")
        await publisher.connect()
        self._closing.push_async_callback(publisher.close)
        fan = self._device("fan-1")
        tasks = [
            asyncio.create_task(task) for task in (publisher.publish(fan), publisher.publish_waveforms(fan))
        ]

        async def stop() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._closing.push_async_callback(stop)
        self.endpoints["mqtt"] = {"host": host, "port": port}


async def serve(wiring: Wiring, stand: Stand, *, until_eof: bool = False) -> dict[str, object]:
    """Serve until told to stop; the counts."""
    rig = Rig(stand)
    try:
        await rig.open(wiring)
        say(
            {
                "ready": True,
                "endpoints": rig.endpoints,
                "start": stand.start,
                "faults": [rig.described(fault) for fault in stand.faults],
            }
        )
        await until_stopped(rig.command, until_eof=until_eof)
    finally:
        await rig.close()
    return rig.counts()
