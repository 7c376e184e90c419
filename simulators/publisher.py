"""A device that publishes on MQTT, QoS 1: the fan's readings each second, its vibration's samples every ten."""

from __future__ import annotations

import asyncio
import json
import math

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from simulators.stand import Device
from simulators.waveform import waveform


class BrokerError(Exception):
    """The broker is not there, or refuses us."""


class Publisher:
    """Publishes devices to ``plant/<asset>/state``; paho reconnects and repeats what was not acknowledged.

    A message is ``{"ts": ms since the epoch, "vib_rms": …}``, null where a sensor says nothing. While the
    broker is away up to 600 messages wait.
    """

    def __init__(self, host: str, port: int, client_id: str, period: int = 1_000_000_000) -> None:
        self._address = (host, port)
        self._period = period  # ns
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.max_queued_messages_set(600)
        self._client.reconnect_delay_set(1, 5)

    async def connect(self, patience: float = 10.0) -> None:
        """Connect, or BrokerError when the broker does not accept us in ``patience`` s."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[str] = loop.create_future()

        def tell(text: str) -> None:
            if not answered.done():
                answered.set_result(text)

        def on_connect(
            _client: object, _data: object, _flags: object, reason: ReasonCode, _more: object
        ) -> None:
            loop.call_soon_threadsafe(tell, str(reason) if reason.is_failure else "")

        self._client.on_connect = on_connect
        self._client.connect_async(*self._address)
        self._client.loop_start()
        try:
            refusal = await asyncio.wait_for(answered, patience)
        except TimeoutError:
            refusal = "no answer"
        self._client.on_connect = None
        if refusal:
            await self.close()
            host, port = self._address
            raise BrokerError(f"MQTT broker {host}:{port}: {refusal}")

    async def publish(self, device: Device) -> None:
        """Publish on the whole period, until cancelled."""
        stand = device.stand
        while True:
            await self._next(device, self._period)
            delay = device.delay()
            if delay is None:
                continue
            payload = message(stand.tick(), device)
            topic = f"plant/{device.asset}/state"
            asyncio.get_running_loop().call_later(delay, self._client.publish, topic, payload, 1)

    async def publish_waveforms(self, device: Device) -> None:
        """Publish a block of vibration samples to ``plant/<asset>/waveform`` every ten periods, until cancelled."""
        stand = device.stand
        while True:
            await self._next(device, 10 * self._period)
            speed = device.values()["speed"]
            if device.delay() is None or not speed > 0:
                continue
            tick = stand.tick()
            payload = waveform(device.asset, tick, stand.plant_time(tick), stand.faults, speed)
            self._client.publish(f"plant/{device.asset}/waveform", payload, 1)

    async def _next(self, device: Device, period: int) -> None:
        """Sleep until the next whole ``period`` (ns)."""
        due = (device.stand.wall() // period + 1) * period
        while (early := due - device.stand.wall()) > 0:  # a sleep may end a little before its time
            await asyncio.sleep(early / 1e9)

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


def message(tick: int, device: Device) -> str:
    """The JSON of one reading at ``tick`` (UTC ns)."""
    values: dict[str, float | None] = {"ts": tick // 1_000_000}
    for quantity, value in device.values().items():
        values[quantity] = (
            None if math.isnan(value) else round(value, device.quantities[quantity].decimals + 1)
        )
    return json.dumps(values)
