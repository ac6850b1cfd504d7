"""The attacks by name."""

from __future__ import annotations

from typing import Final

from tests.attack.runner import Attack
from tests.attack.states import States

ATTACKS: Final[dict[str, Attack]] = {attack.name: attack for attack in (States(),)}
