"""What the API's routes share: how a refusal looks, versions as ETags, and a request that may come twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.web.encode import plain
from gateway.web.house import Hall, House, Who
from ticketing import Actor, FieldError, MissingFieldError, Tx

# Integers that both databases hold and every program's JSON keeps exact.
Moment = Annotated[int, Field(ge=0, le=8_000_000_000_000)]  # UTC ms
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]


class Given(BaseModel):
    """A request's body: nothing is taken that is not asked for."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Refusal(BaseModel):
    """Why not. ``error`` is for people, in their language; ``detail`` in English says what would do."""

    error: str
    detail: str
    why: str | None = Field(None, description="of a move: illegal, stale, guard or role")
    state: str | None = Field(None, description="of a move: the order's present state")
    version: int | None = Field(None, description="of a move: the order's present version")
    fields: list[str] | None = Field(None, description="the fields that are missing or wrong")


MEANS = {
    401: "sign in, or bring a token",
    403: "not this person's to do",
    404: "no such thing",
    409: "too late, or not possible from here; nothing was changed",
    422: "a field is missing or wrong; `fields` names them all",
    503: "the gateway or its store does not answer",
}


def refused(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's ``responses``; whatever is asked may be asked badly, by somebody unknown or who may not."""
    return {status: {"model": Refusal, "description": MEANS[status]} for status in (401, 403, 422, *statuses)}


@dataclass(frozen=True)
class Once:
    """A change that happens once for each Idempotency-Key; the same request again gets the same answer."""

    house: House
    who: Actor
    key: str | None
    request: str  # its SHA-256

    def __call__(self, do: Callable[[Tx, Actor, int], Any]) -> Any:
        """The answer, as what JSON has: of ``do`` in one transaction, or the one given before."""
        now = self.house.now()
        with self.house.desk.transaction() as desk:
            if self.key is None:
                return plain(do(desk, self.who, now))
            known = desk.answered(self.who, self.key, self.request)
            if known is not None:
                return json.loads(known)
            answer = plain(do(desk, self.who, now))
            desk.keep_answer(self.who, self.key, self.request, json.dumps(answer), at=now)
            return answer


async def _once(
    request: Request,
    house: Hall,
    who: Who,
    key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", description="the same key within a day: done once, same answer"),
    ] = None,
) -> Once:
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return Once(house, who, key, hashlib.sha256(head + await request.body()).hexdigest())


Repeatable = Annotated[Once, Depends(_once)]


def _if_match(
    tag: Annotated[
        str | None, Header(alias="If-Match", description='the ETag that was read, such as `"7"`')
    ] = None,
) -> int | None:
    if tag is None:
        return None
    text = tag.strip().removeprefix("W/").strip('"')
    if not text.isdecimal():
        raise FieldError(["If-Match"], f'If-Match is an ETag of this API such as "7"; got {tag!r}')
    return int(text)


IfMatch = Annotated[int | None, Depends(_if_match)]


def version_of(given: int | None, tag: int | None, what: str) -> int:
    """The version that was read: from the body, or from If-Match."""
    version = tag if given is None else given
    if version is None:
        raise MissingFieldError(what, ["version"])
    return version


def etag(version: int) -> dict[str, str]:
    """The header that names this version."""
    return {"ETag": f'"{version}"'}


async def _body(request: Request) -> bytes:
    return await request.body()


Bytes = Annotated[bytes, Depends(_body)]


def takes(*types: str) -> dict[str, Any]:
    """For a route's ``openapi_extra``: the body is a file of one of these types."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": dict.fromkeys(types, binary)}}
