"""One way of logging: plain lines for a person at a terminal, JSON lines for the journal."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path


class Line(logging.Formatter):
    """``2026-11-22T08:00:00Z WARNING pump-7 stopped answering: …``, for a person."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")


class Journal(logging.Formatter):
    """One JSON object a line: ``timestamp`` (UTC), ``level``, ``logger``, ``event`` and ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        at = datetime.fromtimestamp(record.created, UTC)
        said = {
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def set_up(level: int = logging.INFO) -> None:
    """Send everything to standard error in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Journal() if "JOURNAL_STREAM" in os.environ else Line())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("alembic", "asyncio", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def dead_letters(path: Path) -> Callable[[str, bytes, str], None]:
    """Where messages that cannot be read are kept, as JSON lines: the newest 8 MiB of them."""
    kept = logging.getLogger("dead letters")
    kept.propagate = False
    kept.handlers[:] = [
        RotatingFileHandler(path, maxBytes=4 << 20, backupCount=1, delay=True, encoding="utf-8")
    ]

    def keep(topic: str, payload: bytes, reason: str) -> None:
        text = payload[:4096].decode("utf-8", "backslashreplace")
        kept.warning(json.dumps({"time": time.time(), "topic": topic, "reason": reason, "payload": text}))

    return keep
