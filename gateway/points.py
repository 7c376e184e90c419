"""Writing one point into ``devices.toml``: the text around it stays as its author left it."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.config import load_site
from gateway.mistakes import ConfigError


class NoPlaceError(ValueError):
    """The point cannot be written for the user; the text says why, and what to do by hand."""


def point_line(signal: str, point: str) -> str:
    """The line of ``[device.<id>.points]``."""
    return f'"{signal}" = {point}'


def save_point(folder: Path, device: str, signal: str, point: str) -> None:
    """Add the point to the device and check the whole site; what does not pass is taken back (ConfigError)."""
    file, line = folder / "devices.toml", point_line(signal, point)
    before = file.read_text(encoding="utf-8")
    after = _with_line(before, device, line)
    if after is None:
        raise NoPlaceError(f"{file} has no table [device.{device}.points]; write there by hand: {line}")
    _replace(file, after)
    try:
        load_site(folder)
    except ConfigError:
        _replace(file, before)
        raise


def _with_line(text: str, device: str, line: str) -> str | None:
    """``text`` with ``line`` as the last of the device's points; None if there is no such table."""
    lines = text.splitlines()
    head = re.compile(rf'\s*\[\s*device\s*\.\s*["\']?{re.escape(device)}["\']?\s*\.\s*points\s*\]')
    start = next((n for n, each in enumerate(lines) if head.match(each)), None)
    if start is None:
        return None
    end = next((n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return "\n".join([*lines[:end], line, *lines[end:]]) + "\n"


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(file.stat().st_mode)
    new.replace(file)
