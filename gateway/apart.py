"""What the daemon does to hold little memory for months."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

_M_ARENA_MAX: Final = -8  # of glibc's malloc.h


def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns or raises, done by a child process: the litter it leaves behind ends with that.

    To be called before there are threads.
    """
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, work, args, kwargs))
    child.start()
    theirs.close()
    found, error = ours.recv()
    child.join()
    if error is not None:
        raise error
    return cast("T", found)


def _answer(pipe: Connection, work: Callable[..., Any], args: Any, kwargs: Any) -> None:
    try:
        pipe.send((work(*args, **kwargs), None))
    except Exception as error:  # noqa: BLE001  (it is raised again on the other side)
        pipe.send((None, error))


def share_one_arena() -> None:
    """Let all threads allocate from one place: they take turns anyway, and one place each holds more."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:  # glibc's, not musl's
        mallopt(_M_ARENA_MAX, 1)
