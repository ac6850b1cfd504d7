"""The description of the API: OpenAPI, and a page of it, both made from the table of operations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, get_args

import msgspec
from jinja2 import Environment

from detic_crop.app.asked import setting_view
from detic_crop.app.operations import Operation, Refusal, Text
from detic_crop.config import Setting
from detic_crop.report.html.rendering import COLOURS, plain_environment, style
from detic_crop.wording import utf8

BASE = "/api/v1"
_REF = "#/components/schemas/{name}"
_ABOUT = (
    "What the commands of detic-crop do, for programs. Show the token in a header, "
    "Authorization: Bearer TOKEN. Paths lie in the folders of --root. What cannot be done is answered "
    "with a code and one line."
)
_PHOTOS = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")  # and any other image/…
_EVERYWHERE = {
    400: "the request is not understood, or a setting is out of range",
    401: "the token is missing or wrong",
    403: "another site asked",
}
_WITH_BODY = {408: "the body did not come in time", 413: "the body is too large"}


def description(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Return the description of an API as OpenAPI 3.1.

    Args:
        operations: what it can do.
        version: of this package.
    """
    kinds = _kinds_of(operations)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of = dict(zip(map(str, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _described(each, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "detic-crop", "version": version, "description": _ABOUT},
        "servers": [{"url": BASE}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: _plain(schema) for name, schema in components.items()},
        },
    }


def _kinds_of(operations: Sequence[Operation]) -> list[Any]:
    found: list[Any] = [Refusal]
    for each in operations:
        further = (kind for kind, _ in each.also.values())
        found += [k for k in (each.answer, each.body, *further) if k is not None and not _is_text(k)]
    return [kind for i, kind in enumerate(found) if kind not in found[:i]]


def _is_text(kind: Any) -> bool:
    return inspect.isclass(kind) and not get_args(kind) and issubclass(kind, Text)


def _described(each: Operation, schema_of: Mapping[str, Any]) -> dict[str, Any]:
    refusals = {**_EVERYWHERE, **(_WITH_BODY if each.body else {}), **each.refusals}
    if 403 in each.refusals:
        refusals[403] = f"{_EVERYWHERE[403]}, or {each.refusals[403]}"
    responses: dict[str, Any] = {str(each.status): _answer(each.answer, "as asked", schema_of)}
    if each.takes == "photo":
        responses["200"]["content"] |= {f"image/{kind}": {} for kind in ("jpeg", "png", "webp")}
    responses |= {str(code): _answer(kind, when, schema_of) for code, (kind, when) in each.also.items()}
    responses |= {str(code): _answer(Refusal, when, schema_of) for code, when in refusals.items()}
    found: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "tags": [each.group or "About"],
        "parameters": _parameters(each),
        "responses": dict(sorted(responses.items())),
    }
    if each.body is not None:
        content = {"application/json": {"schema": schema_of[str(each.body)]}}
        found["requestBody"] = {"required": True, "content": content}
    if each.takes == "photo":
        photo = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
        content = dict.fromkeys(_PHOTOS, photo)
        found["requestBody"] = {"required": True, "content": content}
    return found


def _answer(kind: Any, when: str, schema_of: Mapping[str, Any]) -> dict[str, Any]:
    if kind is None:
        return {"description": when, "content": {"application/json": {"schema": {"type": "null"}}}}
    if _is_text(kind):
        content = {kind.media_type: {"schema": {"type": "string"}}} if kind.media_type else {}
        return {"description": when, **({"content": content} if content else {})}
    return {"description": when, "content": {"application/json": {"schema": schema_of[str(kind)]}}}


def _parameters(each: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{number}" in each.path:
        number = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}
        found.append({"name": "number", "in": "path", "required": True, "schema": number})
    for field in msgspec.structs.fields(each.query):
        schema = msgspec.json.schema(field.type)
        about = _attributes_of(each.query).get(field.name) or inspect.cleandoc(each.query.__doc__ or "")
        found.append(
            {
                "name": field.name,
                "in": "query",
                "required": field.required,
                "schema": schema,
                "description": about,
            }
        )
    if each.takes == "photo":
        name = {"type": "string", "minLength": 1, "maxLength": 500, "default": "photo"}
        found.append(
            {"name": "image", "in": "query", "schema": name, "description": "what the row calls the photo"}
        )
    return found + [_parameter(setting) for setting in each.settings.values()]


def _parameter(setting: Setting) -> dict[str, Any]:
    """Return a setting as a parameter of the query."""
    view = setting_view(setting)
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if view.type in ("integer", "number", "boolean"):
        schema = {"type": view.type}
    if view.type in ("integer", "number"):
        schema |= {"minimum": view.low, "maximum": view.high}
    if view.choices:
        schema = {"type": "string", "enum": view.choices}
    if view.default is not None:
        schema["default"] = str(view.default) if schema["type"] == "string" else view.default
    about = ": ".join(filter(None, (view.help, view.takes)))
    about += f" (default: {view.unset})" if view.unset else ""
    return {"name": view.name, "in": "query", "schema": schema, "description": about}


def _plain(schema: Any) -> Any:
    """Return a schema whose descriptions are those of docstrings: attributes go to their properties."""
    if not isinstance(schema, dict) or "description" not in schema:
        return schema
    about, attributes = _split(schema["description"])
    properties = {
        name: {**each, "description": attributes[name]} if name in attributes else each
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "description": about, **({"properties": properties} if properties else {})}


def _attributes_of(kind: type[msgspec.Struct]) -> dict[str, str]:
    return _split(inspect.cleandoc(kind.__doc__ or ""))[1]


def _split(docstring: str) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of all, and of each attribute."""
    about, _, rest = docstring.partition("\nAttributes:\n")
    found = re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", rest, flags=re.MULTILINE)
    attributes = {
        name.strip(): " ".join(said.replace("`", "").split())
        for names, said in found
        for name in names.split(",")
    }
    return " ".join(about.replace("`", "").split()), attributes


def docs_page(described: Mapping[str, Any]) -> bytes:
    """Return the description for people, as a page that loads nothing but its style sheet."""
    template = _environment().get_template("api.html.j2")
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, each in methods.items():
            groups.setdefault(each["tags"][0], []).append({"method": method.upper(), "path": path, **each})
    groups["About"] = groups.pop("About", [])  # last: people look for the others
    return utf8(
        template.render(
            groups=groups, described=described, base=BASE, type_of=_type_of, everywhere=_EVERYWHERE
        )
    )


def docs_style() -> bytes:
    """Return the style sheet of that page."""
    own = resources.files("detic_crop.app").joinpath("static").joinpath("api.css").read_text("utf-8")
    return utf8(style(COLOURS) + own)


def _type_of(schema: Mapping[str, Any]) -> str:
    """Return what a schema says, in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type_of(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


@cache
def _environment() -> Environment:
    return plain_environment("detic_crop.app")
