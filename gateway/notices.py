"""One message to one channel: its words in the reader's language, and how each kind of channel is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from gateway import i18n, outbound
from gateway.channels import (
    ChannelSettings,
    DingtalkSettings,
    EmailSettings,
    WebhookSettings,
    WecomSettings,
)
from gateway.i18n import Language
from gateway.outbound import OutboundError

MOST_LINES = 30  # of a digest that people read; the rest is counted
SMTP_PATIENCE = 10.0  # s


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told: ``payloads`` as the outbox kept them, ``key`` makes a repetition known, ``at`` UTC in ms."""

    site: str
    key: str
    payloads: Sequence[Mapping[str, Any]]
    at: int
    language: Language
    address: str = ""  # where the pages are, without a slash at its end

    def title(self) -> str:
        """One line without line breaks."""
        _ = i18n.speaker(self.language)
        if len(self.payloads) == 1:
            return _one_line(f"[{self.site}] {self._line(self.payloads[0])}")
        return _one_line(f"[{self.site}] " + _("%(n)s messages about work orders", n=len(self.payloads)))

    def text(self) -> str:
        """All of it, a line each, with the way to the page."""
        _ = i18n.speaker(self.language)
        lines = [self._line(each) + self._link(each) for each in self.payloads[:MOST_LINES]]
        if (rest := len(self.payloads) - MOST_LINES) > 0:
            lines.append(_("… and %(n)s more", n=rest))
        return "\n".join(lines)

    def _line(self, each: Mapping[str, Any]) -> str:
        word = i18n.term(self.language, "event", str(each.get("type", "")))
        urgency = f"P{each['priority']} {i18n.term(self.language, 'priority', str(each['priority']))}"
        title = each.get(f"title_{self.language}") or each.get("title_zh", "")
        return _one_line(f"{urgency} · {word} · {each.get('number', '')} · {each.get('asset') or ''} {title}")

    def _link(self, each: Mapping[str, Any]) -> str:
        return f"  {self.address}/orders/{quote(str(each.get('number', '')))}" if self.address else ""


def tell(
    settings: ChannelSettings,
    notice: Notice,
    people: Iterable[str] = (),
    ask: outbound.Resolve = outbound.resolve,
) -> None:
    """Send it; ``people`` are further e-mail addresses. OutboundError says why it did not arrive."""
    match settings:
        case EmailSettings():
            _mail(settings, notice, [*settings.to, *people])
        case WebhookSettings():
            body = _json(
                {"type": "work_order.events", "site": notice.site, "data": {"events": notice.payloads}}
            )
            headers = signature(settings.secret.get_secret_value(), notice.key, notice.at // 1000, body)
            outbound.post(settings.url.get_secret_value(), body, headers, settings.networks, ask=ask)
        case WecomSettings():
            _robot(settings.url.get_secret_value(), notice, settings, ask)
        case DingtalkSettings():
            signed = settings.secret and dingtalk_signature(settings.secret.get_secret_value(), notice.at)
            url = settings.url.get_secret_value()
            _robot(f"{url}{'&' if '?' in url else '?'}{signed}" if signed else url, notice, settings, ask)


def signature(secret: str, key: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks: whoever knows the secret can tell that it is we, now, and once."""
    known = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    mark = "msg_" + hashlib.sha256(key.encode()).hexdigest()[:32]
    digest = hmac.digest(known, f"{mark}.{seconds}.".encode() + body, "sha256")
    return {
        "Content-Type": "application/json",
        "webhook-id": mark,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def dingtalk_signature(secret: str, at: int) -> str:
    """What DingTalk wants in the address: the time in ms, and its HMAC-SHA256 with the secret."""
    digest = hmac.digest(secret.encode(), f"{at}\n{secret}".encode(), "sha256")
    return f"timestamp={at}&sign={quote(base64.b64encode(digest), safe='')}"


def _robot(
    url: str, notice: Notice, settings: WecomSettings | DingtalkSettings, ask: outbound.Resolve
) -> None:
    """Both robots take the same text and answer 200 with an error in the body."""
    head = f"{notice.title()}\n" if len(notice.payloads) > 1 else f"[{notice.site}] "
    body = _json({"msgtype": "text", "text": {"content": _cut(head + notice.text(), 2000)}})
    answer = outbound.post(url, body, {"Content-Type": "application/json"}, settings.networks, ask=ask)
    try:
        said = json.loads(answer.body)
        code = said["errcode"]
    except (ValueError, KeyError, TypeError):
        raise OutboundError("the robot's answer is not what it should be") from None
    if code != 0:
        raise OutboundError(f"the robot refuses: {code} {str(said.get('errmsg', ''))[:200]}")


def _mail(settings: EmailSettings, notice: Notice, to: Sequence[str]) -> None:
    if not to:
        raise OutboundError(
            "nobody to tell: `to` is empty and nobody with one of `roles` has an e-mail address"
        )
    message = EmailMessage()
    message["Subject"] = _cut(notice.title(), 200)
    message["From"] = settings.sender
    message["To"] = ", ".join(dict.fromkeys(to))
    message["Date"] = format_datetime(datetime.fromtimestamp(notice.at / 1000, UTC))
    domain = settings.sender.partition("@")[2]
    message["Message-ID"] = f"<{hashlib.sha256(notice.key.encode()).hexdigest()[:32]}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notice.text() + "\n")
    kind = smtplib.SMTP_SSL if settings.security == "tls" else smtplib.SMTP
    try:
        with kind(settings.server, settings.port, timeout=SMTP_PATIENCE) as smtp:
            if settings.security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if settings.username:
                smtp.login(settings.username, settings.password.get_secret_value())
            refused = smtp.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise OutboundError(f"{settings.server}:{settings.port}: {type(error).__name__} {error}") from error
    if refused:
        raise OutboundError(f"{settings.server} refuses {', '.join(refused)}")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, most: int) -> str:
    return text if len(text.encode()) <= most else text.encode()[: most - 3].decode(errors="ignore") + "…"


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=list).encode()
