"""What can be refused, and what the one who asked should be told."""

from __future__ import annotations

from collections.abc import Sequence

from ticketing.records import State


class TicketingError(Exception):
    """Root of this room's refusals; the text is one clear line."""


class SchemaError(TicketingError):
    """The database was written by a newer version, or is not ours."""


class NameTakenError(TicketingError):
    """Another gateway of the site goes by this one's name."""


class StorageError(TicketingError):
    """The database cannot be read or written: the disk is full, the server is away."""


class NotFoundError(TicketingError):
    """No such order, alarm, asset or article."""


class MoveRefusedError(TicketingError):
    """The move is not possible now. HTTP 403 where ``why`` is "role", else 409.

    ``why``: "illegal" (not from this state), "stale" (somebody was faster), "guard" (a condition is not met),
    "role" (not this person's to do). ``state`` and ``version`` are the order's present ones.
    """

    def __init__(self, number: str, state: State, version: int, why: str, text: str) -> None:
        super().__init__(f"{number} is {state.value}: {text}")
        self.number, self.state, self.version, self.why = number, state, version, why


class ForbiddenError(TicketingError):
    """This is not this person's to do (HTTP 403)."""


class StaleError(TicketingError):
    """Somebody changed it meanwhile (HTTP 409)."""


class FieldError(TicketingError):
    """A given field is not what it should be (HTTP 422)."""

    def __init__(self, fields: Sequence[str], text: str) -> None:
        super().__init__(text)
        self.fields = tuple(fields)


class MissingFieldError(FieldError):
    """The move needs ``fields`` that were not given (HTTP 422)."""

    def __init__(self, move: str, fields: Sequence[str]) -> None:
        super().__init__(fields, f"{move} needs {', '.join(fields)}")
        self.move = move


class WrongPinError(FieldError):
    """The PIN is not this person's (HTTP 422); the desk counts it."""

    def __init__(self, person: str, at: int) -> None:
        super().__init__(["pin"], f"that is not the PIN of {person}")
        self.person, self.at = person, at
