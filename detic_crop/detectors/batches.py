"""Several photos at a time: those that go together, and fewer where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Prepared = TypeVar("Prepared")
Found = TypeVar("Found")


def in_groups(
    run: Callable[[Sequence[Prepared]], list[Found]],
    photos: Sequence[Prepared],
    group_of: Callable[[Prepared], Hashable],
) -> list[Found]:
    """Return what `run` finds in each photo, in order; it is given photos of one group at a time."""
    groups: dict[Hashable, list[int]] = {}
    for i, photo in enumerate(photos):
        groups.setdefault(group_of(photo), []).append(i)
    answers: dict[int, Found] = {}
    for members in groups.values():
        answers.update(zip(members, run([photos[i] for i in members]), strict=True))
    return [answers[i] for i in range(len(photos))]


def in_parts(
    run: Callable[[Sequence[Prepared]], list[Found]],
    photos: Sequence[Prepared],
    note: Callable[[int], None],
) -> list[Found]:
    """Return what `run` finds, in halves if the memory of the GPU is too small for all photos at once.

    Args:
        run: computes some photos together.
        photos: the photos.
        note: told of each number of photos that may be few enough.

    Raises:
        torch.cuda.OutOfMemoryError: one photo alone is too much.
    """
    import torch  # here, because joined boxes files come by without it

    try:
        return run(photos)
    except torch.cuda.OutOfMemoryError:
        if len(photos) == 1:
            raise
    # Outside of the handler: its traceback holds the tensors that were too many.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = (len(photos) + 1) // 2
    note(middle)
    return in_parts(run, photos[:middle], note) + in_parts(run, photos[middle:], note)
