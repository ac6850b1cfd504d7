"""The API against its own description: what schemathesis makes of it is answered as the description says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from detic_crop.app.openapi import description
from detic_crop.app.routes import OPERATIONS
from tests.kit.app import AppClient, serving
from tests.kit.photos import write_photos

DESCRIPTION = json.loads(json.dumps(description(OPERATIONS, "0")))
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
# A path that is a text need not be in the roots, and a model need not be there.
LEFT_OUT: Any = [CHECKS.get_one("positive_data_acceptance")]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    root = tmp_path_factory.mktemp("described")
    write_photos(root / "photos", 2)
    with serving([root], tmp_path_factory.mktemp("state"), work=False) as client:
        yield client


@pytest.mark.slow
@SCHEMA.parametrize()
@settings(
    max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
def test_every_operation_answers_as_described(case: schemathesis.Case[Any], client: AppClient) -> None:
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{client.port}/api/v1",
        headers={"Authorization": f"Bearer {client.guard.token}"},
        excluded_checks=LEFT_OUT,
        timeout=600,
    )


def test_every_operation_has_its_address(client: AppClient) -> None:
    told = client.api("GET", "/openapi.json")
    assert told == json.loads(json.dumps(description(OPERATIONS, told["info"]["version"])))
    names = [each["operationId"] for methods in told["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names)) == len(OPERATIONS)
    page = client.ask("GET", "/api/v1/docs")
    assert page.headers["content-type"].startswith("text/html")
    for name in names:
        assert f'id="{name}"'.encode() in page.body
    assert b"http://" not in page.body
    assert b"https://" not in page.body


def refs_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from refs_in(each)


def test_the_description_is_whole() -> None:
    """Nothing refers to a document that is not described; every field of an answer is explained."""
    known = DESCRIPTION["components"]["schemas"]
    assert {ref.rpartition("/")[2] for ref in refs_in(DESCRIPTION)} <= known.keys()
    bare = [f"{name}.{field}" for name, schema in known.items() for field in _unexplained(schema)]
    assert bare == []


def _unexplained(schema: dict[str, Any]) -> list[str]:
    if "Attributes" not in str(schema) and not any("description" in p for p in schema["properties"].values()):
        return []  # its one sentence says all
    return [field for field, each in schema["properties"].items() if "description" not in each]


def test_addresses_that_are_none_are_refused_in_a_line(
    client: AppClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert client.refused("GET", "/nothing") == (404, "not_found")
    assert client.refused("POST", "/about") == (405, "wrong_method")
    assert client.refused("GET", "/jobs/x") == (404, "no_such_job")
    assert client.refused("GET", "/jobs/99999999999999999999") == (404, "no_such_job")
    assert client.refused("GET", "/about?more=1") == (400, "bad_query")
    assert client.refused("POST", "/jobs", [1]) == (400, "bad_body")
    for method, path in (
        ("GET", "/about/"),
        ("POST", "/jobs/"),
        ("POST", "/crop/"),
        ("POST", "/jobs/1/stop/"),
    ):
        assert client.refused(method, path) == (404, "not_found")
    page = client.ask("GET", f"{client.guard.room}api/v1/about/", headers=client.as_page)
    assert (page.status, "location" in page.headers) == (404, False)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("method", "path", "body", "known"),
    [
        ("GET", "/folders?folder=x", None, "path"),
        ("GET", "/crops?path=photos&count=3", None, "path, most, order"),
        ("POST", "/jobs", {"command": "run", "in": "photos"}, "command, input, output, settings"),
    ],
)
def test_a_name_that_is_none_is_answered_with_those_that_are(
    client: AppClient, method: str, path: str, body: Any, known: str
) -> None:
    assert f"known are {known}".encode() in client.told(method, path, body).body


@pytest.mark.parametrize("most", [0, -3, 5_001, 10**30])
def test_lines_are_asked_for_as_described(client: AppClient, most: int) -> None:
    job = client.api("POST", "/jobs", {"command": "run", "input": "photos", "output": "cropped"})["id"]
    assert client.refused("GET", f"/jobs/{job}/log?most={most}") == (400, "bad_query")
    assert client.api("GET", f"/jobs/{job}/log?most=5000") == []
