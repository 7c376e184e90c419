"""Signing in with a real browser, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.people import PASSWORD, add
from tests.web.scene import now_ms
from tests.web.test_browser import Visitor, browser, visit
from ticketing import Desk

__all__ = ["browser", "visit"]  # pytest takes fixtures by their names
pytestmark = pytest.mark.needs("chromium")


@pytest.mark.parametrize(
    ("width", "locale", "out"), [("desktop", "en-GB", "Sign out"), ("phone", "zh-CN", "退出登录")]
)
def test_in_and_out(
    visit: Callable[..., Visitor],
    week: Desk,
    width: str,
    locale: str,
    out: str,
) -> None:
    add(week, "wang", at=now_ms())
    reader = visit(width, locale)
    page = reader.go("/orders")
    assert "/sign-in?next=/orders" in page.url
    assert reader.overflow() == 0
    page.fill("#name", "wang")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-gateway]")
    reader.go("/account")
    assert reader.overflow() == 0
    page.click("header summary")
    page.click(f"text={out}")
    page.wait_for_url("**/sign-in")
    reader.go("/live")
    assert "/sign-in?next=/live" in page.url
    assert reader.complaints == []
