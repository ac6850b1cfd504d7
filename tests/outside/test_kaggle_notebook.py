"""examples/kaggle.ipynb, run cell by cell in a kernel on the sample photos, as a person does on Kaggle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from tests.kit.folders import rows_of

pytestmark = [pytest.mark.slow, pytest.mark.outside]

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOK = EXAMPLES / "kaggle.ipynb"
SETTINGS: dict[str, Any] = {"model": "lite", "size": 64}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A competition with the sample photos."""
    shutil.copytree(EXAMPLES / "train_images", tmp_path / "competition" / "train_images")
    shutil.copy(EXAMPLES / "train.csv", tmp_path / "competition")
    (tmp_path / "working").mkdir()
    return tmp_path


def _parameters(place: Path, previous: Path | None) -> str:
    """Return the first cell as a person fills it in."""
    return f"""
from pathlib import Path

WHEELS = None
COMPETITION = Path({str(place / "competition")!r})
PHOTOS = COMPETITION / "train_images"
LABELS = COMPETITION / "train.csv"
PREVIOUS = {f"Path({str(previous)!r})" if previous else None}
WORKING = Path({str(place / "working")!r})
MODEL = {SETTINGS["model"]!r}
SIZE = {SETTINGS["size"]}
TIME_LIMIT = "8h"
USER = "me"
TITLE = "Cropped whales and dolphins"
"""


def _run(place: Path, previous: Path | None = None) -> list[Any]:
    """Run the notebook; return its outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    cell.source = _parameters(place, previous)
    client = nbclient.NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(place / "working")}},
    )
    client.execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def _html(outputs: list[Any]) -> Iterator[str]:
    for output in outputs:
        if output.output_type == "execute_result" and "text/html" in output.data:
            yield output.data["text/html"]


def test_the_notebook_has_no_outputs_and_one_cell_of_settings() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs or cell.execution_count for cell in cells] == [None] * len(cells)
    named = {
        name for name, _, value in (line.partition(" = ") for line in cells[0].source.splitlines()) if value
    }
    expected = _parameters(Path("x"), None).splitlines()
    assert named == {line.partition(" = ")[0] for line in expected if " = " in line}


def test_the_notebook_crops_shows_and_makes_a_data_set(place: Path) -> None:
    outputs = _run(place)
    result, table, worst, some = _html(outputs)
    assert "12 photos: 12 cropped" in result
    assert result.count("<img ") == worst.count("<img ") == some.count("<img ") == 12
    assert 'href="cropped/audit.html"' in result
    assert "individual_id" in table
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "crops in " in said
    dataset = place / "working" / "dataset"
    assert len(list(dataset.rglob("*.jpg"))) == len(rows_of(place / "working" / "cropped"))
    assert (dataset / "dataset-metadata.json").is_file()


@pytest.mark.parametrize("hidden_folders", [True, False])
def test_the_notebook_goes_on_from_an_earlier_output(place: Path, hidden_folders: bool) -> None:
    earlier = place / "earlier"
    competition = place / "competition"
    given = {"labels": competition / "train.csv", "quiet": True, **SETTINGS}
    api.run(competition / "train_images", earlier / "cropped", limit=5, **given)
    if not hidden_folders:
        shutil.make_archive(str(earlier / "cropped-state"), "tar", earlier / "cropped", ".detic-crop")
        shutil.rmtree(earlier / "cropped" / ".detic-crop")
    result = next(_html(_run(place, earlier)))
    assert "12 photos (5 done before): 12 cropped" in result
