"""Passwords: how they are kept, and which are too easy to guess.

Kept as scrypt (RFC 7914) with N = 2^14, r = 8, p = 5: 16 MiB and some 0.2 s of one core for each try. The figures stand
in each hash, so that they can be raised: ``outdated`` says when a hash should be made anew at the next sign-in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

COST, BLOCK, PARALLEL = 14, 8, 5
ROOM = 64 << 20  # bytes that a hash may take
SHORTEST, LONGEST = 12, 256
# Of twelve characters and more, those that lists of leaked passwords begin with.
COMMON = {
    "123456789012",
    "1234567890123",
    "abcd12345678",
    "administrator",
    "changeme1234",
    "iloveyou1234",
    "letmein12345",
    "password1234",
    "password12345",
    "password123456",
    "passwordpassword",
    "p@ssw0rd1234",
    "qwerty123456",
    "qwertyuiop12",
    "qwertyuiop123",
    "asdfghjkl123",
    "zxcvbnm12345",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "qazwsxedcrfv",
    "welcome12345",
    "woaini1314520",
    "maintenance1",
    "operator1234",
}


def hashed(password: str, salt: bytes) -> str:
    """What is kept of a password; ``salt`` is 16 random bytes."""
    digest = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), _text(salt), _text(digest)))


def matches(kept: str | None, password: str) -> bool:
    """Whether it is this password; takes as long for somebody unknown (``kept`` None) as for anybody."""
    if len(password) > LONGEST:
        return False
    _, cost, block, parallel, salt, digest = (kept or _NOBODY).split("$")
    given = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(given, base64.b64decode(digest)) and kept is not None


def outdated(kept: str) -> bool:
    """Whether the hash was made with other figures than today's."""
    return kept.split("$")[1:4] != [str(COST), str(BLOCK), str(PARALLEL)]


def weakness(password: str, own: Iterable[str]) -> str | None:
    """Why it cannot be the password of somebody whose ``own`` words (name, site …) anybody would try first."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"must have {SHORTEST} to {LONGEST} characters"
    small = password.casefold()
    if small in COMMON or len(set(small)) < 5:
        return "is among those that are tried first"
    for word in (*own, "watchkeeper"):
        if len(word) >= 3 and word.casefold() in small and len(small) - len(word) < 8:
            return f"is little more than {word!r}"
    return None


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=1 << cost, r=block, p=parallel, maxmem=ROOM, dklen=32
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODY = "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), _text(bytes(16)), _text(bytes(32))))
