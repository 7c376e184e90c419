"""A broker as the site file names it: where it is, who we are to it, what it shall keep for us."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from devices.settings import LineSettings


class MqttLine(LineSettings):
    """A broker, and how the gateway appears to it."""

    kind: Literal["mqtt", "sparkplug"]
    host: str
    port: int | None = Field(default=None, ge=1, le=65535, description="1883, or 8883 with TLS")
    version: Literal["5", "3.1.1"] = "5"
    client_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="the broker keeps our messages under this name; stable, and nobody else's. "
        "watchkeeper-<host name>-<line> if absent",
    )
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = Field(
        default=None, description="read anew for each connection; absolute, or $CREDENTIALS_DIRECTORY/…"
    )
    tls: bool = Field(
        default=False, description="trust the system's authorities; ca_file or cert_file imply it"
    )
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive: timedelta = Field(
        default=timedelta(seconds=15), ge=timedelta(seconds=1), le=timedelta(hours=18)
    )
    session_expiry: timedelta = Field(
        default=timedelta(days=7),
        gt=timedelta(0),
        description="MQTT 5: how long the broker keeps our messages",
    )
    receive_maximum: int = Field(
        default=1000,
        ge=1,
        le=65535,
        description="MQTT 5: messages that may wait for our commit before the broker waits",
    )

    @model_validator(mode="after")
    def _whole(self) -> MqttLine:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if self.password and self.password_file:
            raise ValueError("say password or password_file, not both")
        if (self.password or self.password_file) and not self.username:
            raise ValueError("a password needs a username")
        return self

    @property
    def secured(self) -> bool:
        """Is the connection TLS?"""
        return self.tls or self.ca_file is not None or self.cert_file is not None

    @property
    def certificate(self) -> Path | None:
        """See LineSettings."""
        return self.cert_file

    @property
    def authorities(self) -> Path | None:
        """See LineSettings."""
        return self.ca_file

    @property
    def address(self) -> str:
        """``host:port``, as logged."""
        return f"{self.host}:{self.port or (8883 if self.secured else 1883)}"
