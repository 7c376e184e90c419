"""From an alarm to mail, webhook and robots: real servers, signatures checked as the other side checks them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.building import maintained
from gateway.channels import ChannelSettings, policy_of
from gateway.config import load_site
from gateway.mistakes import ConfigError
from gateway.notices import Notice, signature
from gateway.notifying import TAKEN, Notifier
from gateway.outbound import OutboundError
from gateway.register import introduce
from gateway.site import Site
from hatch_build import compile_catalogs
from tests.gateway.sinks import Mails, Requests, http_server, mail_server
from tests.ticketing.scene import T0, raised
from ticketing import Desk, outbox

SITE = """
[site]
id = "demo"
name = "Demo"
language = "zh"

[web]
names = ["wk.plant.example"]

[notify.mail]
kind = "email"
server = "127.0.0.1"
port = {mail}
security = "none"
sender = "watchkeeper@plant.example"
to = ["duty@plant.example"]
roles = ["lead"]
language = "en"
tries = 2

[notify.erp]
kind = "webhook"
url = "http://127.0.0.1:{web}/hooks"
networks = ["127.0.0.0/8"]
secret = {{ env = "ERP_SECRET" }}
fallback = "mail"
tries = 2

[notify.group]
kind = "wecom"
url = "http://127.0.0.1:{web}/wecom?key=k-1"
networks = ["127.0.0.0/8"]
per_minute = 3

[notify.ding]
kind = "dingtalk"
url = "http://127.0.0.1:{web}/ding?access_token=t-1"
secret = "SECabc"
networks = ["127.0.0.0/8"]
"""
PEOPLE = """
[person.wang]
name = "王强"
role = "lead"
email = "wang@plant.example"

[person.boss]
name = "Boss"
role = "director"
email = "boss@plant.example"
"""
ASSETS = """
[class.pump]
signals.vib_rms = { unit = "mm/s" }

