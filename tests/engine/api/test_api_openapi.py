"""The description is true: whatever is sent, the answer is one it names, and never a fault of the server."""

import asyncio
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.api.openapi import statuses
from stentor.outcome import CODES
from stentor.routing.admission import Submit
from tests.engine.api.api_world import World, run

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = [field.encode_name for field in msgspec.structs.fields(Submit)]
GOOD = {
    "to": st.sampled_from(["+40712345678", "+4930123456", ["+40712345678", "+361234567"], "12"]),
    "text": st.text(max_size=200),
    "from": st.sampled_from(["Shop", "+40712345678", "12345"]),
    "priority": st.sampled_from(["urgent", "bulk", "x"]),
    "valid_for": st.one_of(st.integers(), st.sampled_from(["10m", "x"])),
    "send_at": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    "metadata": st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3),
}
SUBMITS = st.fixed_dictionaries(
    {"to": GOOD["to"], "text": GOOD["text"]},
    optional={
        name: GOOD.get(name, JSON_VALUES) | JSON_VALUES for name in NAMES if name not in ("to", "text")
    },
)
BODIES = st.one_of(JSON_VALUES, SUBMITS, st.lists(st.one_of(SUBMITS, JSON_VALUES), max_size=4)).map(
    # Characters JSON may hold and UTF-8 may not, too: half of a surrogate pair, escaped.
    lambda value: json.dumps(value).encode()
)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)


def examples(test, strategies, socket_dir, count=60):
    """Run ``test(world, values)`` on examples, all in one world."""
    found = []

    @settings(max_examples=count, database=None, derandomize=True)
    @given(strategies)
    def collect(value):
        found.append(value)

    collect()

    async def check(world: World) -> None:
        for value in found:
            await test(world, value)

    run(check, socket_dir)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/inspect"])
def test_any_json_as_a_body_gets_a_described_answer(path, socket_dir):
    async def check(world: World, body: bytes) -> None:
        answer = await world.call("POST", path, body, {"content-type": "application/json"})
        assert answer.status < 500, answer

    examples(check, BODIES, socket_dir, 150)


def test_any_octets_as_a_body_get_a_described_answer(socket_dir):
    async def check(world: World, body: bytes) -> None:
        for content_type in ("application/json", "application/x-ndjson"):
            answer = await world.call("POST", "/v1/messages", body, {"content-type": content_type})
            assert answer.status < 500, answer

    examples(check, st.binary(max_size=60) | BODIES.map(lambda body: body[:-1]), socket_dir)


def test_any_lines_get_as_many_described_results(socket_dir):
    async def check(world: World, lines: list[bytes]) -> None:
        answer = await world.call(
            "POST", "/v1/messages", b"\n".join(lines), {"content-type": "application/x-ndjson"}
        )
        assert (answer.status, len(answer.lines)) == (202, len(lines))
        for result in answer.lines:
            assert {"id"} <= set(result) or {"error"} == set(result) or {"accepted"} <= set(result)
            assert result.get("error", {"status": 0})["status"] < 500

    examples(check, st.lists(BODIES, max_size=8), socket_dir)


def test_any_query_gets_a_described_answer(socket_dir):
    names = st.sampled_from(["status", "to", "from", "ref", "since", "until", "limit", "cursor", "x"])

    async def check(world: World, pairs: list[tuple[str, str]]) -> None:
        query = "&".join(f"{name}={value.replace(' ', '%20')}" for name, value in pairs)
        answer = await world.call("GET", f"/v1/messages?{query.replace('#', '')}")
        assert answer.status in (200, 422), answer

    examples(check, st.lists(st.tuples(names, TEXTS), max_size=4), socket_dir)


def test_any_head_fields_get_a_described_answer(socket_dir):
    async def check(world: World, value: str) -> None:
        for name in ("Idempotency-Key", "Stentor-Account", "Content-Type", "Content-Encoding"):
            answer = await world.call("POST", "/v1/messages", b"{}", {name: value})
            assert answer.status < 500, answer
        for name in ("Stentor-Account", "Accept", "Authorization"):
            assert (await world.call("GET", "/v1/channels", b"", {name: value})).status < 500

    examples(check, TEXTS, socket_dir, 40)


def test_the_description_is_whole(socket_dir):
    async def check(world: World) -> None:
        answer = await world.call("GET", "/openapi.json")
        description = answer.json
        assert description["openapi"] == "3.1.0"
        described = {
            (method.upper(), path) for path, methods in description["paths"].items() for method in methods
        }
        assert described == {(operation.method, operation.path) for operation in world.app.operations}
        names = [one["operationId"] for methods in description["paths"].values() for one in methods.values()]
        assert len(set(names)) == len(names)
        for reference in references(description):
            assert reference.rpartition("/")[2] in description["components"]["schemas"], reference

    run(check, socket_dir)


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for member in value.values() for found in references(member)]
    if isinstance(value, list):
        return [found for member in value for found in references(member)]
    return []


def test_every_field_of_the_contract_is_in_the_schema_of_a_submit(socket_dir):
    async def check(world: World) -> None:
        schema = world.description["components"]["schemas"]["Submit"]
        fields = (
            "to text data udh flash max_segments from priority channel send_at valid_for encoding receipt"
        )
        assert set(fields.split()) | {"delivery", "ref", "metadata"} <= set(schema["properties"])
        assert (schema["required"], schema["additionalProperties"]) == (["to"], False)
        await asyncio.sleep(0)

    run(check, socket_dir)


def test_no_operation_describes_a_server_error_but_503(socket_dir):
    async def check(world: World) -> None:
        for operation in world.app.operations:
            assert [status for status in statuses(operation) if status >= 500] == [503]
        await asyncio.sleep(0)

    run(check, socket_dir)


def test_the_description_tells_what_each_code_of_an_error_means_and_what_has_to_be_given(socket_dir):
    async def check(world: World) -> None:
        schemas = world.description["components"]["schemas"]
        told = schemas["Error"]["properties"]["code"]["description"]
        assert all(f"`{code}`: {meaning}" in told for code, meaning in CODES.items())
        assert {"type": "null"} in schemas["Submit"]["properties"]["metadata"]["anyOf"]
        parameters = world.description["paths"]["/v1/route"]["get"]["parameters"]
        assert [each["name"] for each in parameters if each["required"]] == ["to"]

    run(check, socket_dir)
