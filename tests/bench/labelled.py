"""A labelled history out of the simulator's scenarios: what people reported, and the repair that was right."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simulators.faults import SCENARIOS
from ticketing import Article, Asset
from ticketing.history import PastOrder
from ticketing.records import DAY, HOUR

# Scenario → mechanism, remedy, and how people say it.
REPAIRS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "bearing_wear": (
        "wear",
        "replace",
        ("轴承异响,振动大", "振动速度升高,轴承发热", "bearing rough and warm"),
    ),
    "imbalance": (
        "imbalance",
        "adjust",
        ("转子不平衡,振动随转速升高", "叶轮积垢后振动大", "shakes with speed"),
    ),
    "cavitation": (
        "cavitation",
        "modify",
        ("泵有汽蚀声,流量不稳", "入口压力低,出口脉动", "pump rattles, flow erratic"),
    ),
    "clogged_filter": ("blockage", "service", ("滤网压差高", "风量下降,滤芯堵塞", "filter clogged")),
    "overheating": ("overheating", "service", ("温度过高,冷却不良", "冷却器脏,油温高", "runs hot")),
    "oil_loss": ("leakage", "repair", ("漏油,油压低", "密封处渗油", "oil leak, pressure low")),
    "sensor_drift": ("calibration", "adjust", ("仪表读数偏高,机器正常", "传感器漂移", "reads too high")),
    "sensor_stuck": ("instrument", "replace", ("读数长时间不变", "传感器卡死", "one value for ever")),
    "sensor_dropout": ("no_signal", "repair", ("信号时有时无", "接线松动,丢数据", "loose contact")),
    "cable_cut": ("external", "repair", ("设备无通讯", "电缆被切断", "device does not answer")),
}
FLEET = 5  # machines of each class
CONFUSED = 0.1  # so many orders were repaired in another way than their label says


@dataclass(frozen=True)
class Labelled:
    """Machines, their history, and an article for each scenario of each class."""

    assets: list[Asset]
    past: list[PastOrder]
    articles: list[Article]


def labelled(count: int, start: int, span: int, seed: int = 7) -> Labelled:
    """``count`` orders between ``start`` and ``start + span`` (UTC ms); the same seed gives the same history."""
    dice = random.Random(seed)
    kinds = {name: sorted(scenario.limits) for name, scenario in SCENARIOS.items()}
    classes = sorted({kind for each in kinds.values() for kind in each})
    assets = [
        Asset(f"{kind}-{n}", kind, f"{n} 号{kind}", f"{kind} {n}", model=f"{kind[:2].upper()}-{1 + n % 2}")
        for kind in classes
        for n in range(1, FLEET + 1)
    ]
    past = []
    for n in range(count):
        name = dice.choice(sorted(SCENARIOS))
        machine = dice.choice([asset for asset in assets if asset.asset_class in kinds[name]])
        mechanism, remedy, said = REPAIRS[name]
        if dice.random() < CONFUSED:
            mechanism, remedy, _ = REPAIRS[dice.choice(sorted(REPAIRS))]
        opened = start + round(span * n / count) + dice.randrange(HOUR)
        past.append(
            PastOrder(
                id=f"sim-{n:05d}",
                asset=machine.code,
                title=dice.choice(said),
                opened=opened,
                resolved=opened + dice.randrange(HOUR, DAY),
                closed=opened + 2 * DAY,
                failure_mode=SCENARIOS[name].failure_mode,
                mechanism=mechanism,
                remedy=remedy,
            )
        )
    articles = [
        Article(
            kind,
            SCENARIOS[name].failure_mode,
            title_zh=REPAIRS[name][2][0],
            title_en=REPAIRS[name][2][-1],
            body_zh=";".join(REPAIRS[name][2]),
            body_en=SCENARIOS[name].summary,
            mechanism=REPAIRS[name][0],
            remedy=REPAIRS[name][1],
        )
        for name in sorted(SCENARIOS)
        for kind in kinds[name]
    ]
    return Labelled(assets, past, articles)
