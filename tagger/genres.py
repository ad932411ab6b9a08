"""The model's labels and the names written to files: defaults, the user's own mapping, a whitelist.

A *label* is what a model card calls a genre (``"hiphop"``), a *name* what goes into a file (``"Hip-Hop"``).
Two spellings are the same genre when they differ only in case, spaces, hyphens and underscores.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from tagger.errors import ConfigError

DEFAULT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "blues": "Blues",
        "classical": "Classical",
        "country": "Country",
        "disco": "Disco",
        "electronic": "Electronic",
        "hiphop": "Hip-Hop",
        "jazz": "Jazz",
        "metal": "Metal",
        "pop": "Pop",
        "reggae": "Reggae",
        "rock": "Rock",
    }
)
"""Label to name for GTZAN's ten genres and electronic, in the spelling most libraries use."""

MAX_NAME_CHARS = 60
"""Longer than any genre name in use; a limit so that a slip cannot put a paragraph into every file."""

_SEPARATORS = ";/,"
"""Media servers split a genre at these, so one name would come out as two genres."""

_IGNORED = str.maketrans("", "", " -_\u00a0\u2010\u2011\u2012\u2013")
_UNWRITABLE_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
"""Controls (NUL among them), lone surrogates, line and paragraph separators."""


def genre_key(name: str) -> str:
    """What all spellings of a genre share: ``"Hip Hop"``, ``"hip-hop"`` and ``"HipHop"`` have one key."""
    folded = unicodedata.normalize("NFKC", name).casefold().strip()
    return folded.translate(_IGNORED) or folded


def same_genre(a: str, b: str) -> bool:
    """True where the two names differ only in case, spaces, hyphens and underscores."""
    return genre_key(a) == genre_key(b)


def name_problem(name: str) -> str:
    """Why `name` cannot be written as one genre, as the end of a sentence; empty where it can.

    Examples
    --------
    >>> name_problem("Rock/Pop")
    "contains '/', at which media servers split it into two genres"
    >>> name_problem("Rock & Roll")
    ''
    """
    stripped = name.strip()
    if not stripped:
        return "is empty"
    if len(stripped) > MAX_NAME_CHARS:
        return f"is {len(stripped)} characters long, and {MAX_NAME_CHARS} is the most"
    for character in stripped:
        if character in _SEPARATORS:
            return f"contains {character!r}, at which media servers split it into two genres"
        if unicodedata.category(character) in _UNWRITABLE_CATEGORIES:
            return f"contains {character!r}, a character that tags cannot hold"
    # ID3 keeps the former numbers of genres alive: a text that looks like one is read as that genre instead.
    if stripped.isdecimal() or stripped.startswith("(") or stripped in ("RX", "CR"):
        return "would be read back from an ID3 tag as the number of another genre"
    return ""


def display_name(
    label: str, mapping: Mapping[str, str] | None = None, *, whitelist: Collection[str] = ()
) -> str | None:
    """Name to write to a file for a model's `label`.

    Parameters
    ----------
    label
        As the model card has it.
    mapping
        The user's own names by label, compared as in `same_genre`; they go before `DEFAULT_NAMES`. An empty
        name means that this label is never written.
    whitelist
        Where not empty, the only names that may be written; the spelling of the whitelist is the one used.

    Returns
    -------
    The name, or None where the user wants no file to carry this genre. A label nobody has a name for (a genre
    of the user's own) is its own name.

    Raises
    ------
    ConfigError
        The name cannot stand in a file as one genre; the message names the label.
    """
    key = genre_key(label)
    name = _lookup(key, mapping or {})
    if name is None:
        name = _lookup(key, DEFAULT_NAMES)
    if name is None:
        name = label
    elif not name.strip():
        return None
    problem = name_problem(name)
    if problem:
        raise ConfigError(
            f"Genre {label!r}: the name {name!r} {problem}; "
            "give it another name under [genres] in the configuration."
        )
    name = name.strip()
    if whitelist:
        return next((allowed.strip() for allowed in whitelist if same_genre(allowed, name)), None)
    return name


def unknown_labels(mapping: Mapping[str, str], labels: Iterable[str]) -> dict[str, str]:
    """Labels of the user's `mapping` that are no genre of the model's `labels`, so that a slip is seen.

    Returns
    -------
    Each such label with the nearest of `labels`, or ``""`` where none is near.
    """
    by_key = {genre_key(label): label for label in labels}
    unknown = {}
    for label in mapping:
        if genre_key(label) not in by_key:
            near = difflib.get_close_matches(genre_key(label), by_key, n=1, cutoff=0.6)
            unknown[label] = by_key[near[0]] if near else ""
    return unknown


def _lookup(key: str, mapping: Mapping[str, str]) -> str | None:
    return next((name for label, name in mapping.items() if genre_key(label) == key), None)
