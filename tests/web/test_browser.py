"""The pages in a real browser: nothing in the console, nothing over the edge, light, and a button that works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

from tests.web.scene import FakePlant
from ticketing import Desk, State

pytestmark = pytest.mark.needs("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
FIRST_PAGE = 300_000  # bytes


@pytest.fixture(scope="module")
def browser(part: Callable[[str], Path]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=part("chromium"), args=FLAGS)
        yield opened
        opened.close()


class Visitor:
    """A person with a browser; ``complaints`` is what its console said (violations of the policy too)."""

    def __init__(self, browser: Browser, address: str, width: str, locale: str) -> None:
        phone = width == "phone"
        self.context: BrowserContext = browser.new_context(
            viewport=WIDTHS[width],
            locale=locale,
            is_mobile=phone,
            has_touch=phone,
            base_url=address,
            timezone_id="Asia/Shanghai",
        )
        self.complaints: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def go(self, path: str) -> Page:
        self.page.goto(path, wait_until="load")
        return self.page

    def overflow(self) -> int:
        """Pixels that the page is wider than the screen."""
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Visitor]]:
    visitors: list[Visitor] = []

    def arrive(width: str = "desktop", locale: str = "zh-CN") -> Visitor:
        visitors.append(Visitor(browser, address, width, locale))
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        visitor.context.close()


def number_of(desk: Desk, asset: str) -> str:
    with desk.read() as reading:
        return reading.orders(asset=asset, state="open")[0].number


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_every_page_is_quiet_and_fits(
    visit: Callable[..., Visitor], week: Desk, daemon: FakePlant, width: str, locale: str
) -> None:
    visitor = visit(width, locale)
    order = f"/orders/{number_of(week, 'pump-1')}"
    for path in ("/orders", order, "/alarms", "/live", "/assets/pump-1", "/health", "/orders?q=nothing"):
        page = visitor.go(path)
        page.wait_for_selector("[data-gateway].is-online")
        for plot in page.query_selector_all("[data-chart] .plot-plot"):
            page.wait_for_function("plot => Number(plot.dataset.points) > 20", arg=plot)
            box = plot.bounding_box()
            assert box is not None
            assert box["height"] <= 300
        assert visitor.complaints == [], path
        assert visitor.overflow() <= 0, path
    assert page.locator("html").get_attribute("lang") == ("zh-CN" if locale == "zh-CN" else "en")


@pytest.mark.parametrize("path", ["/orders", "/live", "order"])
def test_a_first_visit_weighs_little(
    visit: Callable[..., Visitor], week: Desk, daemon: FakePlant, path: str
) -> None:
    visitor = visit("phone")
    weights: dict[str, int] = {}

    def weigh(response: Response) -> None:
        if "event-stream" not in response.headers.get("content-type", ""):
            sizes = response.request.sizes()
            weights[response.url] = sizes["responseBodySize"] + sizes["responseHeadersSize"]

    visitor.page.on("requestfinished", lambda request: weigh(request.response()))
    visitor.go(f"/orders/{number_of(week, 'pump-1')}" if path == "order" else path)
    visitor.page.wait_for_selector("[data-gateway].is-online")
    assert sum(weights.values()) < FIRST_PAGE, weights
    assert len(weights) < 16


def test_a_filter_changes_the_list_without_a_reload(visit: Callable[..., Visitor], week: Desk) -> None:
    visitor = visit()
    page = visitor.go("/orders")
    page.evaluate("window.stayed = true")
    assert page.locator(".orders li").count() == 5
    page.fill("#q", "滤网")
    page.wait_for_function("() => document.querySelectorAll('.orders li').length === 1")
    page.select_option("select[name=state]", "closed")
    page.wait_for_selector(".nothing")
    assert "state=closed" in page.url
    assert page.evaluate("window.stayed")
    assert visitor.complaints == []


@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_an_order_is_assigned_by_its_one_button(
    visit: Callable[..., Visitor], week: Desk, width: str
) -> None:
    visitor = visit(width)
    number = number_of(week, "pump-1")
    page = visitor.go(f"/orders/{number}")
    page.click("details[data-move=assign] > summary")
    page.select_option("#assign-assignee", "li")
    page.click("details[data-move=assign] form button")
    page.wait_for_selector(".state-assigned")
    with week.read() as reading:
        order = reading.order(number)
    assert (order.state, order.assignee) == (State.ASSIGNED, "li")
    assert page.locator(".history li").first.inner_text().startswith("派工")
    assert visitor.complaints == []
    assert visitor.overflow() <= 0


def test_the_crosshair_and_the_keyboard_read_the_chart(visit: Callable[..., Visitor], week: Desk) -> None:
    visitor = visit(locale="en-GB")
    page = visitor.go(f"/orders/{number_of(week, 'pump-1')}")
    reading = page.locator(".plot-reading")
    page.locator(".u-over").hover(position={"x": 60, "y": 40})
    page.wait_for_function("() => document.querySelector('.plot-reading').textContent.includes('mm/s')")
    early = reading.inner_text()
    assert early.startswith("2.")
    page.focus("[data-chart]")
    page.keyboard.press("ArrowRight")
    assert reading.inner_text() != early
    labels = page.evaluate("[...document.querySelectorAll('.plot-reading')].map(e => e.textContent)")
    assert "M" not in labels[0].split()[-1]  # 24 h, no a.m. or p.m.
    page.keyboard.press("+")
    page.keyboard.press("Escape")
    assert visitor.complaints == []


def test_live_values_change_and_nothing_moves(visit: Callable[..., Visitor], daemon: FakePlant) -> None:
    visitor = visit("phone", "en-GB")
    page = visitor.go("/live")
    page.wait_for_selector("[data-signal='motor-1/winding_temp'].is-bad")
    lost = page.locator("[data-signal='motor-1/winding_temp']").inner_text()
    assert "not answering" in lost
    assert "–" in lost
    page.wait_for_function(
        "() => document.querySelector('[data-signal=\"pump-1/flow\"] path').getAttribute('d').length > 200"
    )
    boxes = "[...document.querySelectorAll('[data-signal], [data-signal] > *')].map(e => e.getBoundingClientRect())"
    places = f"JSON.stringify({boxes})"
    before, value = page.evaluate(places), page.locator("[data-signal='pump-1/flow'] b").inner_text()
    page.wait_for_function(
        "old => document.querySelector('[data-signal=\"pump-1/flow\"] b').textContent !== old", arg=value
    )
    assert page.evaluate(places) == before
    daemon.stop()
    page.wait_for_selector("[data-away]:not([hidden])")
    assert visitor.complaints == []


def test_the_demo_counts_down_and_points_at_its_order(
    visit: Callable[..., Visitor], week: Desk, daemon: FakePlant
) -> None:
    daemon.demo = {"fault_at": (2**31) * 10**9, "asset": "compressor-2", "scenario": "bearing_wear"}
    visitor = visit("phone", "en-GB")
    page = visitor.go("/live")
    page.wait_for_selector("[data-demo]:not([hidden])")
    assert "A bearing fault starts in" in page.locator("[data-demo-text]").inner_text()
    daemon.demo = {"fault_at": 10**18, "asset": "pump-1", "scenario": "bearing_wear"}
    page.wait_for_selector("[data-demo-link]:not([hidden])")
    page.click("[data-demo-link]")
    page.wait_for_selector("[data-tour]:not([hidden])")
    assert page.url.endswith(number_of(week, "pump-1"))
    page.click("[data-tour] a[href='#evidence']")
    assert visitor.overflow() <= 0
    assert visitor.complaints == []


def test_the_reader_changes_language_theme_and_name(visit: Callable[..., Visitor], week: Desk) -> None:
    visitor = visit()
    page = visitor.go("/orders")
    page.click("button[name=lang]")
    page.wait_for_selector("html[lang=en]")
    page.click("[data-toggle-theme]")
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    page.click(".menu summary")
    page.click("button[name=who][value=li]")
    page.wait_for_selector(".menu summary >> text=李娜")
    assert visitor.complaints == []
