"""What each setting may be: one row per key, the check of its value and the reading of its text.

A check takes what TOML gives (or click) and returns the value as `tagger.config.Config` holds it. What does
not fit is a ValueError whose message ends a sentence that begins with the key: ``"is 'x', but must be …"``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tagger.cluster.elsewhere import check_address, check_maps
from tagger.config.envtext import from_here, is_path, items, pairs, scalar
from tagger.genres import genre_key, name_problem
from tagger.learning.hierarchy import check_max_genres, check_parents
from tagger.tracks import ExtraTag, WriteMode

MAX_SEGMENTS = 1000
HARDLINKS = ("refuse", "write")
"""What becomes of a file with more than one name: writing gives this name a file of its own."""
MAX_JOBS = 1024
BACKENDS = ("loky", "dask")


@dataclass(frozen=True, slots=True)
class Setting:
    """How one key is read."""

    check: Callable[[object], Any]
    about: str
    """What it is for, in a sentence."""
    example: str
    """A value as TOML: the default where that is a plain value."""
    from_text: Callable[[str], object] = str
    """The text of an environment variable, or a path as typed in a shell, as TOML would have given it; what
    does not fit is handed on for the check to name."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(value: object, allowed: str, said: str = "is") -> ValueError:
    return ValueError(f"{said} {_shown(value)}, but must be {allowed}")


_ITEM = "has an item that is"


# ---- checks


def _number(low: float, high: float, allowed: str) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _wrong(value, allowed)
        return float(value)

    return check


