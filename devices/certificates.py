"""Until when the certificates in a PEM file hold. Pure but for reading the file; of X.509 only what that takes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def ends(path: Path) -> tuple[float, ...]:
    """When each certificate in this file ends (UTC, seconds since 1970), in their order; none if it cannot be read."""
    try:
        return _ends(path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=64)
def _ends(path: Path, _changed: int) -> tuple[float, ...]:
    return tuple(end_of(der) for der in _certificates(path.read_text(encoding="ascii", errors="replace")))


def _certificates(text: str) -> Iterator[bytes]:
    for rest in text.split(_BEGIN)[1:]:
        yield ssl.PEM_cert_to_DER_cert(f"{_BEGIN}{rest.partition(_END)[0]}{_END}")


def end_of(der: bytes) -> float:
    """The notAfter of one certificate (RFC 5280, 4.1); ValueError if it is none."""
    _, at, _ = _element(der, 0, _SEQUENCE)  # Certificate
    _, at, _ = _element(der, at, _SEQUENCE)  # TBSCertificate
    kind, _, after = _element(der, at)
    fields = 4 if kind == _VERSION else 3  # version, if said; serial number, signature, issuer
    at = after
    for _ in range(fields - 1):
        _, _, at = _element(der, at)
    _, at, _ = _element(der, at, _SEQUENCE)  # Validity
    _, _, at = _element(der, at)  # notBefore
    kind, start, stop = _element(der, at)
    text = der[start:stop].decode("ascii")
    if kind == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("no time where a certificate's end should be")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int, wanted: int | None = None) -> tuple[int, int, int]:
    """The kind of the DER element at ``at``, where its content starts and where it stops."""
    if at + 2 > len(der):
        raise ValueError("a certificate breaks off")
    kind, size, start = der[at], der[at + 1], at + 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[at + 2 : start])
    if start + size > len(der) or (wanted is not None and kind != wanted):
        raise ValueError("this is no certificate")
    return kind, start, start + size
