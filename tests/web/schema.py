"""Requests out of an OpenAPI description: right ones by its schemas, and wrong ones beside them."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)
# What programs choke on: signs of formulas, markup, SQL and paths; numbers at the edges; other types.
NASTY = st.sampled_from(
    [
        "",
        " ",
        "'",
        '"',
        "=1+1",
        "<script>",
        "../..",
        "%00",
        "\x00",
        "𝄞",
        "\u202e",
        "null",
        "NaN",
        "9" * 40,
        "'; --",
    ]
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SAFE_PART = st.text(string.ascii_letters + string.digits + "-_:~ 泵", min_size=1, max_size=20)


def values(schema: Schema, parts: dict[str, Schema]) -> st.SearchStrategy[Any]:
    """What the schema allows."""
    if "$ref" in schema:
        return values(parts[schema["$ref"].rpartition("/")[2]], parts)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return st.one_of([values(each, parts) for each in schema[union]])
    if "allOf" in schema:
        return values(schema["allOf"][0], parts)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return KINDS.get(schema.get("type", ""), lambda *_: ANYTHING)(schema, parts)


def _text(schema: Schema, _: dict[str, Schema]) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if "pattern" in schema:
        return st.from_regex(schema["pattern"]).filter(lambda text: most is None or len(text) <= most)
    plain = st.text(st.characters(codec="utf-8"), min_size=least, max_size=min(most or 60, max(least, 60)))
    return plain | NASTY.filter(lambda text: len(text) >= least and (most is None or len(text) <= most))


def _whole(schema: Schema, _: dict[str, Schema]) -> st.SearchStrategy[int]:
    low = schema.get(
        "minimum", schema.get("exclusiveMinimum", -1) + 1 if "exclusiveMinimum" in schema else -(2**63)
    )
    high = schema.get(
        "maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else 2**63 - 1
    )
    return st.integers(int(low), int(high)) | st.integers(int(low), min(int(high), int(low) + 10))


def _number(schema: Schema, _: dict[str, Schema]) -> st.SearchStrategy[float]:
    return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)


def _list(schema: Schema, parts: dict[str, Schema]) -> st.SearchStrategy[list[Any]]:
    each = values(schema.get("items", {}), parts)
    return st.lists(each, min_size=schema.get("minItems", 0), max_size=min(schema.get("maxItems", 4), 4))


def _object(schema: Schema, parts: dict[str, Schema]) -> st.SearchStrategy[dict[str, Any]]:
    fields = schema.get("properties", {})
    if not fields:
        more = schema.get("additionalProperties")
        inner = values(more, parts) if isinstance(more, dict) else ANYTHING
        return st.dictionaries(TEXT, inner, max_size=3)
    needed = {name: values(fields[name], parts) for name in schema.get("required", ())}
    optional = {name: values(each, parts) for name, each in fields.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=optional)


KINDS: dict[str, Any] = {
    "string": _text,
    "integer": _whole,
    "number": _number,
    "boolean": lambda *_: st.booleans(),
    "null": lambda *_: st.none(),
    "array": _list,
    "object": _object,
}


@st.composite
def requests(
    draw: st.DrawFn, path: str, operation: Schema, parts: dict[str, Schema], known: dict[str, list[Any]]
) -> Schema:
    """One request of the operation: mostly right; ``known`` are values that lead to something for a name."""
    asked: Schema = {"params": [], "headers": {}}

    def of(name: str, schema: Schema) -> Any:
        right = values(schema, parts) if schema else ANYTHING
        real = st.sampled_from(known[name]) if name in known else right
        return draw(st.one_of(real, real, right, right, ANYTHING))

    for parameter in operation.get("parameters", ()):
        name, place = parameter["name"], parameter["in"]
        if place == "path":
            real = st.sampled_from(known[name]) if name in known else SAFE_PART
            path = path.replace(f"{{{name}}}", draw(real | real | SAFE_PART)).replace(f"{{{name}:path}}", "x")
        elif place == "query" and (parameter.get("required") or draw(st.booleans())):
            value = of(name, parameter["schema"])
            asked["params"] += [
                (name, _plain(each)) for each in (value if isinstance(value, list) else [value])
            ]
        elif place == "header" and draw(st.booleans()):
            asked["headers"][name] = draw(st.text(string.ascii_letters + string.digits + '"W/-', max_size=20))
    asked["path"] = path
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        asked["headers"]["Content-Type"] = kind
        if kind == "application/json":
            body = draw(st.one_of(*[values(content["schema"], parts)] * 3, ANYTHING))
            asked["json"] = _with_known(draw, body, known)
        else:
            asked["content"] = draw(st.binary(max_size=200) | TEXT.map(str.encode))
    return asked


def _with_known(draw: st.DrawFn, body: Any, known: dict[str, list[Any]]) -> Any:
    """Most of the names in a body lead to something."""
    if not isinstance(body, dict):
        return body
    return {
        name: draw(st.sampled_from(known[name])) if name in known and draw(st.integers(0, 3)) else value
        for name, value in body.items()
    }


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
