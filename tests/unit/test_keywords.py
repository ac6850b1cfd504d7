"""The settings as keyword arguments of Python, and errors that name them so."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
import runpy
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest

import detic_crop
from detic_crop.cli.main import cli
from detic_crop.commands.keyword_settings import RecropSettings, RunSettings
from detic_crop.commands.signature import RECROP, RUN, keyword_types
from detic_crop.config import SETTINGS, CropConfig, RunOptions
from detic_crop.errors import DeticCropError, PhotoError, UnexpectedKeywordError, UsageError, one_line
from detic_crop.exports.formats import FORMATS
from detic_crop.keywords import FLAGS, FOREIGN, PROSE, in_python, keyword_of
from tests.kit.errors import refused
from tests.kit.wording import WORDING

PACKAGE = Path(detic_crop.__file__).parent
COMMAND_LINE_ONLY = ("app", "audit", "completion", "weights")
"""Commands that are no functions of the same name."""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "audit": detic_crop.write_audit,
    **{name: getattr(detic_crop, name) for name in cli.commands if name not in COMMAND_LINE_ONLY},
}
OTHERS: tuple[Callable[..., Any], ...] = (detic_crop.crop_photo, detic_crop.show)
"""Functions without a command."""
OF_THE_COMMAND_LINE = {
    *(("run", "strict"), ("recrop", "strict"), ("apply", "strict"), ("merge", "quiet")),
    *(("status", "json"), ("export", "license")),
}
"""Options about exit codes and what is printed, and other spellings of options."""


def _keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize("kind", [CropConfig, RunOptions])
def test_run_lists_every_setting_with_its_type_and_default(kind: type[Any]) -> None:
    listed = _keywords(detic_crop.run)
    types = typing.get_type_hints(kind)
    for name, setting in SETTINGS[kind].items():
        found = listed[name]
        assert found.kind is found.KEYWORD_ONLY
        assert found.default == getattr(kind(), name) == setting.default
        if setting.kind is not Path:
            assert set(get_args(types[name])) <= set(get_args(found.annotation)), name


def test_the_types_that_a_checker_reads_are_those_of_the_signature() -> None:
    for function, declared, types in (
        (detic_crop.run, RunSettings, keyword_types(RUN)),
        (detic_crop.recrop, RecropSettings, keyword_types(RECROP, changes=True)),
    ):
        assert typing.get_type_hints(declared) == types
        shown = _keywords(function)
        assert {name: shown[name].annotation for name in types} == types
        assert [*shown][-len(types) :] == [*types]
        assert not [name for name, found in shown.items() if found.kind is found.VAR_KEYWORD]


def test_the_declared_types_are_those_that_the_script_makes() -> None:
    script = runpy.run_path(str(PACKAGE.parent / "docs" / "make_options.py"))
    assert script["MODULE"].read_text(encoding="utf-8") == script["module"](), (
        "run: python docs/make_options.py"
    )


def test_help_lists_each_setting_with_its_meaning() -> None:
    said = inspect.getdoc(detic_crop.run)
    assert said is not None
    for settings in SETTINGS.values():
        for name, setting in settings.items():
            assert re.search(rf"^    {name}: {re.escape(in_python(setting.text))} ", said, re.MULTILINE), name
    assert "--" not in said.partition("What the crops are like")[2]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_option_of_a_command_is_a_keyword_of_its_function(name: str) -> None:
    known = _keywords(FUNCTIONS[name])
    out = "out" if "out" in known else "output"
    for option in cli.commands[name].params:
        if not isinstance(option, click.Option):
            continue
        for given in (*option.opts, *option.secondary_opts):
            word = given.removeprefix("--")
            if (name, word) in OF_THE_COMMAND_LINE:
                continue
            takes_further = any(each.kind is each.VAR_KEYWORD for each in known.values())
            assert keyword_of(word, out) in known or takes_further, given
            assert option.is_flag == (word in FLAGS), given


def test_completion_offers_the_settings() -> None:
    jedi = pytest.importorskip("jedi")
    names = {
        found.name for found in jedi.Interpreter("detic_crop.run(", [{"detic_crop": detic_crop}]).complete()
    }
    assert {f"{name}=" for settings in SETTINGS.values() for name in settings} <= names


# ---------------------------------------------------------------- a call with a mistake


def test_an_unknown_keyword_is_a_type_error_that_names_the_likely_one(tmp_path: Path) -> None:
    function: Callable[..., Any] = detic_crop.run
    for wrong, meant in (("sizes", "size"), ("time-limit", "time_limit"), ("Labels", "labels")):
        with refused("unknown_setting", UnexpectedKeywordError) as caught:
            function(tmp_path / "in", tmp_path / "out", **{wrong: 3})
        assert str(caught.value) == f"unexpected setting {wrong!r}; did you mean {meant}?"
        assert isinstance(caught.value, TypeError)
    with refused("unknown_setting", names=["'sea'", "known are add, animals, "]):
        function(tmp_path / "in", tmp_path / "out", sea=3)


def test_a_wrong_value_names_its_keyword(tmp_path: Path) -> None:
    for name, value in (("size", "large"), ("max_bytes", "2"), ("time_limit", "soon"), ("fit", "bend")):
        settings: dict[str, Any] = {name: value}
        with refused("bad_value", UsageError) as caught:
            detic_crop.run(tmp_path / "in", tmp_path / "out", **settings)
        assert str(caught.value).startswith(f"{name}= must be ")


def test_python_and_the_command_line_name_an_option_each_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from detic_crop.cli.main import main

    with refused("missing_input") as caught:
        detic_crop.run(tmp_path / "photos", tmp_path / "out")
    assert str(caught.value).startswith(f"input={tmp_path / 'photos'} does not exist; ")
    assert main(["run", "--in", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]) == 2
    assert f"detic-crop: --in {tmp_path / 'photos'} does not exist; " in capsys.readouterr().err


def test_an_error_keeps_its_words_when_it_is_pickled_or_quoted() -> None:
    error = UsageError("missing_input", "--in x does not exist")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.message) == ("input=x does not exist", "--in x does not exist")
    assert one_line(error) == "--in x does not exist"
    there = UsageError("out_is_not_taught", "pass another --out", out="out")
    assert str(pickle.loads(pickle.dumps(there))) == "pass another out="
    assert str(PhotoError("missing_file", "check --in")) == "check input="


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("as_option", "as_keyword"),
    [
        ("pass --in FOLDER, where they are now", "pass input=FOLDER, where they are now"),
        ("--in is empty; pass a folder", "input= is empty; pass a folder"),
        ("--in photos holds none; pass another", "input=photos holds none; pass another"),
        ("--size must be 512, got '--size 3'", "size= must be 512, got '--size 3'"),
        ("pass another --out, or --overwrite", "pass another output=, or overwrite=True"),
        ("--weights FILE and --no-browser", "weights_file=FILE and open_browser=False"),
        ("run `detic-crop run` again with --conf 0.3", "run `detic_crop.run` again with conf=0.3"),
        ("`detic-crop audit` with --xlsx writes it", "`detic_crop.write_audit` with xlsx=True writes it"),
        ("too (`detic-crop run --add --conf 1`)", "too (`detic_crop.run(…, add=True, conf=1)`)"),
        ("of `run --shard k/N`", "of `run(…, shard=k/N)`"),
        ("now run the `run` command again", "now run the `run` command again"),
        (
            "run: detic-crop merge 'a b' --out x; or --limit 3",
            "run: detic-crop merge 'a b' --out x; or limit=3",
        ),
        ("limit was --limit (none) instead", "limit was limit=(none) instead"),
        ("with --metadata (columns) or --exif keep", "with metadata=True (columns) or exif=keep"),
        ("pip install x --no-build-isolation", "pip install x --no-build-isolation"),
        ("the folder /data/--in/x and a--in", "the folder /data/--in/x and a--in"),
        ("", ""),
    ],
)
def test_options_become_keywords(as_option: str, as_keyword: str) -> None:
    assert in_python(as_option) == as_keyword


def _sentences() -> Iterator[str]:
    """Yield every text of the library, but for docstrings and those of the command line."""
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                left_out |= {id(value) for value in node.values}
                pieces = [value.value if isinstance(value, ast.Constant) else "{…}" for value in node.values]
                yield "".join(map(str, pieces))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
                yield node.value


def test_every_option_that_a_message_names_is_known() -> None:
    ours = {name for function in (*FUNCTIONS.values(), *OTHERS) for name in _keywords(function)}
    ours |= {option.name for command in cli.commands.values() for option in command.params}
    named = {word for said in _sentences() for word in re.findall(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)", said)}
    assert {word for word in named - FOREIGN if keyword_of(word) not in ours} == set()


def test_a_word_after_an_option_is_its_value_or_known_as_prose() -> None:
    values = {"any", "auto", "cpu", "mps", "lite", "checkpoint", "lvis", "openimages", "encounter", *FORMATS}
    for command in cli.commands.values():
        for option in command.params:
            values |= set(option.type.choices) if isinstance(option.type, click.Choice) else set()
    words = {
        word
        for said in _sentences()
        for name, word in re.findall(r"(?<![\w-])--([a-z-]+) ([a-z]+)(?=[\s,;?`)]|: |$)", said)
        if name not in FLAGS and name not in FOREIGN
    }
    assert words - values - PROSE == set()


def test_the_table_of_sentences_is_in_the_words_of_the_command_line() -> None:
    assert any("--in" in pattern for pattern in WORDING.values())
    assert DeticCropError("x", "--in").message == "--in"
