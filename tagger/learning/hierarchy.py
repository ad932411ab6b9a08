"""Genres above genres: which are parents of which, how a branch stands in a tag, and what settings may say.

A hierarchy is a mapping of each genre to the one above it, as the configuration has it under ``[parents]``;
names are compared as in `tagger.genres.same_genre`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType

from tagger.genres import genre_key, name_problem
from tagger.learning.canon import canonical

MAX_GENRES = 5
"""More genres than this a track are no help to anybody."""

_ABOVE = re.compile(r"\s*(?:>|\u203a|\u00bb|\u2192)\s*")
"""Signs that say of themselves that what follows lies below."""
_BESIDE = re.compile(r"\s*[/\\|]\s*")
"""Signs that part any two words: they mean a branch only where the configuration knows it for one."""


def check_max_genres(value: object) -> int:
    """How many genres a track may get, from a setting.

    Raises
    ------
    ValueError
        As `tagger.config.settings` has them.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_GENRES:
        raise ValueError(f"is {value!r:.60}, but must be a whole number from 1 to {MAX_GENRES}")
    return value


def check_parents(value: object) -> Mapping[str, str]:
    """A hierarchy, from a setting.

    Raises
    ------
    ValueError
        It is no table of names, or goes round in a circle.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"is {value!r:.60}, but must be a table of names, such as House = 'Electronic'")
    parents: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for genre, parent in value.items():
        if not isinstance(parent, str):
            raise ValueError(f"has {parent!r:.60} for {genre!r}, but must have a name in quotes")
        if problem := name_problem(parent):
            raise ValueError(f"has the name {parent!r:.60} for {genre!r}, which {problem}")
        twin = spelled.setdefault(genre_key(genre), genre)
        if twin != genre:
            raise ValueError(f"has {twin!r} and {genre!r}, which are the same genre")
        parents[genre] = parent.strip()
    for genre in parents:
        if genre_key(genre) in {genre_key(name) for name in ancestors(genre, parents)}:
            raise ValueError(f"goes round in a circle: {' > '.join([genre, *ancestors(genre, parents)])}")
    return MappingProxyType(parents)


def ancestors(genre: str, parents: Mapping[str, str]) -> tuple[str, ...]:
    """The genres above one, the nearest first; where they go round in a circle, each once."""
    above = {genre_key(child): parent for child, parent in parents.items()}
    found: list[str] = []
    key = genre_key(genre)
    while key in above and above[key] not in found:
        found.append(above[key])
        key = genre_key(above[key])
    return tuple(found)


def is_above(genre: str, other: str, parents: Mapping[str, str]) -> bool:
    """Whether a genre is one of those above another."""
    return _key(genre) in {_key(name) for name in ancestors(other, parents)}


def descendants(genre: str, parents: Mapping[str, str]) -> tuple[str, ...]:
    """The genres that one is above, as the hierarchy spells them, in its order."""
    over = {genre_key(parent) for parent in parents.values() if _key(parent) == _key(genre)}
    links = [(genre_key(child), genre_key(parent)) for child, parent in parents.items()]
    found: set[str] = set()
    while more := {child for child, parent in links if parent in over | found} - found:
        found |= more
    return tuple(child for child in parents if genre_key(child) in found)


def covers(genre: str, other: str, parents: Mapping[str, str]) -> bool:
    """Whether a genre is another, or above it."""
    return _key(genre) == _key(other) or is_above(genre, other, parents)


def leaf(text: str, parents: Mapping[str, str], known: Collection[str] = ()) -> str:
    """The genre at the end of a branch that stands in one tag; the text itself where it is none.

    Parameters
    ----------
    text : str
        ``"Electronic > House"``; ``"Electronic/House"`` counts only where `parents` has it so.
    parents : mapping
        The hierarchy.
    known : collection of str
        Names of further genres: what stands before a ``>`` must be one of these or have a place in the
        hierarchy.

    Examples
    --------
    >>> leaf("Electronic > House", {"House": "Electronic"}), leaf("Electronic/House", {"House": "Electronic"})
    ('House', 'House')
    >>> leaf("Rock/Pop", {"House": "Electronic"}), leaf("A > B", {})
    ('Rock/Pop', 'A > B')
    """
    parts = _ABOVE.split(text.strip())
    if len(parts) > 1 and all(parts):
        places = {_key(name) for name in (*known, *parents, *parents.values())}
        return parts[-1] if all(_key(part) in places for part in parts[:-1]) else text
    parts = _BESIDE.split(text.strip())
    if len(parts) > 1 and all(parts) and _is_branch(parts, parents):
        return parts[-1]
    return text


def most_specific(names: Iterable[str], parents: Mapping[str, str]) -> str:
    """Of several genres of a track the first, or the one farthest below it.

    Parameters
    ----------
    names : iterable of str
        At least one.

    Examples
    --------
    >>> most_specific(["Electronic", "Jazz", "House"], {"House": "Electronic"})
    'House'
    """
    first, *others = names
    for name in others:
        if is_above(first, name, parents):
            first = name
    return first


def _is_branch(parts: list[str], parents: Mapping[str, str]) -> bool:
    return all(is_above(upper, lower, parents) for upper, lower in pairwise(parts))


def _key(name: str) -> str:
    return genre_key(canonical(name))
