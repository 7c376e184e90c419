"""A session with an MQTT broker: aiomqtt's connection, our own reading and acknowledging.

aiomqtt (asyncio-mqtt until 2023) acknowledges a message before anybody has seen it. So this file, and
no other, reaches for its private paho client: packets are read in blocks by ``PacketReader``, and a
message is acknowledged when ``ack`` is called. ``tests/devices/test_mqtt_session.py`` holds both
libraries to what is used of them here.
"""

from __future__ import annotations

import asyncio
import math
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import aiomqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices.batch import DeviceError
from devices.mqtt_line import MqttLine
from devices.mqtt_packets import PUBLISH, Message, PacketReader, ProtocolError, message, pubacks

_PUBACK = 0x40
_QOS_0_OR_1 = (PUBLISH, PUBLISH | 2)
_UNSPECIFIED = 0x80  # what paho calls a broken connection
_READ_SIZE = 64 * 1024
_TIMEOUT = (
    30.0  # seconds until a broker that does not answer a request counts as lost; a flood may come first
)
_FAREWELL = 3.0  # … when we leave anyway
_CONNECT_TIMEOUT = 40.0  # … or a connection; longer than name servers take, as that cannot be interrupted

_HUNG_UP = 'it hung up instead of answering; does it speak this MQTT? (version = "5" or "3.1.1")'

_library_log = getLogger("devices.mqtt.library")
_library_log.setLevel(CRITICAL)  # both libraries log what they also raise; an outage is two lines, ours


class Presence(NamedTuple):
    """What others may see of us: ``topic`` holds ``here`` while we listen and ``gone`` otherwise, also when we vanish.

    With ``heard`` we listen to it ourselves, before we say that we are here.
    """

    topic: str
    here: str = "online"
    gone: str = "offline"
    heard: bool = False


_T = TypeVar("_T")
Take: TypeAlias = "Callable[[Session, list[Message]], None]"  # what came at one moment, in its order


