"""What the app has: its folders, its jobs, and what is open."""

from __future__ import annotations

from dataclasses import dataclass

from detic_crop.app.jobs import Jobs
from detic_crop.app.reviews import Reviews
from detic_crop.app.roots import Roots
from detic_crop.commands.crop_posted import PhotoCropper


@dataclass
class Service:
    """What the operations of the API work on.

    Attributes:
        roots: folders that may be chosen from.
        jobs: the commands.
        reviews: review pages that are open.
        cropper: crops photos that are posted.
        reviewer: name that is noted with each verdict, unless the page says another.
    """

    roots: Roots
    jobs: Jobs
    reviews: Reviews
    cropper: PhotoCropper
    reviewer: str