[asset.pump-1]
class = "pump"
"""
LOCALE = Path(__file__).parents[2] / "gateway" / "locale"
SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes ...").decode()


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    compile_catalogs(LOCALE)


@pytest.fixture
def mails() -> Iterator[Mails]:
    with mail_server() as opened:
        yield opened


@pytest.fixture
def web() -> Iterator[Requests]:
    with http_server() as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path, mails: Mails, web: Requests, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("ERP_SECRET", SECRET)
    (tmp_path / "site.toml").write_text(SITE.format(mail=mails.port, web=web.port))
    (tmp_path / "people.toml").write_text(PEOPLE)
    (tmp_path / "assets.toml").write_text(ASSETS)
    return load_site(tmp_path)


@pytest.fixture
def desk(site: Site) -> Iterator[Desk]:
    desk = Desk.open(site.folder / "core.db", site="demo", policy=policy_of(site))
    introduce(desk, site, T0)
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    yield desk
    desk.close()


class Clock:
    def __init__(self) -> None:
        self.ms = T0

    def __call__(self) -> int:
        return self.ms * 1_000_000


def an_order(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(
            raised("e1", title_zh="振动\r\nBcc: x@evil.example", title_en="vibration\r\nBcc: x@evil.example")
        )


def states(desk: Desk) -> dict[tuple[str, str], int]:
    with desk.read() as read:
        return outbox.counts(read)


def test_an_opened_order_is_told_by_every_channel(
    site: Site, desk: Desk, mails: Mails, web: Requests
) -> None:
    an_order(desk)
    notifier = Notifier(site, desk, Clock())
    assert notifier.once() == 4
    assert notifier.once() == 0
    assert states(desk) == {(name, "delivered"): 1 for name in site.channels}

    (mail,) = mails.got
    assert mails.to == [["duty@plant.example", "wang@plant.example"]]
    assert (
        mail["Subject"] == "[demo] P1 urgent · Opened · WO-2026-000001 · pump-1 vibration Bcc: x@evil.example"
    )
    assert mail["Bcc"] is None
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "https://wk.plant.example/orders/WO-2026-000001" in mail.get_content()

    told = {path.split("?")[0]: (path, headers, body) for path, headers, body in web.got}
    path, headers, body = told["/hooks"]
    _standard_webhooks_says(headers, body)
    (event,) = json.loads(body)["data"]["events"]
    assert (event["type"], event["number"], event["priority"]) == ("open", "WO-2026-000001", 1)

    path, _, body = told["/wecom"]
    assert path.endswith("?key=k-1")
    said = json.loads(body)
    assert said["msgtype"] == "text"
    assert said["text"]["content"].startswith("[demo] P1 紧急 · ")

    path, _, body = told["/ding"]
    asked = parse_qs(urlsplit(path).query)
    mine = hmac.new(b"SECabc", f"{asked['timestamp'][0]}\nSECabc".encode(), hashlib.sha256).digest()
    assert (asked["access_token"], asked["sign"]) == (["t-1"], [base64.b64encode(mine).decode()])


def _standard_webhooks_says(headers: dict[str, str], body: bytes) -> None:
    """As the library of the other side checks it."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body.decode()}"
    digest = hmac.new(
        base64.b64decode(SECRET.removeprefix("whsec_")), signed.encode(), hashlib.sha256
    ).digest()
    version, _, given = headers["webhook-signature"].partition(",")
    assert (version, given) == ("v1", base64.b64encode(digest).decode())
    assert headers["webhook-timestamp"] == str(T0 // 1000)


def test_a_signature_depends_on_every_part() -> None:
    one = signature(SECRET, "k", 1, b"body")["webhook-signature"]
    others = (
        signature("another secret, long", "k", 1, b"body"),
        signature(SECRET, "l", 1, b"body"),
        signature(SECRET, "k", 2, b"body"),
        signature(SECRET, "k", 1, b"bodY"),
    )
    assert one not in {each["webhook-signature"] for each in others}
    assert signature(SECRET, "k", 9, b"")["webhook-id"] == signature(SECRET, "k", 1, b"")["webhook-id"]


def test_an_escalation_goes_to_the_role_that_it_names(site: Site, desk: Desk, mails: Mails) -> None:
    an_order(desk)
    with desk.transaction() as tx:
        tx.tick(T0)
    Notifier(site, desk, Clock()).once()
    told = dict(zip((str(mail["Subject"]).split(" · ")[1] for mail in mails.got), mails.to, strict=True))
    assert "boss@plant.example" in told["Escalated"]
    assert "boss@plant.example" not in told["Opened"]


def test_what_does_not_arrive_is_tried_again_and_goes_by_the_fallback(
    site: Site, desk: Desk, web: Requests, mails: Mails, caplog: pytest.LogCaptureFixture
) -> None:
    web.status, clock = 500, Clock()
    notifier = Notifier(site, desk, clock)
    an_order(desk)
    notifier.once()
    clock.ms += 10_000
    notifier.once()
    clock.ms += 1_000
    notifier.once()
    assert states(desk)["erp", "given_up"] == 1
    assert states(desk)["mail", "delivered"] == 2  # its own, and the webhook's
    assert sum("channel erp cannot be told: 127.0.0.1 answers 500" in line for line in caplog.messages) == 1
    web.status = 200
    clock.ms += 60_000
    caplog.set_level("INFO")
    notifier.once()
    assert states(desk)["group", "delivered"] == 1
    assert "channel group is told again" in caplog.messages
    assert SECRET not in caplog.text
    assert "k-1" not in caplog.text


def test_a_storm_becomes_a_digest(site: Site, desk: Desk, web: Requests) -> None:
    with desk.transaction() as tx:
        for n in range(10):
            body = {"type": "open", "number": f"WO-{n}", "priority": 2, "title_zh": "x", "title_en": "x"}
            tx.post(f"k{n}", "group", body, T0 + n)
    clock = Clock()
    clock.ms += 100
    assert Notifier(site, desk, clock).once() == 3
    texts = [json.loads(body)["text"]["content"] for _, _, body in web.got]
    assert "WO-0" in texts[0]
    assert "8 条" in texts[2]
    assert all(f"WO-{n}" in texts[2] for n in range(2, 10))


def test_a_robots_no_is_no_delivery(site: Site, desk: Desk, web: Requests) -> None:
    web.body = b'{"errcode":45009,"errmsg":"api freq out of limit"}'
    an_order(desk)
    Notifier(site, desk, Clock()).once()
    assert states(desk)["group", "waiting"] == 1
    assert states(desk)["erp", "delivered"] == 1
    web.body = b"<html>"
    clock = Clock()
    clock.ms += TAKEN
    Notifier(site, desk, clock).once()
    assert states(desk)["ding", "waiting"] == 1


def test_a_sender_that_dies_sends_again_later_with_the_same_key(site: Site, desk: Desk) -> None:
    an_order(desk)
    keys: list[str] = []

    def dying(_settings: ChannelSettings, notice: Notice, _people: Iterable[str]) -> None:
        keys.append(notice.key)
        raise KeyboardInterrupt

    clock = Clock()
    with pytest.raises(KeyboardInterrupt):
        Notifier(site, desk, clock, dying).once()
    assert Notifier(site, desk, clock, dying).once() == 0  # it is taken
    clock.ms += TAKEN
    with pytest.raises(KeyboardInterrupt):
        Notifier(site, desk, clock, dying).once()
    assert keys == [keys[0]] * 2


def test_a_dead_channel_holds_up_no_other(site: Site, desk: Desk) -> None:
    with desk.transaction() as tx:
        for n in range(3):
            tx.post(f"a{n}", "erp", {}, T0)
            tx.post(f"b{n}", "group", {}, T0)
    tried: list[str] = []

    def send(settings: ChannelSettings, notice: Notice, _people: Iterable[str]) -> None:
        tried.append(notice.key)
        if settings.kind == "webhook":
            raise OutboundError("away")

    assert Notifier(site, desk, Clock(), send).once() == 3
    assert tried == ["a0", "b0", "b1", "b2"]
    assert states(desk)["erp", "waiting"] == 3


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.01)


