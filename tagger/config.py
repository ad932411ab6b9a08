"""Settings: defaults < config.toml < ``TAGGER_*`` environment < options of the command line.

`load_config` reads the first three; a command then calls `Config.with_options` with what was given on the
command line. So every value passes the same check, and a wrong one is named the same way wherever it came
from; options declare neither a default nor an ``envvar`` in click.

In the environment folders are separated as in ``PATH``, patterns stand on lines of their own, names are
separated by commas, and the table of genres reads ``hiphop=Rap,disco=``. An empty variable counts as unset.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tagger.errors import ConfigError
from tagger.settings import SETTINGS
from tagger.tracks import WriteMode, display

MAX_CONFIG_BYTES = 1 << 20

_ENV_PREFIX = "TAGGER_"
_ENV_CONFIG = "TAGGER_CONFIG"


def default_config_path() -> Path:
    """The configuration file read when none is named, in the platform's configuration directory."""
    import platformdirs  # here and not above: `tagger --help` must not wait for it

    return Path(platformdirs.user_config_dir("tagger", appauthor=False)) / "config.toml"


def default_db_path() -> Path:
    """The database used when none is named, in the platform's data directory."""
    import platformdirs

    return Path(platformdirs.user_data_dir("tagger", appauthor=False)) / "tagger.db"


def default_log_path() -> Path:
    """The log of planned runs that nothing else keeps, in the platform's log directory."""
    import platformdirs

    return Path(platformdirs.user_log_dir("tagger", appauthor=False)) / "tagger.log"


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked. The names are those of the keys in config.toml."""

    paths: tuple[bytes, ...] = ()
    """Music folders for a command that is given none."""
    db: Path = field(default_factory=default_db_path)
    model: str = "eleven"
    """Name of a shipped model, or the full path of a model's directory."""
    jobs: int = 0
    """Worker processes; 0 for as many as there are cores."""
    mode: WriteMode = WriteMode.MISSING
    threshold: float | None = None
    """Least calibrated probability that is written, 0-1; None for the model card's."""
    margin: float | None = None
    """Least lead over the second genre, 0-1; None for the model card's."""
    preserve_mtime: bool = False
    hardlinks: str = "refuse"
    """``"refuse"`` or ``"write"`` files with more than one name."""
    coverage: str = "full"
    """How much of a track is listened to: one of `tagger.settings.COVERAGES`."""
    time_limit_s: float = 600.0
    """Longest time for one track."""
    ignore: tuple[str, ...] = ()
    """gitignore patterns, relative to each scanned folder."""
    genres: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names to write by label; an empty name drops the label."""
    whitelist: tuple[str, ...] = ()
    """The only names that may be written; empty for any."""

    def with_options(self, **given: Any) -> Config:
        """This configuration with the options of a command line in place.

        Parameters
        ----------
        given
            Values by the name of the setting; None and an empty tuple mean that the option was not given.
            Paths are relative to the current directory.

        Raises
        ------
        ConfigError
            A value is not allowed; the message names the option.
        """
        changes = {}
        for key, value in given.items():
            if value is None or value == ():
                continue
            if key in ("db", "model"):
                value = SETTINGS[key].from_text(os.fspath(value))
            changes[key] = _check(key, value, f"Option --{key.replace('_', '-')}")
        return replace(self, **changes)


def load_config(path: Path | None, env: Mapping[str, str]) -> Config:
    """Read the configuration file and the environment.

    Parameters
    ----------
    path
        The file to read. None for the one ``TAGGER_CONFIG`` names, else for `default_config_path`, which need
        not exist.
    env
        The environment, usually ``os.environ``.

    Raises
    ------
    ConfigError
        The file cannot be read or is not TOML, a key or variable is unknown, or a value is not allowed.
    """
    if path is None and env.get(_ENV_CONFIG):
        path = Path(env[_ENV_CONFIG])
    in_file = _read_file(path or default_config_path(), optional=path is None)
    return Config(**{**in_file, **_read_env(env)})


def _read_file(path: Path, *, optional: bool) -> dict[str, Any]:
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
        table = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}: line {line} is not UTF-8 text; save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a bare ValueError
        raise ConfigError(f"{shown}: is not valid TOML: {error}.") from error

    for key in table:
        if key not in SETTINGS:
            raise ConfigError(f"{shown}: unknown key {key!r}; {_suggest(key, SETTINGS)}")
    _refuse_misplaced(table.get("genres"), shown)
    return {key: _check(key, value, f"{shown}: {key}") for key, value in table.items()}


def _read_env(env: Mapping[str, str]) -> dict[str, Any]:
    keys = {_ENV_PREFIX + key.upper(): key for key in SETTINGS}
    values = {}
    for variable, text in sorted(env.items()):
        if not variable.startswith(_ENV_PREFIX) or variable == _ENV_CONFIG or not text:
            continue
        if variable in keys:
            key = keys[variable]
            values[key] = _check(key, SETTINGS[key].from_text(text), variable)
        elif difflib.get_close_matches(variable, keys, n=1, cutoff=0.85):
            # Other programs' variables may begin with TAGGER_ too: only what looks like a slip is an error.
            raise ConfigError(f"{variable}: unknown variable; {_suggest(variable, keys)}")
    return values


def _check(key: str, value: object, where: str) -> Any:
    try:
        return SETTINGS[key].check(value)
    except ValueError as error:
        raise ConfigError(f"{where} {error}.") from None


def _suggest(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word.replace("-", "_"), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(sorted(known))}."


def _refuse_misplaced(genres: object, shown: str) -> None:
    """A key below the line ``[genres]`` belongs to that table: TOML's most common surprise."""
    if isinstance(genres, Mapping):
        for key, value in genres.items():
            if key in SETTINGS and not isinstance(value, str):
                raise ConfigError(f"{shown}: {key!r} stands below [genres]; move it above that line.")
