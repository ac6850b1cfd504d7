"""Scientific names of the whales and dolphins that data sets call by common names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

BINOMIALS: Mapping[str, str] = {
    # The Happywhale data set of 2022, as it spells them.
    "beluga": "Delphinapterus leucas",
    "blue_whale": "Balaenoptera musculus",
    "bottlenose_dolphin": "Tursiops truncatus",
    "bottlenose_dolpin": "Tursiops truncatus",
    "brydes_whale": "Balaenoptera edeni",
    "commersons_dolphin": "Cephalorhynchus commersonii",
    "common_dolphin": "Delphinus delphis",
    "cuviers_beaked_whale": "Ziphius cavirostris",
    "dusky_dolphin": "Lagenorhynchus obscurus",
    "false_killer_whale": "Pseudorca crassidens",
    "fin_whale": "Balaenoptera physalus",
    "frasiers_dolphin": "Lagenodelphis hosei",
    "gray_whale": "Eschrichtius robustus",
    "humpback_whale": "Megaptera novaeangliae",
    "kiler_whale": "Orcinus orca",
    "killer_whale": "Orcinus orca",
    "long_finned_pilot_whale": "Globicephala melas",
    "melon_headed_whale": "Peponocephala electra",
    "pantropic_spotted_dolphin": "Stenella attenuata",
    "pygmy_killer_whale": "Feresa attenuata",
    "rough_toothed_dolphin": "Steno bredanensis",
    "sei_whale": "Balaenoptera borealis",
    "short_finned_pilot_whale": "Globicephala macrorhynchus",
    "southern_right_whale": "Eubalaena australis",
    "spinner_dolphin": "Stenella longirostris",
    # Others, and other spellings.
    "antarctic_minke_whale": "Balaenoptera bonaerensis",
    "atlantic_spotted_dolphin": "Stenella frontalis",
    "atlantic_white_sided_dolphin": "Lagenorhynchus acutus",
    "beluga_whale": "Delphinapterus leucas",
    "bowhead_whale": "Balaena mysticetus",
    "common_bottlenose_dolphin": "Tursiops truncatus",
    "common_minke_whale": "Balaenoptera acutorostrata",
    "frasers_dolphin": "Lagenodelphis hosei",
    "grey_whale": "Eschrichtius robustus",
    "harbor_porpoise": "Phocoena phocoena",
    "harbour_porpoise": "Phocoena phocoena",
    "hectors_dolphin": "Cephalorhynchus hectori",
    "indo_pacific_bottlenose_dolphin": "Tursiops aduncus",
    "narwhal": "Monodon monoceros",
    "north_atlantic_right_whale": "Eubalaena glacialis",
    "north_pacific_right_whale": "Eubalaena japonica",
    "northern_bottlenose_whale": "Hyperoodon ampullatus",
    "orca": "Orcinus orca",
    "pacific_white_sided_dolphin": "Lagenorhynchus obliquidens",
    "pantropical_spotted_dolphin": "Stenella attenuata",
    "rissos_dolphin": "Grampus griseus",
    "sperm_whale": "Physeter macrocephalus",
    "striped_dolphin": "Stenella coeruleoalba",
    "white_beaked_dolphin": "Lagenorhynchus albirostris",
}
"""Common name, in small letters with ``_`` → genus and specific epithet."""

AMBIGUOUS: Mapping[str, tuple[str, ...]] = {
    "globis": ("Globicephala macrorhynchus", "Globicephala melas"),
    "minke_whale": ("Balaenoptera acutorostrata", "Balaenoptera bonaerensis"),
    "pilot_whale": ("Globicephala macrorhynchus", "Globicephala melas"),
    "spotted_dolphin": ("Stenella attenuata", "Stenella frontalis"),
    "white_sided_dolphin": ("Lagenorhynchus acutus", "Lagenorhynchus obliquidens"),
}
"""Common names, of that data set too, that several species share → these."""

_BINOMIAL = re.compile(r"([A-Z][a-z]+)[ _]([a-z]+(?:-[a-z]+)?)(?:[ _][a-z]+)?")
_KNOWN = frozenset(BINOMIALS.values())
_NOT_LATIN = {"whale", "dolphin", "porpoise", "orca", "beluga", "narwhal"}
"""Second words of common names, unless the whole name is known as a scientific one (*Orcinus orca*)."""


class Taxon(NamedTuple):
    """A scientific name.

    Attributes:
        genus: the first word, which begins with a capital letter.
        epithet: the second.
    """

    genus: str
    epithet: str


def taxon_of(species: str) -> Taxon | None:
    """Return the scientific name of a species; None if the name is not known, or not of one species.

    Args:
        species: a common name in any spelling of blanks, hyphens and case, or the scientific one itself; the
            name of a subspecies counts as that of its species.
    """
    if binomial := BINOMIALS.get(common_name(species)):
        genus, epithet = binomial.split()
        return Taxon(genus, epithet)
    found = _BINOMIAL.fullmatch(species.strip())
    if found is None or (found[2] in _NOT_LATIN and f"{found[1]} {found[2]}" not in _KNOWN):
        return None
    return Taxon(found[1], found[2])


def common_name(species: str) -> str:
    """Return a common name as the tables above spell it."""
    plain = re.sub("['’`´]", "", species.strip().casefold())
    return re.sub("[^a-z0-9]+", "_", plain).strip("_")
