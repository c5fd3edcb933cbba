"""The OpenAPI document is true: whatever is asked, the daemon answers with a status and a shape it describes.

Requests are drawn from the document itself, some within it and some beside it; each answer is held to it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.contract_world import Answer, Client, Daemon, number, text

LISTED = {
    "POST /v1/messages", "GET /v1/messages", "GET /v1/messages/{id}", "GET /v1/messages/{id}/timeline",
    "DELETE /v1/messages/{id}", "POST /v1/inspect", "GET /v1/events", "GET /v1/channels", "GET /v1/channels/{name}",
    "POST /v1/channels/{name}/pause", "POST /v1/channels/{name}/resume", "GET /healthz", "GET /readyz",
    "GET /metrics",
}  # fmt: skip
ANY_TEXT = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def document(daemon: Daemon) -> Any:
    return daemon.client.fetch("/openapi.json")


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[Client]:
    found = Client(daemon.socket)
    found.submit(ref="r")
    yield found
    found.close()


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_describes_the_paths_of_the_contract(document: Any):
    assert document["openapi"].startswith("3.1")
    assert operations(document).keys() >= LISTED


class Schemas:
    """As much of JSON Schema as the document uses: whether a value fits, and values that nearly do."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def resolve(self, schema: Any) -> Any:
        while "$ref" in schema:
            found = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def fault(self, schema: Any, value: Any, place: str = "$") -> str:
        """Where and why a value does not fit; empty when it does."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            faults = [self.fault(each, value, place) for each in schema["anyOf"]]
            return "" if "" in faults else f"{place}: none of {faults}"
        if "enum" in schema and value not in schema["enum"]:
            return f"{place}: {value!r} is none of {schema['enum']}"
        kinds = schema.get("type")
        if kinds is not None and not any(
            _is_kind(value, each) for each in (kinds if isinstance(kinds, list) else [kinds])
        ):
            return f"{place}: {value!r} is no {kinds}"
        if isinstance(value, list) and "items" in schema:
            return next(
                (
                    fault
                    for i, each in enumerate(value)
                    if (fault := self.fault(schema["items"], each, f"{place}[{i}]"))
                ),
                "",
            )
        return self._object_fault(schema, value, place) if isinstance(value, dict) else ""

    def _object_fault(self, schema: Any, value: dict[str, Any], place: str) -> str:
        missing = set(schema.get("required", ())) - value.keys()
        if missing:
            return f"{place}: {missing} is missing"
        properties = schema.get("properties", {})
        other = schema.get("additionalProperties", True)
        for name, each in value.items():
            if name not in properties and other is False:
                return f"{place}: {name} is not described"
            inner = properties.get(name, other)
            if isinstance(inner, dict) and (fault := self.fault(inner, each, f"{place}.{name}")):
                return fault
        return ""

    def near(self, schema: Any) -> st.SearchStrategy[Any]:
        """Values that mostly fit."""
        schema = self.resolve(schema)
        if "anyOf" in schema:
            return st.one_of([self.near(each) for each in schema["anyOf"]])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        match schema.get("type"):
            case "object" if schema.get("properties"):
                required = set(schema.get("required", ()))
                fields = {name: self.near(each) for name, each in schema["properties"].items()}
                return st.fixed_dictionaries(
                    {name: each for name, each in fields.items() if name in required},
                    optional={name: each for name, each in fields.items() if name not in required},
                )
            case "array":
                return st.lists(self.near(schema.get("items", {})), max_size=4)
            case "string":
                return ANY_TEXT | st.sampled_from(
                    [
                        "+40740888888",
                        "Shop",
                        "2030-01-01T00:00:00Z",
                        "9999-12-31T23:59:59-12:00",
                        "AAAA",
                        "10m",
                        "r",
                    ]
                )
            case "integer":
                return st.integers(-5, 300) | st.integers()
            case "boolean":
                return st.booleans()
            case "null":
                return st.none()
        return JSON


def _is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "object": dict,
        "array": list,
        "null": type(None),
    }
    return kind in kinds and isinstance(value, kinds[kind])


def check(document: Any, operation: Any, answer: Answer) -> None:
    """The answer is one the operation describes."""
    assert str(answer.status) in operation["responses"], (answer.status, answer.body[:300])
    assert answer.status < 500 or answer.status == 503, answer.body[:300]
    described = operation["responses"][str(answer.status)]
    content = {kind.partition(";")[0]: each for kind, each in described.get("content", {}).items()}
    assert answer.content_type in content
    if answer.content_type.endswith("json") and answer.content_type != "application/x-ndjson":
        fault = Schemas(document).fault(
            content[answer.content_type].get("schema", {}), json.loads(answer.body)
        )
        assert not fault, fault


def draw_request(
    data: st.DataObject, document: Any, name: str, operation: Any
) -> tuple[str, bytes | None, dict]:
    """A target, a body and headers for an operation."""
    schemas = Schemas(document)
    target = name.partition(" ")[2]
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        value = data.draw(schemas.near(parameter["schema"]), label=parameter["name"])
        match parameter["in"]:
            case "path":
                target = target.replace(f"{{{parameter['name']}}}", quote(str(value), safe="") or "x")
            case "query" if data.draw(st.booleans()):
                query.append((parameter["name"], str(value)))
            case "header" if data.draw(st.booleans()):
                headers[parameter["name"]] = re.sub(r"[^ -~]", "", str(value))
    if query:
        target += f"?{urlencode(query)}"
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return target, None, headers
    kind = data.draw(st.sampled_from(sorted(content)))
    body = data.draw(schemas.near(content[kind]["schema"]) | JSON)
    return target, json.dumps(body).encode(), headers | {"Content-Type": kind}


@given(data=st.data())
def test_every_answer_is_described(document: Any, client: Client, data: st.DataObject):
    table = {name: each for name, each in operations(document).items() if name != "GET /v1/events"}
    for name in table:
        target, body, headers = draw_request(data, document, name, table[name])
        answer = client.request(name.partition(" ")[0], target, body, **headers)
        check(document, table[name], answer)


def test_every_answer_to_what_there_is_is_described(document: Any, client: Client):
    """The successes, which drawn requests meet too seldom."""
    table = operations(document)
    sent, kept = client.submit(ref="r", metadata={"a": 1}), client.submit(channel="idle")
    client.wait(sent["id"], "delivered")
    for name, target, body in (
        ("POST /v1/messages", "", {"to": number(), "text": text()}),
        ("POST /v1/messages", "", [{"to": number(), "text": text()}, {}]),
        ("POST /v1/messages", "", {"to": [number(), "x"], "text": text()}),
        ("GET /v1/messages/{id}", sent["id"], None),
        ("GET /v1/messages/{id}/timeline", sent["id"], None),
        ("DELETE /v1/messages/{id}", kept["id"], None),
        ("DELETE /v1/messages/{id}", sent["id"], None),
        ("GET /v1/channels/{name}", "alpha", None),
        ("POST /v1/channels/{name}/pause", "alpha", None),
        ("POST /v1/channels/{name}/resume", "alpha", None),
    ):
        method, path = name.split()
        answer = client.request(method, re.sub(r"\{\w+\}", target, path), body)
        assert answer.status in (200, 202, 409)
        check(document, table[name], answer)
