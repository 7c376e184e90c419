"""A detector's state as bytes: an NPZ of plain arrays with a JSON head and a hash, never a pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.promise import ModelError

_HEAD = "head"


def pack(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """``head`` (JSON) and ``arrays`` as one NPZ; the same content gives the same bytes."""
    sealed = dict(head) | {"sha256": _digest(head, arrays)}
    text = np.frombuffer(json.dumps(sealed, sort_keys=True).encode(), np.uint8)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **{_HEAD: text}, **arrays)
    return out.getvalue()


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What ``pack`` was given. ModelError where it is not whole."""
    if not data.startswith(b"PK"):
        raise ModelError("this is no model file: it does not begin as an NPZ does")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head: dict[str, Any] = json.loads(arrays.pop(_HEAD).tobytes())
        stated = head.pop("sha256")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"this is no model file: {error}") from error
    if stated != _digest(head, arrays):
        raise ModelError("the model file is damaged: its hash does not match its content")
    return head, arrays


def expect(head: Mapping[str, Any], kind: str, version: int, signals: tuple[str, ...]) -> None:
    """Refuse a state made by another kind or version of detector, or for other signals."""
    if head["kind"] != kind or head["version"] != version:
        made = f"{head['kind']} version {head['version']}"
        raise ModelError(f"the model was made by {made}; this is {kind} version {version}: train it again")
    if tuple(head["signals"]) != signals:
        gone = ", ".join(sorted(set(head["signals"]) - set(signals))) or "none"
        new = ", ".join(sorted(set(signals) - set(head["signals"]))) or "none"
        raise ModelError(f"the model was trained on other signals (gone: {gone}; new: {new}): train it again")


def _digest(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    sha = hashlib.sha256(json.dumps(dict(head), sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
