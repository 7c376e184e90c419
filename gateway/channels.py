"""Where the gateway tells people and other programs what happens: ``[notify.<name>]`` of ``site.toml``."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from ticketing.people_settings import Role

if TYPE_CHECKING:
    from gateway.site import Site
    from ticketing import Policy

Kind = Literal[
    "open", "occurrence", "severity_raised", "recur", "escalate", "assign", "resolve", "sign_off", "cancel"
]
Network = IPv4Network | IPv6Network


def _address(url: SecretStr) -> SecretStr:
    """An address of HTTP without a name and password in it; which machine it leads to is checked when it is used."""
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("an address such as https://erp.example/hooks would do") from None
    clean = text.isprintable() and " " not in text and "\\" not in text
    if not clean or parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment:
        raise ValueError("an address such as https://erp.example/hooks would do")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a name and password do not belong into an address")
    return url


Address = Annotated[SecretStr, AfterValidator(_address)]  # robots carry their key in it


class _Channel(BaseModel):
    """What goes there, at most how much, and where it goes when it cannot be delivered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: tuple[Kind, ...] = ("open", "recur", "escalate")
    priorities: tuple[Annotated[int, Field(ge=1, le=4)], ...] = (1, 2, 3, 4)
    per_minute: int = Field(default=20, ge=1, le=1000)  # beyond it one digest; what robots allow
    tries: int = Field(default=8, ge=1, le=50)
    fallback: str | None = None
    language: Literal["zh", "en"] | None = None  # None: the site's


class EmailSettings(_Channel):
    """Messages by SMTP, to addresses and to whoever has a role; an escalation also to the role that it names."""

    kind: Literal["email"] = "email"
    server: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: SecretStr = SecretStr("")
    sender: str = Field(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")
    to: tuple[Annotated[str, Field(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")], ...] = ()
    roles: tuple[Role, ...] = ()


class _Web(_Channel):
    """``networks``: addresses inside the plant that may be told; all others must be public, and by HTTPS."""

    url: Address
    networks: tuple[Network, ...] = ()


class WebhookSettings(_Web):
    """JSON to another program, signed after Standard Webhooks (HMAC-SHA256, with its time)."""

    kind: Literal["webhook"] = "webhook"
    secret: SecretStr = Field(min_length=16)


class WecomSettings(_Web):
    """A group robot of WeCom 企业微信; its address holds its key."""

    kind: Literal["wecom"] = "wecom"


class DingtalkSettings(_Web):
    """A group robot of DingTalk 钉钉; ``secret`` is that of its signature (加签)."""

    kind: Literal["dingtalk"] = "dingtalk"
    secret: SecretStr | None = None


ChannelSettings = EmailSettings | WebhookSettings | WecomSettings | DingtalkSettings
CHANNEL_KINDS: dict[str, type[ChannelSettings]] = {
    "email": EmailSettings,
    "webhook": WebhookSettings,
    "wecom": WecomSettings,
    "dingtalk": DingtalkSettings,
}


def policy_of(site: Site) -> Policy:
    """The site's figures for orders, with its channels: no address, no secret."""
    from ticketing import Channel, Policy

    return Policy(
        **site.orders.figures(),
        channels=tuple(
            Channel(name, each.events, each.priorities, each.per_minute, each.tries, each.fallback)
            for name, each in site.channels.items()
        ),
    )
