"""One request to a machine outside, and never to one that is not meant: the guard against forged addresses (SSRF).

The name is resolved once, every address it has is checked, and the connection goes to a checked address. Redirects are
not followed, no proxy is asked, answers are small and soon.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

LONGEST = 10.0  # s, for everything
LARGEST = 64 << 10  # bytes of an answer
IP = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

# What is not public. Written out: Python's is_private and is_global differ from version to version.
NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/3", "4000::/2", "8000::/1"),  # all but 2000::/3
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)


class OutboundError(Exception):
    """It was not sent, or not accepted; the text says why, without the address's secrets."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back with status 2xx."""

    status: int
    body: bytes


def resolve(host: str, port: int) -> list[str]:
    """Every address that the name has, numbers in any notation too."""
    return list(
        dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    )


def checked(
    host: str, port: int, networks: Sequence[Network], ask: Resolve = resolve
) -> tuple[list[str], bool]:
    """The name's addresses, and whether all lie in ``networks``; OutboundError if one must not be reached."""
    try:
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in ask(host, port)]
    except (OSError, ValueError, UnicodeError) as error:
        raise OutboundError(f"{host} has no address: {error}") from error
    if not addresses:
        raise OutboundError(f"{host} has no address")
    listed = [any(address in network for network in networks) for address in addresses]
    for address, own in zip(addresses, listed, strict=True):
        if not own and any(address in network for network in NOT_PUBLIC):
            raise OutboundError(
                f"{host} is {address}, which is not public; name its network in `networks` if it is meant"
            )
    return [str(address) for address in addresses], all(listed)


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    networks: Sequence[Network] = (),
    *,
    ask: Resolve = resolve,
    trust: ssl.SSLContext | None = None,
) -> Answer:
    """POST to ``url``; OutboundError unless a 2xx came back."""
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    addresses, inside = checked(host, port, networks, ask)
    if not tls and not inside:
        raise OutboundError(f"{host} is outside the plant: only https goes there")
    context = (trust or ssl.create_default_context()) if tls else None
    connection = _Pinned(host, port, addresses, context)
    limit = threading.Timer(LONGEST, connection.abort)
    limit.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"User-Agent": "Watchkeeper", **headers})
        answer = connection.getresponse()
        text = answer.read(LARGEST + 1)
        if connection.over:
            raise TimeoutError(f"not within {LONGEST:g} s")
    except (OSError, http.client.HTTPException) as error:
        raise OutboundError(f"{host} does not answer: {type(error).__name__} {error}") from error
    finally:
        limit.cancel()
        connection.close()
    if len(text) > LARGEST:
        raise OutboundError(f"{host} answers with more than {LARGEST} bytes")
    if 300 <= answer.status < 400:
        raise OutboundError(f"{host} answers {answer.status}: redirects are not followed")
    if not 200 <= answer.status < 300:
        raise OutboundError(f"{host} answers {answer.status}")
    return Answer(answer.status, text)


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the checked addresses, whatever the name means by then."""

    def __init__(
        self, host: str, port: int, addresses: Sequence[str], context: ssl.SSLContext | None
    ) -> None:
        super().__init__(host, port, timeout=LONGEST)
        self._addresses, self._context = addresses, context
        self._wire: socket.socket | None = None
        self.over = False

    def connect(self) -> None:
        error: OSError = OSError("no address")
        for address in self._addresses:
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
                break
            except OSError as found:
                error = found
        else:
            raise error
        self._wire = self.sock
        if self._context is not None:
            self._wire = self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)

    def abort(self) -> None:
        """End the exchange from outside: it has taken too long."""
        self.over = True
        if self._wire is not None:
            with suppress(OSError):  # it ended by itself
                self._wire.shutdown(socket.SHUT_RDWR)
