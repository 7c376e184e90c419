"""Where the pages are served, to whom, and for how long somebody stays signed in."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class WebSettings(BaseModel):
    """``names`` are those that browsers use, without port; with any, everybody signs in.

    Beyond loopback there is TLS: our own (``certificate`` and ``key``, PEM files), or a proxy's on this machine that
    passes the Host header on and is named in ``names``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    idle: timedelta = timedelta(minutes=30)
    session: timedelta = timedelta(hours=12)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both or none")
        try:
            local = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise ValueError("host is an address, such as 127.0.0.1 or 0.0.0.0") from None
        if not local and (self.certificate is None or not self.names):
            raise ValueError(
                "beyond loopback the pages need names, certificate and key: give them, or 127.0.0.1 behind a proxy"
            )
        if self.idle > self.session:
            raise ValueError("idle is at most as long as session")
        return self

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every name that requests may carry."""
        return (*LOOPBACK, *(name.lower() for name in self.names))

    @property
    def secure(self) -> bool:
        """Whether browsers come by HTTPS: cookies then keep to it."""
        return bool(self.names)

    @property
    def private(self) -> bool:
        """Whether only this machine can come: then nobody signs in until somebody can."""
        return not self.names

    @property
    def proxied(self) -> bool:
        """Whether a proxy on this machine stands before us and says where requests come from."""
        return bool(self.names) and self.certificate is None
