"""Joined names: what is split where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.detectors import resolve_model
from detic_crop.detectors.families import FAMILIES, absolute_name, family_of, parts_of
from detic_crop.detectors.joined.names import InTurn, Mix, Node, models_of, written
from detic_crop.errors import UsageError
from tests.kit.errors import refused


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("lite", "lite"),
        ("boxes:a+b.csv", "boxes:a+b.csv"),
        ("boxes:a,b.csv", "boxes:a,b.csv"),
        ("boxes:my lite+more.csv", "boxes:my lite+more.csv"),
        ("boxes:a+b.csv+lite", InTurn(("boxes:a+b.csv", "lite"))),
        ("detic-swinb+lite", InTurn(("detic-swinb", "lite"))),
        (" detic-swinb + lite ", InTurn(("detic-swinb", "lite"))),
        ("lite:a.safetensors+detic-r50+lite", InTurn(("lite:a.safetensors", "detic-r50", "lite"))),
        ("wbf(lite,detic-r50)", Mix(("lite", "detic-r50"), (1, 1))),
        ("wbf(lite*2, detic-r50 * 0.5)", Mix(("lite", "detic-r50"), (2, 0.5))),
        ("wbf(lite,detic-r50)+detic-r18", InTurn((Mix(("lite", "detic-r50"), (1, 1)), "detic-r18"))),
        ("wbf(lite:b+lite,boxes:a*2.csv*3)", Mix((InTurn(("lite:b", "lite")), "boxes:a*2.csv"), (1, 3))),
        ("wbf(boxes:a(1).csv,lite)", Mix(("boxes:a(1).csv", "lite"), (1, 1))),
        ("wbf(boxes:a(1),lite)", Mix(("boxes:a(1)", "lite"), (1, 1))),
        ("wbf(wbf(lite,detic-r50),lite:a)", Mix((Mix(("lite", "detic-r50"), (1, 1)), "lite:a"), (1, 1))),
        ("auto+lite", InTurn(("auto", "lite"))),
        ("detectron2:a+b.yaml", "detectron2:a+b.yaml"),
    ],
)  # fmt: skip
def test_a_sign_separates_only_before_the_name_of_a_model(name: str, node: Node) -> None:
    assert parts_of(name) == node
    assert parts_of(written(node)) == node


@pytest.mark.parametrize(
    "name",
    [
        *("lite+lite", "wbf(lite,lite)", "wbf(lite", "wbf(lite,detic-r50)x", "wbf()"),
        *("wbf(lite*0,lite:a)", "+lite"),
    ],
)
def test_what_joins_nothing_sensible_is_refused(name: str) -> None:
    with refused("bad_joined_model"):
        family_of(name)


@pytest.mark.parametrize("name", ["light+lite", "wbf(light,lite)", "lite+light"])
def test_a_model_that_there_is_not_is_named(name: str) -> None:
    with refused("unknown_model", names=["light"]):
        family_of(name)


MODELS = st.sampled_from(
    ["lite", "detic-r50", "auto", "boxes:a b.csv", "boxes:x+y,z.csv", "lite:f.st", "boxes:(1)"]
)


def _joined(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=2, max_size=3, unique_by=written)
    turns = several.filter(lambda nodes: not any(isinstance(node, InTurn) for node in nodes))
    weights = st.sampled_from([1.0, 2.0, 0.5])
    return turns.map(lambda nodes: InTurn(tuple(nodes))) | several.flatmap(
        lambda nodes: st.tuples(*[weights] * len(nodes)).map(lambda w: Mix(tuple(nodes), w))
    )


@given(st.recursive(MODELS, _joined, max_leaves=6))
def test_what_is_written_is_read_back(node: Node) -> None:
    assert parts_of(written(node)) == node


@given(st.text(alphabet="lite+,()* wbf:ab", max_size=24))
def test_any_text_is_a_name_or_refused_in_one_line(text: str) -> None:
    try:
        node = parts_of(text)
    except UsageError as error:
        node = error.code
    assert list(models_of(node))


def test_a_joined_kind_has_the_options_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kind = family_of("boxes:a+b.csv+detic-r50")
    assert {"box_format", "vocabulary"} <= kind.options
    assert kind.uses_device
    assert not kind.resumes("boxes:a+b.csv+detic-r50")
    assert absolute_name("boxes:a+b.csv+detic-r50") == f"boxes:{tmp_path / 'a+b.csv'}+detic-r50"
    assert family_of("wbf(detic-r50,lite*2)").resumes("wbf(detic-r50,lite*2)")
    assert absolute_name("boxes:a.csv+auto") == f"boxes:{tmp_path / 'a.csv'}+auto"
    two_files = family_of("boxes:a.csv+boxes:b.csv")
    assert not two_files.uses_device
    assert all(kind.answers_to(form) is False for kind in FAMILIES for form in ("A+B", "wbf(A,B)"))


def test_auto_stands_for_a_model_inside_a_joined_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detic_crop.detectors.weights.best_installed", lambda: "detic-r50")
    assert resolve_model("auto+lite")[0] == "detic-r50+lite"
    assert resolve_model("wbf(auto*2,lite)")[0] == "wbf(detic-r50*2,lite)"
    assert resolve_model("detic-r50+auto")[0] == "detic-r50"
    monkeypatch.setattr("detic_crop.detectors.weights.best_installed", lambda: None)
    assert resolve_model("auto+lite")[0] == "lite"
    assert resolve_model("boxes:a.csv+auto")[0] == "boxes:a.csv+lite"