def _jobs(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_JOBS:
        raise _wrong(value, f"a whole number from 1 to {MAX_JOBS}, or 0 for all cores")
    return value


def _coverage(value: object) -> str:
    if value == "full":
        return "full"
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SEGMENTS:
        raise _wrong(value, f"'full' or a number of segments from 1 to {MAX_SEGMENTS}")
    return str(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "true or false")
    return value


def _one_of(allowed: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise _wrong(value, " or ".join(repr(choice) for choice in allowed))
        return value

    return check


def _mode(value: object) -> WriteMode:
    return WriteMode(_one_of(tuple(mode.value for mode in WriteMode))(value))


def _extra_tags(value: object) -> tuple[ExtraTag, ...]:
    names = items(",")(value) if isinstance(value, str) else value
    known = tuple(tag.value for tag in ExtraTag)
    if names == ["none"]:  # so that an option can say that the configuration's are not wanted
        names = []
    if not isinstance(names, list | tuple) or not set(map(str, names)) <= set(known):
        raise _wrong(value, f"a list of {', '.join(known)}, or none")
    return tuple(tag for tag in ExtraTag if tag in names)


def _text(value: object, allowed: str, said: str = "is") -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _wrong(value, allowed, said)
    return value


def _texts(value: object, allowed: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(value, allowed)
    return tuple(_text(item, allowed, _ITEM) for item in value)


def _full_path(text: str, said: str = "is") -> Path:
    """`text` with ``~`` put in. Relative paths are refused: cron starts elsewhere than a terminal."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{said} {_shown(text)}, but there is no such home directory") from None
    if not path.is_absolute():
        raise _wrong(text, "a full path, or begin with ~", said)
    return path


def _file(value: object) -> Path:
    return _full_path(_text(str(value) if isinstance(value, Path) else value, "the path of a file"))


def _folders(value: object) -> tuple[bytes, ...]:
    if isinstance(value, tuple) and all(isinstance(item, bytes) for item in value):
        return value  # from the command line, where a shell has already made them what they are
    return tuple(os.fsencode(_full_path(text, _ITEM)) for text in _texts(value, "a list of paths of folders"))


def _model(value: object) -> str:
    text = _text(value, "the name of a model or the path of its directory")
    return str(_full_path(text)) if is_path(text) else text


def _patterns(value: object) -> tuple[str, ...]:
    return _texts(value, "a list of gitignore patterns")


def _names(value: object) -> tuple[str, ...]:
    names = _texts(value, "a list of genre names")
    for name in names:
        if problem := name_problem(name):
            raise ValueError(f"has the name {_shown(name)}, which {problem}")
    return tuple(name.strip() for name in names)


def _names_by_label(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(value, "a table of names, such as hiphop = 'Rap'")
    labels: dict[str, str] = {}
    for label, name in value.items():
        if not isinstance(name, str):
            raise ValueError(f"has {_shown(name)} for {label!r}, but must have a name in quotes")
        if name.strip() and (problem := name_problem(name)):
            raise ValueError(f"has the name {_shown(name)} for {label!r}, which {problem}")
        twin = labels.setdefault(genre_key(label), label)
        if twin != label:
            raise ValueError(f"has {twin!r} and {label!r}, which are the same genre")
    return MappingProxyType({label: name.strip() for label, name in value.items()})


def _duration(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        seconds = parse_duration(value) if isinstance(value, str) else value
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not low <= seconds <= high:
            longest = f"{high / 3600:.0f}h"
            raise _wrong(value, f"a time such as '90s', '10m' or '2h', from {low:.0f}s to {longest}")
        return float(seconds)

    return check


def _command(value: object) -> tuple[str, ...]:
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:  # a quote that is not closed
        words = None
    allowed = "a command: a text, or a list of the program and its arguments"
    if not isinstance(words, list | tuple) or not all(isinstance(w, str) and "\0" not in w for w in words):
        raise _wrong(value, allowed)
    return tuple(os.path.expanduser(word) if place == 0 else word for place, word in enumerate(words))


def parse_duration(text: str) -> float | None:
    """Seconds of ``"45"``, ``"90s"``, ``"1.5h"``, ``"1h30m"`` or ``"2d"``; None for anything else."""
    number = r"(\d{1,9}(?:\.\d{1,9})?)"
    if re.fullmatch(number, text):
        return float(text)
    parts = re.findall(number + "([smhd])", text.replace(" ", "").lower())
    if not parts or "".join(n + unit for n, unit in parts) != text.replace(" ", "").lower():
        return None
    return sum(float(n) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit] for n, unit in parts)


_SHARE = _number(0.0, 1.0, "a number from 0 to 1")

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "paths": Setting(
            _folders,
            "Music folders, for commands that are given none.",
            '["~/Music"]',
            lambda text: [from_here(item) for item in text.split(os.pathsep) if item],
        ),
        "db": Setting(_file, "The database.", '"~/tagger.db"', from_here),
        "model": Setting(
            _model,
            "Name of a shipped model, or the full path of a model's directory.",
            '"eleven"',
            lambda text: from_here(text) if is_path(text) else text,
        ),
        "jobs": Setting(_jobs, "Worker processes; 0 for as many as there are cores.", "0", scalar),
        "backend": Setting(
            _one_of(BACKENDS), "Where to listen: in processes here (loky), or on a Dask cluster.", '"loky"'
        ),
        "scheduler": Setting(check_address, "Address of the Dask cluster's scheduler.", '"tcp://nas:8786"'),
        "map": Setting(
            check_maps,
            "Folders that have another path on the Dask cluster: here=there.",
            '["/mnt/nas=/data/music"]',
            items("\n"),
        ),
        "mode": Setting(
            _mode,
            "Which files get a genre: those without (missing), all beside theirs (append) or in its place "
            "(overwrite), or our own former values too (own).",
            '"missing"',
        ),
        "threshold": Setting(_SHARE, "Least confidence that is written, 0-1.", "0.6", scalar),
        "margin": Setting(_SHARE, "Least lead over the second genre, 0-1.", "0.1", scalar),
        "max_genres": Setting(check_max_genres, "Most genres a track is given.", "1", scalar),
        "write_parents": Setting(_flag, "Write the genres above one beside it.", "false", scalar),
        "extra_tags": Setting(
            _extra_tags,
            "Fields written along with a genre: confidence, model, version, tempo.",
            '["confidence", "model"]',
        ),
        "preserve_mtime": Setting(_flag, "Keep the files' time of modification.", "false", scalar),
        "hardlinks": Setting(
            _one_of(HARDLINKS), "Files with several names: refuse them, or write.", '"refuse"'
        ),
        "coverage": Setting(
            _coverage,
            "How many 30-second segments of a track to hear, spread over it; or full.",
            '"full"',
            scalar,
        ),
        "track_limit": Setting(_duration(1.0, 86_400.0), "Longest time for one track.", '"10m"'),
        "time_limit": Setting(
            _duration(1.0, 31 * 86_400.0), "Longest time for a run; the next one goes on from there.", '"2h"'
        ),
        "nice": Setting(_flag, "Run with the least priority for processor and disk.", "false", scalar),
        "max_load": Setting(
            _number(0.1, 10_000.0, "a load of the machine, above 0.1"),
            "Wait while the load of the machine (of the last minute) is above this.",
            "4.0",
            scalar,
        ),
        "ignore": Setting(
            _patterns, "What to leave out, in the syntax of .gitignore.", '["*.part"]', items("\n")
        ),
        "whitelist": Setting(_names, "The only genres that may be written.", '["Rock", "Jazz"]', items(",")),
        "on_finish": Setting(
            _command,
            "A command run after each run, with its summary as JSON on standard input.",
            '["/usr/local/bin/rescan", "--quiet"]',
        ),
        "genres": Setting(
            _names_by_label,
            "Names that are written, by the model's genre; an empty one is never written.",
            '{ hiphop = "Rap", disco = "" }',
            pairs,
        ),
        "parents": Setting(check_parents, "The genre above a genre.", '{ House = "Electronic" }', pairs),
    }
)
"""By the name of the key, which is also that of the field of `tagger.config.Config`."""

RENAMED: Mapping[str, str] = MappingProxyType({"time_limit_s": "track_limit"})
"""Keys of before, and what they are called now."""
