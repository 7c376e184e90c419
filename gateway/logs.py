"""One way of logging: plain lines for a person at a terminal, JSON lines for the journal."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog
from structlog.typing import Processor

_SECRETS = ("password", "token", "secret")


def set_up(level: int = logging.INFO) -> None:
    """Send everything, structlog's and the standard library's, to standard error in one form."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _masked,
    ]
    journal = "JOURNAL_STREAM" in os.environ
    last: Processor = structlog.processors.JSONRenderer(ensure_ascii=False) if journal else _line
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("alembic", "asyncio", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


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


def _masked(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in event:
        if any(word in key for word in _SECRETS):
            event[key] = "***"
    return event


def _line(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    """``2026-11-22T08:00:00Z WARNING pump-7 stopped answering: … key=value``"""
    time, level, message = event.pop("timestamp", ""), str(event.pop("level", "")), event.pop("event", "")
    trace = event.pop("exception", "")
    rest = " ".join(f"{key}={value}" for key, value in event.items())
    return (
        f"{str(time)[:19]}Z {level.upper()} {message}"
        + (f" {rest}" if rest else "")
        + (f"\n{trace}" if trace else "")
    )
