"""``GET /openapi.json``: the API in OpenAPI 3.1, derived from the table of operations and the Structs.

Every status an operation can answer is listed; a test holds the table to what is answered.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from stentor import __version__
from stentor.api.answers import Busy
from stentor.api.credentials import ACCOUNT_HEADER
from stentor.api.intake import ErrorItem
from stentor.api.operations import Operation, Parameter
from stentor.outcome import CODES
from stentor.wire.problem import CONTENT_TYPE, Problem, phrase

# What the connection itself may answer: malformed, slow or oversized requests, and too many of them.
ALWAYS: Final = (400, 408, 413, 414, 431, 503)
WITH_CREDENTIAL: Final = (401, 403)

_ACCOUNT: Final = Parameter(
    "Stentor-Account",
    "header",
    "The account a front office acts for.",
    {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"},
)
assert _ACCOUNT.name.lower() == ACCOUNT_HEADER
_REF: Final = "#/components/schemas/{name}"
_CODES: Final = "\n".join(f"- `{code}`: {meaning}" for code, meaning in CODES.items())
_find_parameters: Final = re.compile(r"\{(\w+)\}").findall


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    operations = tuple(operations)
    types = _types(operations)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    components["Error"]["properties"]["code"]["description"] = _CODES
    schema_of = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stentor",
            "version": __version__,
            "description": "Dispatch of SMS: submit messages, follow them, watch the channels.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, over TCP; on the Unix socket the peer's uid is enough.",
                }
            },
        },
    }


def statuses(operation: Operation) -> tuple[int, ...]:
    """Every status the operation can answer."""
    credential = () if operation.is_open else WITH_CREDENTIAL
    return tuple(sorted({operation.reply.status, *operation.refusals, *ALWAYS, *credential}))


def _types(operations: Iterable[Operation]) -> list[Any]:
    """All types that occur, each once."""
    found: dict[str, Any] = {repr(kind): kind for kind in (Problem, Busy, ErrorItem)}
    for operation in operations:
        for kinds in operation.reply.content.values():
            found |= {repr(kind): kind for kind in kinds}
        found |= {repr(body.schema): body.schema for body in operation.bodies.values()}
    return list(found.values())


def _operation(operation: Operation, schema_of: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, schema_of),
    }
    if not operation.is_open:
        # Either is enough, and on the Unix socket nothing has to be sent at all.
        described["security"] = [{}, {"bearer": []}]
    if operation.bodies:
        described["requestBody"] = {
            "required": True,
            "content": {
                media_type: {"schema": schema_of[repr(body.schema)]}
                for media_type, body in operation.bodies.items()
            },
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    names = _find_parameters(operation.path)
    path = [Parameter(name, "path", f"the {name}", {"type": "string"}) for name in names]
    account = () if operation.is_open else (_ACCOUNT,)
    return [
        {
            "name": parameter.name,
            "in": parameter.place,
            "required": parameter.place == "path" or parameter.is_required,
            "description": parameter.description,
            "schema": dict(parameter.schema),
        }
        for parameter in (*path, *operation.parameters, *account)
    ]


def _responses(operation: Operation, schema_of: Mapping[str, Any]) -> dict[str, Any]:
    reply = operation.reply
    responses: dict[str, Any] = {}
    for status in statuses(operation):
        if status == reply.status:
            content = {
                media_type: {"schema": _any_of([schema_of[repr(kind)] for kind in kinds])}
                for media_type, kinds in reply.content.items()
            }
            responses[str(status)] = {"description": reply.description, "content": content}
            if status == 201:
                location = {
                    "description": "where it is",
                    "schema": {"type": "string", "format": "uri-reference"},
                }
                responses[str(status)]["headers"] = {"Location": location}
        else:
            responses[str(status)] = _problem_response(status, schema_of)
    return responses


def _any_of(schemas: list[Any]) -> Any:
    """One of several schemas; plain text when there is none."""
    if not schemas:
        return {"type": "string"}
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _problem_response(status: int, schema_of: Mapping[str, Any]) -> dict[str, Any]:
    kind = Busy if status == 503 else Problem
    response: dict[str, Any] = {
        "description": phrase(status),
        "content": {CONTENT_TYPE: {"schema": schema_of[repr(kind)]}},
    }
    if status == 503:
        response["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response
