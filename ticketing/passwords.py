"""Passwords: how they are kept, and which are too easy to guess.

Kept as argon2id (RFC 9106) with 19 MiB and two passes, the least that OWASP.s cheat sheet on passwords asks for. The
figures stand in each hash, so that they can be raised: ``outdated`` says when to make one anew at the next sign-in.
"""

from __future__ import annotations

from collections.abc import Iterable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
ESTIMATED = 72  # characters that the estimate looks at; more of them only help
UNGUESSABLE = 3  # zxcvbn's score from here on: 10^8 guesses and more
# Tried first where people speak Chinese; zxcvbn knows what is tried first elsewhere.
CHINESE = (
    "woaini",
    "wozuishuai",
    "5201314",
    "1314520",
    "520520",
    "zhongguo",
    "beijing",
    "shanghai",
    "admin888",
)
HASHER = PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)
# Nobody's, with today's figures: whoever is unknown costs as much as anybody.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def hashed(password: str, salt: bytes) -> str:
    """What is kept of a password; ``salt`` is 16 random bytes."""
    return HASHER.hash(password, salt=salt)


def matches(kept: str | None, password: str) -> bool:
    """Whether it is this password; takes as long for somebody unknown (``kept`` None) as for anybody."""
    if len(password) > LONGEST:
        return False
    try:
        return HASHER.verify(kept or _NOBODY, password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Whether the hash was made with other figures than today's."""
    return HASHER.check_needs_rehash(kept)


def weakness(password: str, own: Iterable[str]) -> str | None:
    """Why it cannot be the password of somebody whose ``own`` words (name, site …) anybody would try first."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"must have {SHORTEST} to {LONGEST} characters"
    from zxcvbn import zxcvbn  # 16 MB of word lists, for the few times that somebody chooses one

    words = [word for word in (*own, "watchkeeper") if len(word) >= 3]
    found = zxcvbn(password[:ESTIMATED], user_inputs=[*words, *CHINESE])
    if found["score"] >= UNGUESSABLE:
        return None
    small = password.casefold()
    for word in words:
        if word.casefold() in small:
            return f"is little more than {word!r}"
    return "is among those that are tried first"
