"""The schema of everything that a route takes, from its OpenAPI documentation."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from polar.spec.faults import Schema
from service.api.links import PREFIX

#: Where parameters come from, in FastAPI's words; the fields of a form come from the body.
PLACES = ("path", "query", "header", "cookie")


def schema_of_request(request: Request) -> Schema:
    """One schema of all that the request's route takes: `path`, `query`, `header` and `body`.

    It says nothing of a route that is not documented, such as the streams of pages.
    """
    documentation = request.app.openapi()
    path = request.scope["route"].path_format
    operations = documentation["paths"].get(PREFIX + path) or documentation["paths"].get(path, {})
    operation = operations.get(request.method.lower(), {})
    fields_of = {
        place: {
            parameter["name"]: _sent(parameter["schema"])
            for parameter in operation.get("parameters", [])
            if parameter["in"] == place
        }
        for place in PLACES
    }
    definitions = documentation.get("components", {}).get("schemas", {})
    contents = operation.get("requestBody", {}).get("content", {})
    (body,) = [content["schema"] for content in contents.values()] or [{}]
    return {
        "properties": {
            **{place: {"properties": fields} for place, fields in fields_of.items()},
            "body": _form(body, definitions) if "multipart/form-data" in contents else body,
        },
        "$defs": definitions,
    }


def _form(body: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    fields = definitions[body["$ref"].rpartition("/")[2]]["properties"]
    return {"properties": {name: _sent(field) for name, field in fields.items()}}


def _sent(field: Mapping[str, Any]) -> Schema:
    """Schema of a field as clients send it: they leave out what is None in Python."""
    parts = [part for part in field.get("anyOf", ()) if part.get("type") != "null"]
    return parts[0] if len(parts) == 1 else field
