"""Rules as an API: where each stands, what became of its versions, and what its alarms were worth."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway.building import build_rules
from gateway.site import scoped
from gateway.stages import stage, standing
from gateway.web.api import refused
from gateway.web.house import Hall, may
from ticketing import AlarmFigures, NotFoundError, RuleFigures, RuleStep, RuleVersion
from ticketing.records import DAY

router = APIRouter(tags=["Rules"])
LONGEST = 366  # days


class Standing(BaseModel):
    """A rule as the site's file has it now; ``step`` is what its present version has taken, if any."""

    rule_id: str
    sha256: str
    stage: str = Field(description="shadow, canary, live or retired; or the file's mode: live, shadow, off")
    assets: list[str] = Field(description="those that it watches")
    step: RuleStep | None


class Taken(BaseModel):
    """A step with what came of it until the next one."""

    step: RuleStep
    came: RuleFigures | None


class History(BaseModel):
    """A rule's versions and steps, oldest first."""

    versions: list[RuleVersion]
    steps: list[Taken]


class Figures(BaseModel):
    """All alarms of the time, and each rule's, the one with the most first."""

    site: AlarmFigures
    rules: list[RuleFigures]


@router.get("/api/rules", dependencies=[may("alarm.read")], responses=refused())
def list_rules(house: Hall) -> list[Standing]:
    """The site's rules and where each stands."""
    with house.desk.read() as desk:
        steps = desk.rule_stages()
    return [
        Standing(
            rule_id=rule.id,
            sha256=rule.hash,
            stage=stage(rule, steps),
            assets=scoped(house.site, rule.settings.scope),
            step=standing(rule, steps),
        )
        for rule in build_rules(house.site).values()
    ]


@router.get("/api/rules/figures", dependencies=[may("alarm.read")], responses=refused())
def figures(house: Hall, days: Annotated[int, Query(ge=1, le=LONGEST)] = 7) -> Figures:
    """Figures after ISA-18.2 of the last days, and what each rule's alarms were worth."""
    rules = build_rules(house.site).values()
    monitored = {asset for rule in rules for asset in scoped(house.site, rule.settings.scope)}
    end = house.now()
    with house.desk.read() as desk:
        return Figures(
            site=desk.alarm_figures(end - days * DAY, end, monitored=monitored),
            rules=desk.rule_figures(end - days * DAY, end),
        )


@router.get("/api/rules/{rule_id}/history", dependencies=[may("alarm.read")], responses=refused(404))
def history(house: Hall, rule_id: str) -> History:
    """Who took which version where, when and why, what was hoped for, and what came of it."""
    with house.desk.read() as desk:
        steps, versions = desk.rule_steps(rule_id), desk.rule_versions(rule_id)
        if not versions and rule_id not in house.site.rules:
            raise NotFoundError(f"there is no rule {rule_id}")
        spans = pairwise([*(step.at for step in steps), house.now()])
        came = [
            next(iter(desk.rule_figures(start, end, rule_id=rule_id, sha256=step.sha256)), None)
            for step, (start, end) in zip(steps, spans, strict=True)
        ]
    return History(
        versions=versions, steps=[Taken(step=step, came=each) for step, each in zip(steps, came, strict=True)]
    )
