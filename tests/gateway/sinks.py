"""Real servers on loopback that keep what they are sent: mail by SMTP, requests by HTTP."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mails:
    """An SMTP server; ``refuse`` holds addresses that it knows nothing of."""

    port: int = 0
    got: list[EmailMessage] = field(default_factory=list)
    to: list[list[str]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)


@contextmanager
def mail_server() -> Iterator[Mails]:
    mails = Mails()

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 sink\r\n")
            to: list[str] = []
            while line := self.rfile.readline():
                verb = line.split(b" ")[0].strip().upper()
                if verb == b"EHLO":
                    self.wfile.write(b"250-sink\r\n250 8BITMIME\r\n")
                elif verb == b"RCPT":
                    address = line.decode().partition("<")[2].partition(">")[0]
                    to.append(address)
                    self.wfile.write(b"550 no\r\n" if address in mails.refuse else b"250 ok\r\n")
                elif verb == b"DATA":
                    self.wfile.write(b"354 go\r\n")
                    data = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        data += part
                    parsed = message_from_bytes(data, policy=policy.default)
                    assert isinstance(parsed, EmailMessage)
                    mails.got.append(parsed)
                    mails.to.append(to)
                    to = []
                    self.wfile.write(b"250 kept\r\n")
                elif verb == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        mails.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield mails
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Requests:
    """An HTTP server; it answers with ``status``, ``headers`` and ``body``."""

    port: int = 0
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"errcode":0,"errmsg":"ok"}'
    drip: float = 0.0  # s between two bytes of the body


@contextmanager
def http_server() -> Iterator[Requests]:
    requests = Requests()

    class Talk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(requests.status)
            for name, value in requests.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(requests.body)))
            self.end_headers()
            step = 1 if requests.drip else max(1, len(requests.body))
            for start in range(0, len(requests.body), step):
                try:
                    self.wfile.write(requests.body[start : start + step])
                except OSError:
                    return
                time.sleep(requests.drip)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Talk) as server:
        requests.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield requests
        finally:
            server.shutdown()
            thread.join()
