"""The page about one trained version, in two languages: what it learned from, how quiet it is, what it would alarm.

One file without scripts or links, to be mailed or kept: drawings are SVG within the page.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from gateway.i18n import LANGUAGES, Language, speaker, term
from gateway.site import Site
from gateway.wording import asset_with_id, number, signal_name
from models.promise import LIMIT, Array, Contribution
from models.register import Version
from models.training import History, Onset, Replay, Times, Trained

_WIDTH, _HEIGHT, _STRIP = 960, 180, 90
_POINTS = 480
_TOLD = 20  # alarms listed
_STYLE = """
body{font:15px/1.5 system-ui,"Noto Sans SC",sans-serif;max-width:62rem;margin:1.5rem auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}p{margin:.3rem 0}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem .25rem 0;
border-bottom:1px solid #dde2e8;vertical-align:top}th{font-weight:600;color:#4a5563}
svg{width:100%;height:auto;display:block;background:#fafbfc;border:1px solid #dde2e8;margin:.3rem 0}
svg text{font-size:12px;fill:#4a5563}.key{color:#4a5563;font-size:.85rem}
input{position:absolute;opacity:0}label{margin-right:1rem;cursor:pointer;color:#1f6feb}
input:focus-visible+label{outline:2px solid #1f6feb}main{display:none}
#zh:checked~main[lang=zh],#en:checked~main[lang=en]{display:block}
@media print{label{display:none}}
"""
Speak = Callable[..., str]


def write(
    path: Path,
    site: Site,
    version: Version,
    trained: Trained,
    *,
    history: History,
    live: Version | None,
    beside: Replay | None,
) -> None:
    """Write the page to ``path``; ``beside`` is what the live version says to the same rows."""
    page = Element("html", lang=site.site.language)
    head = SubElement(page, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    SubElement(head, "title").text = version.id
    SubElement(head, "style").text = _STYLE
    body = SubElement(page, "body")
    for language, name in LANGUAGES.items():
        first = {"checked": "checked"} if language == site.site.language else {}
        SubElement(body, "input", {"type": "radio", "name": "language", "id": language} | first)
        SubElement(body, "label", {"for": language}).text = name
    for language in LANGUAGES:
        main = SubElement(body, "main", lang=language)
        _Page(site, language, version, trained, history).fill(main, live, beside)
    indent(page)
    path.write_bytes(b"<!DOCTYPE html>\n" + tostring(page, encoding="utf-8", method="html"))


class _Page:
    """The page in one language."""

    def __init__(
        self, site: Site, language: Language, version: Version, trained: Trained, history: History
    ) -> None:
        self._site, self._language, self._ = site, language, speaker(language)
        self._version, self._trained, self._history = version, trained, history

    def fill(self, main: Element, live: Version | None, beside: Replay | None) -> None:
        _ = self._
        SubElement(main, "h1").text = _("Model %(id)s", id=self._version.id)
        self._card(main)
        SubElement(main, "h2").text = _("How quiet it is while all is well")
        self._calibration(main)
        if self._trained.kind != "life":
            SubElement(main, "h2").text = _("Score and limit over time")
            self._timeline(main, live, beside)
            SubElement(main, "h2").text = _("What it would have alarmed")
            self._alarms(main)
        SubElement(main, "h2").text = _("The signals")
        self._signals(main)

    def _card(self, main: Element) -> None:
        _, version, card = self._, self._version, self._version.card
        _rows(
            main,
            [
                (_("Machine"), asset_with_id(self._site, version.asset, self._language)),
                (_("Kind"), card.kind),
                (_("Trained"), _("%(when)s by %(who)s", when=_when(card.at), who=card.by)),
                (_("Why"), card.why),
                (_("From"), f"{card.source}, {_when(card.start)} – {_when(card.end)}"),
                (
                    _("Learned from"),
                    _("%(n)s rows, up to %(when)s", n=card.rows, when=_when(self._trained.split)),
                ),
                (_("Fingerprint"), version.hash[:16]),
            ],
        )

    def _calibration(self, main: Element) -> None:
        _, found = self._, self._trained.figures
        rows = [(_("Held-out normal running"), _("%(n)s days", n=number(found["days"])))]
        if "alarms" in found:
            rows += [
                (_("False alarms there"), number(found["alarms"])),
                (_("False alarms a day"), number(found["alarms_a_day"])),
                (_("Share of rows beyond the limit"), f"{found['share_beyond']:.3%}"),
                (_("Highest score"), f"{found['highest']:.2f}"),
                (_("Alarms while something was known to be wrong"), number(found["alarms_known"])),
            ]
        if "stated_a_day" in found:
            rows.append((_("Stated false alarms a day"), number(found["stated_a_day"])))
        _rows(main, rows)
        if found["days"] < 1:
            text = _("Less than a day was held out: the figures say little yet.")
            SubElement(main, "p", {"class": "key"}).text = text

    def _timeline(self, main: Element, live: Version | None, beside: Replay | None) -> None:
        _, times = self._, self._history.times
        picture = _picture(main, _HEIGHT, _("Score and limit over time"))
        scores = {"#1f6feb": _highest(self._trained.replay.scores)}
        if beside is not None:
            scores["#9a6700"] = _highest(beside.scores)
        for colour, values in scores.items():
            _line(picture, times, values, (0.0, 1.0), _HEIGHT, colour=colour)
        _level(picture, 1.0 - LIMIT, _HEIGHT, _("limit"))
        for onset in self._trained.replay.onsets:
            x = _x(onset.time, times)
            SubElement(picture, "circle", cx=f"{x:.1f}", cy="8", r="4", fill="#cf222e")
        _axis(picture, times, _HEIGHT)
        key = _("Blue: this version. Grey line: the limit. Red dots: alarms.")
        if live is not None and beside is not None:
            key += " " + _("Brown: the live version %(id)s on the same rows.", id=live.id)
        SubElement(main, "p", {"class": "key"}).text = key

    def _alarms(self, main: Element) -> None:
        _, onsets = self._, self._trained.replay.onsets
        if not onsets:
            SubElement(main, "p").text = _("Nothing.")
            return
        table = SubElement(main, "table")
        _header(table, [_("When"), _("Signal"), _("Score"), _("Mostly because of")])
        for onset in onsets[:_TOLD]:
            note = " " + _("(something was known to be wrong)") if onset.known else ""
            cells = [_when(onset.time) + note, onset.output, f"{onset.score:.2f}", self._because(onset)]
            _cells(table, cells)
        if len(onsets) > _TOLD:
            SubElement(main, "p").text = _("… and %(n)s more.", n=len(onsets) - _TOLD)

    def _because(self, onset: Onset) -> str:
        def said(part: Contribution) -> str:
            name = signal_name(self._site, part.signal, self._language)
            return f"{name} {part.share:.0%} ({part.sigmas:+.1f} σ)"

        return ", ".join(said(part) for part in onset.why)

    def _signals(self, main: Element) -> None:
        _, times = self._, self._history.times
        for i, signal in enumerate(self._trained.signals):
            name = signal_name(self._site, signal, self._language)
            title = SubElement(main, "p")
            title.text = f"{name} ({signal})"
            if signal in self._trained.left_out:
                reason = term(self._language, "left out", self._trained.left_out[signal])
                title.text += " — " + _("left out: %(reason)s", reason=reason)
            column = self._history.rows[:, i]
            known = column[np.isfinite(column)]
            if not len(known):
                continue
            low, high = float(known.min()), float(known.max())
            room = 0.05 * (high - low) or 1.0
            picture = _picture(main, _STRIP, name)
            _line(picture, times, column, (low - room, high + room), _STRIP, colour="#1a7f37")
            x = _x(self._trained.split, times)
            SubElement(
                picture, "line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1="0", y2=str(_STRIP), stroke="#8c959f"
            )
            SubElement(picture, "text", x="4", y="14").text = number(high)
            SubElement(picture, "text", x="4", y=str(_STRIP - 6)).text = number(low)
        text = _("Left of the grey line it learned, right of it was held out.")
        SubElement(main, "p", {"class": "key"}).text = text


def _picture(main: Element, height: int, title: str) -> Element:
    svg = SubElement(main, "svg", viewBox=f"0 0 {_WIDTH} {height}", role="img")
    SubElement(svg, "title").text = title
    return svg


def _x(time: int, times: Times) -> float:
    return float((time - times[0]) / max(1, times[-1] - times[0]) * _WIDTH)


def _line(
    picture: Element, times: Times, values: Array, span: tuple[float, float], height: int, *, colour: str
) -> None:
    """A line through the extremes of at most so many stretches of time, with a break where nothing is known."""
    place = ((times - times[0]) * _POINTS // max(1, times[-1] - times[0] + 1)).astype(int)
    words: list[str] = []
    last = -9
    for stretch in np.unique(place[np.isfinite(values)]):
        part = values[(place == stretch) & np.isfinite(values)]
        x = (stretch + 0.5) * _WIDTH / _POINTS
        low, high = (height * (1 - (v - span[0]) / (span[1] - span[0])) for v in (part.min(), part.max()))
        words.append(f"{'L' if stretch - last <= 2 else 'M'}{x:.1f} {low:.1f}L{x:.1f} {high:.1f}")
        last = stretch
    SubElement(picture, "path", d="".join(words) or "M0 0", fill="none", stroke=colour)


def _level(picture: Element, share: float, height: int, name: str) -> None:
    y = f"{share * height:.1f}"
    SubElement(
        picture,
        "line",
        {"x1": "0", "x2": str(_WIDTH), "y1": y, "y2": y, "stroke": "#57606a", "stroke-dasharray": "6 4"},
    )
    SubElement(picture, "text", x="4", y=f"{share * height - 4:.1f}").text = f"{name} {LIMIT:g}"


def _axis(picture: Element, times: Times, height: int) -> None:
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        text = _when(int(times[0] + share * (times[-1] - times[0])))
        place = {"x": str(share * _WIDTH), "y": str(height - 4), "text-anchor": anchor}
        SubElement(picture, "text", place).text = text


def _highest(scores: Array) -> Array:
    """The greatest of the outputs, NaN where nothing was judged."""
    judged = np.isfinite(scores).any(axis=1)
    return np.where(judged, np.where(np.isfinite(scores), scores, -np.inf).max(axis=1), np.nan)


def _rows(main: Element, rows: list[tuple[str, str]]) -> None:
    table = SubElement(main, "table")
    for name, text in rows:
        row = SubElement(table, "tr")
        SubElement(row, "th").text = name
        SubElement(row, "td").text = text


def _header(table: Element, names: list[str]) -> None:
    row = SubElement(table, "tr")
    for name in names:
        SubElement(row, "th").text = name


def _cells(table: Element, texts: list[str]) -> None:
    row = SubElement(table, "tr")
    for text in texts:
        SubElement(row, "td").text = text


def _when(time: int) -> str:
    return datetime.fromtimestamp(time / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