class BrokerError(DeviceError):
    """The broker is away or refuses; ``code`` is MQTT 5's reason code where it gave one, also under 3.1.1."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class Session:
    """One connection to the broker. Acknowledging on one that is over does nothing: the messages come again.

    ``resumed`` tells whether the broker still knew us; ``properties`` are what it told of itself (MQTT 5).
    """

    def __init__(self, client: aiomqtt.Client, take: Take, *, v5: bool) -> None:
        self.client_id = client.identifier
        self._client = client
        self._paho = client._client  # see the file's first lines
        self._take = take
        self._v5 = v5
        self._reader = PacketReader()
        self._acks: list[int] = []
        self._loop = asyncio.get_running_loop()
        self.resumed = False
        self.properties: Mapping[str, Any] = {}
        self._paho.manual_ack_set(True)
        self._paho.loop_read = self._read  # type: ignore[method-assign]
        self._paho.on_connect = self._noting_connack(self._paho.on_connect)
        self._paho.on_socket_register_write = self._want_write

    def ack(self, packet_id: int) -> None:
        """Tell the broker that this message is ours now; those of one pass of the loop go out together."""
        if not self._acks:
            self._loop.call_soon(self._send_acks)
        self._acks.append(packet_id)

    async def subscribe(self, filters: Iterable[str]) -> dict[str, int]:
        """Subscribe at QoS 1 and return what was granted for each filter: 0 or 1, or a reason code ≥ 128.

        Higher would lose messages: QoS 2 acknowledged by hand does not survive a crash.
        """
        filters = list(filters)
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        if self._v5:
            request = self._client.subscribe([(each, options) for each in filters])
        else:
            request = self._client.subscribe([(each, 1) for each in filters])
        codes = [code.value if isinstance(code, ReasonCode) else code for code in await _answer(request)]
        return dict(zip(filters, codes, strict=True))

    async def publish(self, topic: str, payload: str) -> None:
        """Publish at QoS 1 for all to keep, and wait for the broker's word."""
        await _answer(self._client.publish(topic, payload, qos=1, retain=True))

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish once at QoS 0; whether it arrives is not waited for."""
        self._paho.publish(topic, payload)

    def tell_all(self, topic: str, payload: str) -> None:
        """As ``publish``; whether it arrives is not waited for."""
        self._paho.publish(topic, payload, qos=1, retain=True)

    def unsubscribe(self, topic: str) -> None:
        """Ask for no more of this topic; whether the broker agrees is not waited for."""
        self._paho.unsubscribe(topic)

    async def lost(self) -> None:
        """Wait for the end of the connection, which is a BrokerError."""
        try:
            async for left in self._client.messages:  # QoS 2, waiting for an older program of our client id
                payload = left.payload if isinstance(left.payload, bytes) else b""
                self._take(self, [Message(str(left.topic), payload, retained=left.retain)])
                self._paho.ack(left.mid, left.qos)
        except aiomqtt.MqttError as error:
            if isinstance(error.__cause__, aiomqtt.MqttError | OSError | None):
                raise _broker_error(error.__cause__ or error) from error
            raise error.__cause__ from None  # our own bug, met while reading

    def close(self) -> None:
        """Close the socket, should it still be open; never raises."""
        if self._paho.socket() is not None:
            self._paho._sock_close()
        if (end := self._client._disconnected).done():
            end.exception()  # seen: asyncio need not report it

    def _noting_connack(self, connected: Any) -> Any:
        def on_connect(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
            self.resumed = flags.session_present
            self.properties = properties.json() if self._v5 else {}
            connected(client, userdata, flags, reason, properties)

        return on_connect

    def _read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002  # stands in for paho's loop_read
        """Read what is there; what is not a message is paho's business."""
        paho = self._paho
        try:
            data = paho._sock_recv(_READ_SIZE)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            if not self._client._connected.done():
                self._client._connected.set_exception(aiomqtt.MqttError(_HUNG_UP))
            return paho._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        paho._last_bytes_received = time.monotonic()
        try:
            messages, others = [], []
            for packet in self._reader.feed(data):
                if packet.kind & 0xF6 in _QOS_0_OR_1:
                    messages.append(message(packet, v5=self._v5))
                else:
                    others.append(packet)
            if messages:
                self._take(self, messages)
            for packet in others:
                if rc := self._hand_to_paho(packet.kind, packet.body):
                    return paho._loop_rc_handle(rc)
        except (ProtocolError, MalformedPacket):
            return paho._loop_rc_handle(MQTTErrorCode.MQTT_ERR_PROTOCOL)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _hand_to_paho(self, kind: int, body: bytes) -> MQTTErrorCode:
        packet = self._paho._in_packet
        packet["command"], packet["remaining_length"] = kind, len(body)
        packet["packet"], packet["pos"] = bytearray(body), 0
        return self._paho._packet_handle()

    def _want_write(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        """Stands in for aiomqtt's, which asks for a writer even when the socket has been closed meanwhile."""
        self._loop.call_soon_threadsafe(self._add_writer, sock)

    def _add_writer(self, sock: Any) -> None:
        if sock == self._paho.socket():
            self._loop.add_writer(sock.fileno(), self._paho.loop_write)

    def _send_acks(self) -> None:
        acks, self._acks = self._acks, []
        if self._paho.socket() is not None:
            self._paho._packet_queue(_PUBACK, pubacks(acks), 0, 1)


@asynccontextmanager
async def connected(line: MqttLine, client_id: str, presence: Presence, take: Take) -> AsyncIterator[Session]:
    """A connection whose session outlives it; BrokerError if there is none to be had.

    ``take`` is called in the loop with the messages of each piece of the stream.
    """
    v5 = line.version == "5"
    password, tls = await asyncio.to_thread(_secrets, line)
    host, _, port = line.address.rpartition(":")
    client = aiomqtt.Client(
        host,
        int(port),
        username=line.username,
        password=password,
        tls_context=tls,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
        will=aiomqtt.Will(presence.topic, presence.gone, qos=1, retain=True),
        keepalive=int(line.keepalive.total_seconds()),
        timeout=math.inf,  # its own timeout may swallow a cancellation (asyncio.wait_for, Python 3.11)
        logger=_library_log,
        **_lasting(line),
    )
    session = Session(client, take, v5=v5)
    try:
        await _answer(client.__aenter__(), _CONNECT_TIMEOUT)
        try:
            if presence.heard:
                await session.subscribe([presence.topic])
            await session.publish(presence.topic, presence.here)
            yield session
        finally:
            with suppress(BrokerError, TimeoutError):  # closing never raises, nor takes long
                async with asyncio.timeout(_FAREWELL):
                    await session.publish(presence.topic, presence.gone)
                    await _answer(client.__aexit__(None, None, None))
    finally:
        session.close()


def _lasting(line: MqttLine) -> dict[str, Any]:
    """What makes the session outlive the connection."""
    if line.version == "3.1.1":
        return {"clean_session": False}
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = int(line.session_expiry.total_seconds())
    properties.ReceiveMaximum = line.receive_maximum
    return {"clean_start": False, "properties": properties}


def _password(line: MqttLine) -> str | None:
    if line.password_file:
        return Path(os.path.expandvars(line.password_file)).read_text().strip()
    return line.password.get_secret_value() if line.password else None


def _secrets(line: MqttLine) -> tuple[str | None, ssl.SSLContext | None]:
    """Password and TLS context, read from their files each time: whoever renews them need not restart us."""
    try:
        password = _password(line)
        if not line.secured:
            return password, None
        context = ssl.create_default_context(cafile=line.ca_file)
        if line.cert_file and line.key_file:
            context.load_cert_chain(line.cert_file, line.key_file)
    except (OSError, UnicodeDecodeError) as error:
        files = [line.password_file, line.ca_file, line.cert_file, line.key_file]
        named = getattr(error, "filename", None) or ", ".join(str(file) for file in files if file)
        raise BrokerError(f"cannot use {named}: {getattr(error, 'strerror', None) or error}") from error
    return password, context


async def _answer(request: Awaitable[_T], within: float = _TIMEOUT) -> _T:
    """What the broker answers to ``request``; BrokerError if that is a refusal, or nothing."""
    try:
        async with asyncio.timeout(within):
            return await request
    except TimeoutError:
        raise BrokerError(f"no answer within {within:g} s") from None
    except aiomqtt.MqttError as error:
        raise _broker_error(error) from error


def _broker_error(error: BaseException) -> BrokerError:
    reason = getattr(error, "rc", None)
    if isinstance(reason, ReasonCode) and reason.value == _UNSPECIFIED:
        return BrokerError("the connection broke")
    if isinstance(reason, ReasonCode):
        return BrokerError(f"{reason} (reason code {reason.value})", reason.value)
    return BrokerError(str(error))
