"""Work done by a child process comes back as if it had been done here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.apart import apart
from gateway.config import load_site
from gateway.mistakes import ConfigError


def test_a_site_that_a_child_read_is_the_same_site() -> None:
    folder = Path(__file__).parents[2] / "examples" / "demo"
    assert apart(load_site, folder) == load_site(folder)


def test_the_work_is_done_by_another_process() -> None:
    assert apart(os.getpid) != os.getpid()


def test_every_mistake_comes_back(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[site]\nid = "UPPER"\n[nonsense]\n')
    with pytest.raises(ConfigError) as here:
        load_site(tmp_path)
    with pytest.raises(ConfigError) as there:
        apart(load_site, tmp_path)
    assert len(here.value.mistakes) == 3
    assert there.value.mistakes == here.value.mistakes
