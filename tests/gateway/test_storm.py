"""The storm in short; `python -m tests.soak.storm` is the whole one."""

from __future__ import annotations

from pathlib import Path

from tests.soak.storm import storm


def test_everything_at_once_again_and_again_is_few_orders_and_fewer_messages(tmp_path: Path) -> None:
    """Of 75 signals that cross four times at once, each of 15 machines is told of at most once a minute."""
    found = storm(tmp_path / "site", assets=15, signals=5, times=4)
    assert found.alarms == 15 * 5 * 4
    assert 1 < found.orders <= found.assets
    assert found.most_a_minute == 1
