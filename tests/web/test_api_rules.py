"""Rules by API: where they stand, their history and figures."""

from __future__ import annotations

from starlette.testclient import TestClient

from gateway.building import build_rules
from gateway.site import Site
from tests.web.scene import now_ms
from ticketing import Actor, Desk, RuleStep

ENGINEER = Actor("zhao", frozenset({"engineer"}))


def test_where_a_rule_stands_and_how_it_came_there(client: TestClient, site: Site, week: Desk) -> None:
    rule = build_rules(site)["vibration"]
    before = {each["rule_id"]: each for each in client.get("/api/rules").json()}
    assert (before["vibration"]["stage"], before["vibration"]["step"]) == ("live", None)
    assert "pump-1" in before["vibration"]["assets"]
    step = RuleStep(rule.id, rule.hash, "canary", now_ms() - 1000, "try it", ("pump-1",), "one order a month")
    with week.transaction() as tx:
        tx.take_rule_step(ENGINEER, step, "{}")
    after = {each["rule_id"]: each for each in client.get("/api/rules").json()}
    assert (after["vibration"]["stage"], after["vibration"]["step"]["author"]) == ("canary", "zhao")
    history = client.get("/api/rules/vibration/history").json()
    (taken,) = history["steps"]
    assert (taken["step"]["expected"], taken["came"]) == ("one order a month", None)
    assert client.get("/api/rules/nothing/history").status_code == 404


def test_what_the_alarms_of_the_week_were_worth(client: TestClient, week: Desk) -> None:
    found = client.get("/api/rules/figures", params={"days": 7}).json()
    assert found["site"]["alarms"] == found["rules"][0]["alarms"] == 7
    assert client.get("/api/rules/figures", params={"days": 0}).status_code == 422
