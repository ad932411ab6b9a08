"""Reading config.toml and the environment: each key with its value, checked, or with what is wrong."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tagger.config.settings import RENAMED, SETTINGS
from tagger.errors import ConfigError
from tagger.tracks import display

MAX_CONFIG_BYTES = 1 << 20

ENV_CONFIG = "TAGGER_CONFIG"
ENV_LIBRARY = "TAGGER_LIBRARY"
LIBRARIES = "library"
"""The table of tables that hold what differs from library to library."""

_ENV_PREFIX = "TAGGER_"
_LIBRARY_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Said(NamedTuple):
    """One setting as somebody gave it."""

    key: str
    source: str
    """The file, the table in it, or the variable."""
    value: Any
    """As `tagger.config.Config` holds it, or the `ConfigError` that says what is wrong."""
    library: str = ""


def parse(path: Path, *, optional: bool) -> dict[str, Any]:
    """The table in a file; an empty one where it need not exist and does not.

    Raises
    ------
    ConfigError
        The file cannot be read or is not TOML.
    """
    shown = display(os.fsencode(path))
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        if optional:
            return {}
        raise ConfigError(f"{shown}: there is no such configuration file.") from None
    except OSError as error:
        raise ConfigError(f"{shown}: the configuration file cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{shown}: is larger than {MAX_CONFIG_BYTES} bytes, so not a configuration file.")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}: line {line} is not UTF-8 text; save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a bare ValueError
        raise ConfigError(f"{shown}: is not valid TOML: {error}.") from error


def said_in_file(table: Mapping[str, Any], shown: str) -> Iterator[Said]:
    """What a configuration file says, first of all libraries, then of each."""
    libraries = table.get(LIBRARIES, {})
    yield from _said_in_table({key: value for key, value in table.items() if key != LIBRARIES}, shown)
    if not isinstance(libraries, Mapping):
        yield Said("", shown, ConfigError(f"{shown}: {LIBRARIES} must be tables such as [{LIBRARIES}.jazz]."))
        return
    for name, part in libraries.items():
        where = f"{shown}: [{LIBRARIES}.{name}]"
        if not isinstance(part, Mapping):
            wrong = (
                f"{shown}: {name!r} stands below [{LIBRARIES}]; a library is a table [{LIBRARIES}.{name}]."
            )
            yield Said("", where, ConfigError(wrong))
        elif not _LIBRARY_NAME.fullmatch(name):
            wrong = f"{where}: a library's name has up to 40 letters, digits, '-' and '_'."
            yield Said("", where, ConfigError(wrong))
        else:
            yield from (said._replace(library=name) for said in _said_in_table(part, where))


def _said_in_table(table: Mapping[str, Any], where: str) -> Iterator[Said]:
    for key, value in table.items():
        if key not in SETTINGS:
            wrong = ConfigError(f"{where}: unknown key {key!r}; {suggest(key, SETTINGS, 'keys')}")
            yield Said(key, where, wrong)
            continue
        misplaced = _misplaced(key, value, where) if key in ("genres", "parents") else None
        yield Said(key, where, misplaced or checked(key, value, f"{where}: {key}"))


def said_in_env(env: Mapping[str, str]) -> Iterator[Said]:
    """What the environment says."""
    keys = {_ENV_PREFIX + key.upper(): key for key in SETTINGS}
    for variable, text in sorted(env.items()):
        if not variable.startswith(_ENV_PREFIX) or variable in (ENV_CONFIG, ENV_LIBRARY) or not text:
            continue
        key = keys.get(variable, "")
        if key:
            yield Said(key, variable, checked(key, SETTINGS[key].from_text(text), variable))
        elif _renamed(variable) or difflib.get_close_matches(variable, keys, n=1, cutoff=0.85):
            # Other programs' variables may begin with TAGGER_ too: only what looks like a slip is an error.
            wrong = ConfigError(f"{variable}: unknown variable; {suggest(variable, keys, 'variables')}")
            yield Said(key, variable, wrong)


def checked(key: str, value: object, where: str) -> Any:
    """The value as `tagger.config.Config` holds it, or a `ConfigError` that names `where` it was said."""
    try:
        return SETTINGS[key].check(value)
    except ValueError as error:
        return ConfigError(f"{where} {error}.")


def suggest(word: str, known: Collection[str], kind: str) -> str:
    """What somebody may have meant, to end a sentence with."""
    if renamed := _renamed(word):
        return f"it is called {renamed!r} now."
    near = difflib.get_close_matches(word.replace("-", "_"), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"the {kind} are {', '.join(sorted(known))}." if known else f"there are no {kind}."


def _renamed(word: str) -> str:
    if word in RENAMED:
        return RENAMED[word]
    key = word.removeprefix(_ENV_PREFIX).lower()
    return _ENV_PREFIX + RENAMED[key].upper() if word != key and key in RENAMED else ""


def _misplaced(name: str, table: object, shown: str) -> ConfigError | None:
    """A key below the line ``[genres]`` belongs to that table: TOML's most common surprise."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            if key in SETTINGS and not isinstance(value, str):
                return ConfigError(f"{shown}: {key!r} stands below [{name}]; move it above that line.")
    return None
