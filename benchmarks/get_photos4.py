"""Get the fourth set of labelled photos: `python -m benchmarks.get_photos4 FOLDER [--mirror URL]`.

`data/lite_photos4.csv` says where each photo comes from, a file of a public repository at a commit, and
which box was drawn. The photos are their owners' and not part of this project: they are for fitting and
measuring `lite` only. FOLDER becomes a set as `labelled_photos` reads it. Photos that are there already stay,
so the same command continues. With the version of OpenCV that the set was made with the files are the same,
byte for byte.
"""

from __future__ import annotations

import argparse
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from cv2.typing import MatLike
from tqdm import tqdm

from detic_crop.detectors.download import DownloadError, download, forget

LIST = Path(__file__).with_name("data") / "lite_photos4.csv"
"""One line a photo: folder, file, repository, commit, path; the columns of boxes.csv, empty without an
animal; width and height in pixels; left: the first column that was kept where bars were cut off its sides.
Its order is that in which training draws from the photos."""

MIRROR = "https://raw.githubusercontent.com"
LONGEST = 1600  # pixels of the longer side
QUALITY = 92  # of the JPEGs
MOST = 64 << 20  # bytes of a photo; the largest has 19 million
AT_ONCE = 4
BOX = ["xmin", "ymin", "xmax", "ymax", "label", "kind", "notes"]

Row = Mapping[str, str]


class OtherPictureError(Exception):
    """What came is not the picture that the list describes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Get the photos; exit code 1 if any is missing."""
    parser = argparse.ArgumentParser(description="Get the fourth set of labelled photos.")
    parser.add_argument("folder", type=Path, help="where images/, negatives/ and boxes.csv go")
    parser.add_argument(
        "--mirror", default=MIRROR, help="server of REPOSITORY/COMMIT/PATH (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    if not get_photos(given.folder, given.mirror):
        raise SystemExit(1)


def get_photos(folder: Path, mirror: str = MIRROR, listed: Path = LIST) -> bool:
    """Bring the listed photos into `folder`, print what is missing and why, and return whether all are there.

    boxes.csv gets the lines of the photos that are there.

    Args:
        folder: the set; it is made.
        mirror: http or https address before REPOSITORY/COMMIT/PATH.
        listed: table as `LIST`.
    """
    rows = pd.read_csv(listed, dtype=str, keep_default_na=False).to_dict("records")
    for name in ("images", "negatives"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        problems = list(
            tqdm(pool.map(lambda row: _problem(row, folder, mirror), rows), total=len(rows), unit="photo")
        )
    there = [row for row, problem in zip(rows, problems, strict=True) if problem is None]
    boxes = pd.DataFrame([row for row in there if row["folder"] == "images"], columns=["file", *BOX])
    boxes.rename(columns={"file": "image"}).to_csv(folder / "boxes.csv", index=False, lineterminator="\n")
    failed = [problem for problem in problems if isinstance(problem, DownloadError)]
    for problem in filter(None, problems):
        print(problem)
    print(
        f"{folder}: {len(there)} of {len(rows)} photos are there; {len(failed)} could not be had; "
        f"{len(rows) - len(there) - len(failed)} are other pictures than the list describes"
    )
    return len(there) == len(rows)


def address_of(row: Row, mirror: str) -> str:
    """Where a photo is."""
    path = urllib.parse.quote(f"{row['repository']}/{row['commit']}/{row['path']}")
    return f"{mirror.rstrip('/')}/{path}"


def as_stored(data: bytes, row: Row) -> bytes:
    """The JPEG of a photo as it is in the set: upright, at most `LONGEST` px, without bars at its sides.

    Args:
        data: the file from the repository, in any format that OpenCV reads.
        row: its line in the list.

    Raises:
        OtherPictureError: it is no picture, or one of another size than the list says.
    """
    image = _decoded(data, row)
    was = f"{image.shape[1]} × {image.shape[0]} px"
    factor = LONGEST / max(image.shape[:2])
    if factor < 1:
        # By the factor, not to a size: that samples otherwise, and the set was made so.
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    if row["left"]:  # the bars were cut off the shrunk photo's file
        left = int(row["left"])
        image = _decoded(_jpeg(image), row)[:, left : left + int(row["width"])]
    if image.shape[:2] != (int(row["height"]), int(row["width"])):
        raise OtherPictureError(
            f"{row['file']}: expected {row['width']} × {row['height']} px, got {image.shape[1]} × "
            f"{image.shape[0]} px from a picture of {was}: its aspect ratio is another"
        )
    return _jpeg(image)


def _problem(row: Row, folder: Path, mirror: str) -> Exception | None:
    """Get one photo unless it is there; return what stood in the way."""
    path = folder / row["folder"] / row["file"]
    if path.exists():
        return None
    part = folder / f"{row['folder']}-{row['file']}.part"  # beside the folders, which hold only photos
    try:
        download(address_of(row, mirror), part, most=MOST)
        whole = part.with_suffix(".whole")
        whole.write_bytes(as_stored(part.read_bytes(), row))
        os.replace(whole, path)
    except DownloadError as error:
        return error
    except OtherPictureError as error:
        forget(part)
        return error
    forget(part)
    return None


def _decoded(data: bytes, row: Row) -> MatLike:
    # IMREAD_COLOR turns it upright by its EXIF orientation.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise OtherPictureError(f"{row['file']}: expected a picture, got {len(data)} bytes that are none")
    return image


def _jpeg(image: MatLike) -> bytes:
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return data.tobytes()


if __name__ == "__main__":
    main()