def test_a_core_that_is_away_does_not_end_the_daemon(
    site: Site, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.notifying.BEAT", 0.01)
    notifier, calls, once = Notifier(site, desk, Clock()), [0], Notifier.once

    def away_at_first(self: Notifier) -> int:
        calls[0] += 1
        if calls[0] <= 3:
            raise ConnectionError("the core is away")
        return once(self)

    monkeypatch.setattr(Notifier, "once", away_at_first)
    an_order(desk)

    async def run() -> None:
        task = asyncio.create_task(notifier.run())
        await _until(lambda: states(desk).get(("erp", "delivered")) == 1)
        task.cancel()

    asyncio.run(run())
    assert sum("its messages wait" in line for line in caplog.messages) == 1


def test_a_channel_that_is_gone_gives_its_messages_up(site: Site, desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.post("k", "old", {}, T0)
    Notifier(site, desk, Clock()).once()
    assert states(desk)["old", "waiting"] == 1


def test_mail_that_must_be_private_does_not_go_in_clear(site: Site, mails: Mails) -> None:
    from gateway.notices import tell

    settings = site.channels["mail"].model_copy(update={"security": "starttls"})
    notice = Notice("demo", "k", [{"type": "open", "priority": 1}], T0, "en")
    with pytest.raises(OutboundError, match="STARTTLS"):
        tell(settings, notice)
    assert mails.got == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "wecom"', 'kind = "wechat"', "notify.group.kind"),
        ('fallback = "mail"', 'fallback = "mial"', "did you mean 'mail'?"),
        ('fallback = "mail"', 'fallback = "erp"', "notify.erp.fallback"),
        ("/wecom?key=k-1", "/wecom#key", "notify.group.url"),
        ("http://127.0.0.1", "ftp://127.0.0.1", "https://erp.example/hooks"),
        ("http://127.0.0.1", "http://me:pw@127.0.0.1", "do not belong"),
        ('secret = { env = "ERP_SECRET" }', 'secret = "short"', "notify.erp.secret"),
        ('to = ["duty@plant.example"]', 'to = ["a@b.example, c@d.example"]', "notify.mail.to"),
    ],
)
def test_a_slip_is_named(site: Site, old: str, new: str, said: str) -> None:
    path = site.folder / "site.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as refused:
        load_site(site.folder)
    assert said in str(refused.value)


def test_secrets_are_not_shown(site: Site) -> None:
    assert SECRET not in repr(site)
    assert "SECabc" not in repr(site)
    assert "k-1" not in repr(site)


def test_the_commands(site: Site, mails: Mails, web: Requests) -> None:
    from typer.testing import CliRunner

    from gateway.commands import app

    done = CliRunner().invoke(app, ["notify", "test", "--site", str(site.folder)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [f"{name}: delivered" for name in site.channels]
    assert "A test message" in mails.got[0]["Subject"]
    web.status = 404
    done = CliRunner().invoke(app, ["notify", "test", "erp", "--site", str(site.folder)])
    assert (done.exit_code, done.stderr) == (1, "erp: not delivered: 127.0.0.1 answers 404\n")
    done = CliRunner().invoke(app, ["notify", "test", "sms", "--site", str(site.folder)])
    assert "no channel is called 'sms'; there are: mail, erp" in done.stderr
    done = CliRunner().invoke(app, ["notify", "list", "--site", str(site.folder)])
    assert "dingtalk" in done.stdout
