"""The OpenAPI document, written from the table of operations."""

from functools import cache
from http import HTTPStatus
from typing import Any

from pgdoctor_lib import __version__
from pgdoctor_lib.receiver.api.operations import IN_PATH, OPERATIONS, Operation
from pgdoctor_lib.receiver.api.parameters import Parameter
from pgdoctor_lib.receiver.api.schemas import SCHEMAS, ref
from pgdoctor_lib.receiver.guard import COOKIE

Json = dict[str, Any]
_ABOUT = (
    "What a PGDoctor receiver keeps. Times are ISO 8601 in UTC; names are those of the snapshot, with their unit at the"
    " end. A project's token sees its own databases only. On the receiver's own machine, reading needs no token,"
    " unless it was started with --sign-in; beyond it, the cookie of who has signed in on the page reads, too."
    " Fields may be added; none changes its meaning."
)


@cache
def document() -> Json:
    """All of it."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "PGDoctor", "version": __version__, "description": _ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _operation(operation: Operation) -> Json:
    told: Json = {
        "operationId": operation.name,
        "summary": operation.about,
        "parameters": [*map(_in_path, operation.in_path), *map(_in_query, operation.parameters)],
        "responses": {**_answers(operation), **_refusals(operation)},
        "security": _security(operation),
    }
    if operation.body:
        told["requestBody"] = {
            "required": True,
            "description": "Plain, or with Content-Encoding: gzip.",
            "content": _json(operation.body),
        }
    return told


def _security(operation: Operation) -> list[Json]:
    if operation.is_public:
        return []
    return [{"token": []}] if operation.method != "GET" else [{"token": []}, {"cookie": []}, {}]


def _answers(operation: Operation) -> Json:
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": _json(schema)}
        for status, schema in operation.answers.items()
    }


def _refusals(operation: Operation) -> Json:
    return {str(status): {"description": why, "content": _json("Error")} for status, why in operation.refusals.items()}


def _in_path(name: str) -> Json:
    pattern, about = IN_PATH[name]
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _in_query(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.about,
        "schema": parameter.schema,
        **parameter.style,
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": ref(schema)}}
