"""A joined name as a kind of models: what goes with any of its parts goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detic_crop.detectors.families import Family, ModelRequest
from detic_crop.detectors.joined.names import InTurn, Mix, Node, models_of, written

if TYPE_CHECKING:
    from detic_crop.detectors.base import Detector


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedFamily(Family):
    """The kind of one joined name; see `Family`.

    Attributes:
        node: what the name says.
        families: kind of each single model, by its name.
    """

    node: Node
    families: Mapping[str, Family]

    def resumes(self, name: str) -> bool:
        """Return whether the recorded name is enough to load every one of the models again."""
        return all(family.resumes(model) for model, family in self.families.items())


def joined_family(node: Node, family_of: Callable[[str], Family]) -> JoinedFamily:
    """Return the kind of a joined name.

    Args:
        node: what the name says.
        family_of: returns the kind of a single model.

    Raises:
        UsageError: one of the models does not exist.
    """
    families = {model: family_of(model) for model in models_of(node)}
    kinds = list(families.values())
    return JoinedFamily(
        forms=(written(node),),
        what="joined models",
        load=lambda request: _load(node, request, families),
        options=frozenset().union(*(kind.options for kind in kinds)),
        packages=tuple(dict.fromkeys(package for kind in kinds for package in kind.packages)),
        uses_device=any(kind.uses_device for kind in kinds),
        devices=lambda devices: _devices_of_all([kind for kind in kinds if kind.uses_device], devices),
        node=node,
        families=families,
    )


def _devices_of_all(kinds: Sequence[Family], devices: str) -> list[str]:
    """Return the devices that each of the kinds would take; the CPU if they would take different ones."""
    found = [kind.devices(devices) for kind in kinds]
    return found[0] if all(each == found[0] for each in found) else ["cpu"]


def _load(node: Node, request: ModelRequest, families: Mapping[str, Family]) -> Detector:
    from detic_crop.detectors.joined.fallback import Fallback
    from detic_crop.detectors.joined.fused import Fused
    from detic_crop.detectors.joined.several import Several

    lookups: dict[str, Detector] = {}

    def load(part: Node) -> Detector:
        if isinstance(part, InTurn):
            return Fallback(map(load, part.members))
        if isinstance(part, Mix):
            return Fused(map(load, part.members), part.weights)
        detector = request.loaded.get(part) or families[part].load(
            _request_of(part, request, families[part].options)
        )
        if not detector.info.needs_pixels:
            lookups[part] = detector
        return detector

    joined = load(node)
    if isinstance(joined, Several):
        joined.lookups = lookups
    return joined


def _request_of(model: str, request: ModelRequest, options: frozenset[str]) -> ModelRequest:
    """Return the request for one model: only with the options that go with it."""
    given = {option: value for option, value in request.given().items() if option in options}
    return ModelRequest(name=model, device=request.device, **given)
