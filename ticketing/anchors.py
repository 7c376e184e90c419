"""Heads of the audit chain, kept outside the database under a key: who rewrites the whole chain cannot rewrite these.

Each line of ``audit-heads.log`` holds where the chain ended then, and an HMAC-SHA256 over it and the line before. Copy
the last line elsewhere now and then (``watchkeeper verify`` prints it): then nothing before it can be changed unseen.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketing.desk import Desk
from ticketing.events import GENESIS, canonical
from ticketing.reading import Reading

HEADS, KEY = "audit-heads.log", "audit.key"


@dataclass(frozen=True, slots=True)
class Audit:
    """What checking found: how long the chain is, how many heads were kept; ``broken`` says what is wrong."""

    length: int
    head: str
    heads: int
    broken: str = ""


def anchor(desk: Desk, folder: Path, at: int) -> bool:
    """Write down where the chain ends now (UTC ms); False if it is where it was."""
    with desk.read() as read:
        seq, head = read.head()
    lines = _lines(folder)
    before: dict[str, Any] = json.loads(lines[-1]) if lines else {"mac": GENESIS, "seq": 0}
    if before["seq"] == seq:
        return False
    line = {"at": at, "site": desk.site, "seq": seq, "head": head}
    line["mac"] = _mac(_key(folder), before["mac"], line)
    with (folder / HEADS).open("a") as file:
        file.write(canonical(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def audit(desk: Desk, folder: Path) -> Audit:
    """Walk the chain and every head that was kept."""
    with desk.read() as read:
        chain = read.verify()
        lines = _lines(folder)
        broken = chain.why or (_wrong_head(read, folder, lines) if lines else "")
    return Audit(chain.length, chain.head, len(lines), broken)


def _wrong_head(read: Reading, folder: Path, lines: list[str]) -> str:
    """The first kept head that does not fit, in words."""
    if not (folder / KEY).is_file():
        return f"{KEY} is missing: the kept heads cannot be checked"
    key, before, last = _key(folder), GENESIS, 0
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            mac, seq, head = line.pop("mac"), line["seq"], line["head"]
        except (ValueError, KeyError):
            return f"{HEADS}, line {number} cannot be read"
        if not hmac.compare_digest(mac, _mac(key, before, line)):
            return f"{HEADS}, line {number} was changed, or one before it is missing"
        if seq <= last or read.hash_of(seq) != head:
            return f"line {seq} of the history is not the one that was kept ({HEADS}, line {number})"
        before, last = mac, seq
    return ""


def _lines(folder: Path) -> list[str]:
    path = folder / HEADS
    return path.read_text().splitlines() if path.is_file() else []


def _key(folder: Path) -> bytes:
    """The site's own key, made once; readable by the service alone."""
    path = folder / KEY
    if not path.is_file():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return bytes.fromhex(path.read_text().strip())


def _mac(key: bytes, before: str, line: dict[str, object]) -> str:
    return hmac.new(key, (before + canonical(line)).encode(), hashlib.sha256).hexdigest()
