"""Records of many photos without a journal of that length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from detic_crop.columns import Texts
from detic_crop.folder.records import Record


class MadeRecords(Mapping[str, Record]):
    """Records of many photos, each made when it is read, as those of a long journal are."""

    def __init__(self, count: int) -> None:
        self.keys_in_order = Texts(f"survey/IMG_{number:08}.jpg" for number in range(count))

    def __getitem__(self, key: str) -> Record:
        place = self.keys_in_order.find(key)
        if place is None:
            raise KeyError(key)
        kind = place % 10
        hash_ = f"{place * 0x9E3779B97F4A7C15 % 2**64:016x}"
        if kind == 0:
            return Record(key, "failed", "unreadable", error="it ends early")
        if kind < 3:
            return Record(
                key, "resized", "not_found", key, 600, 400, presence=place % 7 / 10,
                crop_hash=hash_, checksum=place, file_size=1000,
            )  # fmt: skip
        left = float(place % 97)
        return Record(
            key, "cropped", "largest_box", key, 600, 400, "Whale", 0.5 + place % 11 / 30, 0.9,
            box=(left, 10.0, left + 200, 150.0), crop_box=(0, 0, 300, 200),
            crop_hash=hash_, checksum=place, file_size=1000,
        )  # fmt: skip

    def __contains__(self, key: object) -> bool:
        return key in self.keys_in_order

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys_in_order)

    def __len__(self) -> int:
        return len(self.keys_in_order)
