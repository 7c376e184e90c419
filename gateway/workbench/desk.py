"""A ticket core of its own for a trial: the same way from alarm to order as the daemon's, and gone afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager

from gateway.dispatch import Dispatch
from gateway.evidence import Witness
from gateway.sensors import Sensors
from gateway.site import Site
from gateway.tree import standing_above
from rules import Rule
from ticketing import Asset, Desk


@contextmanager
def trial_desk(
    site: Site, rules: Mapping[str, Rule], assets: Iterable[Asset]
) -> Iterator[tuple[Desk, Dispatch]]:
    """An empty desk in memory that knows ``assets``, and the dispatch of ``rules`` to it.

    Its evidence goes without the series before the alarm: the report draws it from what was recorded.
    """
    with closing(Desk.open(":memory:", site=site.site.id)) as desk:
        with desk.transaction() as tx:
            tx.sync_assets(assets)
        yield desk, Dispatch(desk, rules, Witness(site, Sensors({})), standing_above(site))
