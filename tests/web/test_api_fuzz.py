"""Junk at every operation of the API: no server error, and no answer that its description does not name."""

from __future__ import annotations

import random
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ticketing import Desk

JUNK: tuple[Any, ...] = (
    "", "0", "-1", "1e400", "\x00", "'; DROP TABLE site;--", "../../etc/passwd", "工单" * 60, "%00", "null",
    None, True, -1, 2**63, 2**80, 1.5, float("1e308"), [], [None], {}, {"a": {"b": []}},
)  # fmt: skip
TRIES = 6
OURS = {"Work orders", "Knowledge", "Figures", "Plans", "Exchange"}


def filled(schema: dict[str, Any], known: dict[str, Any], dice: random.Random) -> Any:
    """Junk in the form that a body's schema asks for: its keys, with anything in them."""
    if "$ref" in schema:
        return filled(known[schema["$ref"].rsplit("/", 1)[1]], known, dice)
    if schema.get("type") == "object" and "properties" in schema:
        wanted = {name: part for name, part in schema["properties"].items() if dice.random() < 0.8}
        return {
            name: filled(part, known, dice) if dice.random() < 0.5 else dice.choice(JUNK)
            for name, part in wanted.items()
        }
    if "enum" in schema:
        return dice.choice(schema["enum"])
    sane = {"string": "pump-1", "integer": 1, "boolean": True, "array": [], "object": {}}
    return sane.get(schema.get("type", ""), dice.choice(JUNK))


@pytest.mark.parametrize("verb", ["get", "post", "put", "delete"])
def test_junk_is_refused_as_described(app: FastAPI, client: TestClient, week: Desk, verb: str) -> None:
    dice = random.Random(11)
    description = app.openapi()
    known = description["components"]["schemas"]
    with week.read() as read:
        number = read.orders()[0].number
    wrong = []
    for path, operations in description["paths"].items():
        if verb not in operations or not OURS & set(operations[verb].get("tags", ())):
            continue
        operation = operations[verb]
        for n in range(TRIES):
            url, params = path, {}
            for each in operation.get("parameters", ()):
                junk = str(dice.choice(JUNK))
                if each["in"] == "path":
                    value = number if each["name"] == "number" and n % 2 else junk or "x"
                    url = url.replace(f"{{{each['name']}}}", value.replace("/", "").replace(".", "") or "x")
                elif each["in"] == "query" and dice.random() < 0.7:
                    params[each["name"]] = junk
            content = operation.get("requestBody", {}).get("content", {})
            body: dict[str, Any] = {}
            if "schema" in (form := content.get("application/json", {})) and "$ref" in form["schema"]:
                body = {"json": filled(form["schema"], known, dice)}
            elif content:
                body = {
                    "content": str(dice.choice(JUNK)).encode(),
                    "headers": {"Content-Type": next(iter(content))},
                }
            answer = client.request(verb, url.replace("\x00", "%00"), params=params, **body)
            if str(answer.status_code) not in operation["responses"]:
                wrong.append(f"{answer.status_code} {verb} {url} {params} {body} {answer.text[:200]}")
    assert wrong == []
