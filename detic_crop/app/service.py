"""What the app has: its folders, its jobs, and what is open."""

from __future__ import annotations

from dataclasses import dataclass

from detic_crop.app.jobs import Jobs
from detic_crop.app.reviews import Reviews
from detic_crop.app.roots import Roots


@dataclass
class Service:
    """What the operations of the API work on.

    Attributes:
        roots: folders that may be chosen from.
        jobs: the commands.
        reviews: review pages that are open.
        reviewer: name that is noted with each verdict, unless the page says another.
    """

    roots: Roots
    jobs: Jobs
    reviews: Reviews
    reviewer: str
