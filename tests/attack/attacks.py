"""The attacks by name."""

from __future__ import annotations

from typing import Final

from tests.attack.bombs import Bombs
from tests.attack.flips import Flips
from tests.attack.kills import Kills
from tests.attack.runner import Attack
from tests.attack.states import States
from tests.attack.stories import Stories
from tests.attack.tars import Tars

_ALL: tuple[Attack, ...] = (States(), Flips(), Kills(), Tars(), Bombs(), Stories())
ATTACKS: Final[dict[str, Attack]] = {attack.name: attack for attack in _ALL}
