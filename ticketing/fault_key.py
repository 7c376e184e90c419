"""What may be open only once."""

from __future__ import annotations

from ticketing.events import sha256


def fault_key(site: str, asset: str, failure_mode: str, rule_id: str, key: str) -> str:
    """The key of a fault. Never the rule's name alone: two rules seeing one bearing give one order."""
    parts = {
        "asset_failure_mode": (site, asset, failure_mode),
        "asset": (site, asset),
        "rule_asset": (site, asset, f"rule:{rule_id}"),
        "flood": (site, "", "flood"),
    }[key]
    return sha256("\x1f".join(parts))
