"""One colour a genre, the same on every chart.

The twelve colours were found by maximising their least distance (in OKLab) as seen by people with full colour
vision and with each kind of colour blindness (Machado et al. 2009, "A physiologically-based model for
simulation of color vision deficiency"), among those that stand out from a white and from a near-black page.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tagger.genres import genre_key

GENRES: Mapping[str, str] = MappingProxyType(
    {
        "blues": "#1e0fff",
        "classical": "#877800",
        "country": "#e1875a",
        "disco": "#f00096",
        "electronic": "#4bc3b4",
        "hiphop": "#a569ff",
        "jazz": "#0087b4",
        "metal": "#0f5a4b",
        "pop": "#f0a5ff",
        "reggae": "#a5d200",
        "rock": "#a50000",
    }
)
"""By the key of the genre (`tagger.genres.genre_key`)."""

_OTHERS = ("#8700a5", "#d2a000", "#5a7896", "#c8643c", "#3c9655", "#966e8c", "#5f5fd2", "#b4b464")

NO_GENRE = "#8a9099"
"""No genre was given."""

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "tagged": "#2a9d8f",
        "kept": "#5fa8d3",
        "unchanged": "#8a9099",
        "uncertain": "#e9c46a",
        "refused": "#f4a261",
        "changed meanwhile": "#f4a261",
        "timed out": "#e76f51",
        "unreadable": "#c8453b",
        "crashed": "#9d2222",
        "failed": "#c8453b",
    }
)
"""By the words a status is shown as."""


def colour(label: str) -> str:
    """Colour of a genre; one we do not know keeps its own, whatever others there are."""
    key = genre_key(label)
    if key in ("", "other"):
        return NO_GENRE
    return GENRES.get(key) or _OTHERS[zlib.crc32(key.encode("utf-8", "replace")) % len(_OTHERS)]


def colours(labels: Iterable[str]) -> list[str]:
    """Colours of several genres, in their order."""
    return [colour(label) for label in labels]
