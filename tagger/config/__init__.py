"""Settings: defaults < config.toml < ``TAGGER_*`` environment < options of the command line.

`load_config` reads the first three; a command then calls `Config.with_options` with what was given on the
command line. So every value passes the same check, and a wrong one is named the same way wherever it came
from; options declare neither a default nor an ``envvar`` in click.

In the environment folders are separated as in ``PATH``, patterns and maps stand on lines of their own, names
are separated by commas, and the table of genres reads ``hiphop=Rap,disco=``. An empty variable counts as
unset.

A table ``[library.NAME]`` holds keys that go before those above it when that library is chosen. A library
that names no database has one of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tagger.cluster.elsewhere import PathMap
from tagger.config.file import (
    ENV_CONFIG,
    ENV_LIBRARY,
    LIBRARIES,
    Said,
    checked,
    parse,
    said_in_env,
    said_in_file,
    suggest,
)
from tagger.config.settings import SETTINGS
from tagger.errors import ConfigError
from tagger.tracks import ExtraTag, WriteMode, display


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
    backend: str = "loky"
    """``"loky"``: listen in processes here; ``"dask"``: on a cluster."""
    scheduler: str | None = None
    """Address of the cluster's scheduler."""
    map: tuple[PathMap, ...] = ()
    """Folders here, and what they are called on the cluster's nodes."""
    mode: WriteMode = WriteMode.MISSING
    threshold: float | None = None
    """Least calibrated probability that is written, 0-1; None for the model card's."""
    margin: float | None = None
    """Least lead over the second genre, 0-1; None for the model card's."""
    max_genres: int = 1
    """Most genres a track is given; those above them do not count."""
    write_parents: bool = False
    """Write the genres above one beside it."""
    extra_tags: tuple[ExtraTag, ...] = ()
    """Fields beside the genre that are written with it."""
    preserve_mtime: bool = False
    hardlinks: str = "refuse"
    """``"refuse"`` or ``"write"`` files with more than one name."""
    coverage: str = "full"
    """``"full"``, or how many segments of a track are listened to, as digits."""
    track_limit: float = 600.0
    """Longest time for one track, in seconds."""
    time_limit: float | None = None
    """Longest time for a run, in seconds; None for no limit."""
    nice: bool = False
    """Least priority for processor and disk."""
    max_load: float | None = None
    """Wait while the load of the machine is above this; None not to look at it."""
    ignore: tuple[str, ...] = ()
    """gitignore patterns, relative to each scanned folder."""
    genres: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names to write by label; an empty name drops the label."""
    parents: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The genre above a genre."""
    whitelist: tuple[str, ...] = ()
    """The only names that may be written; empty for any."""
    on_finish: tuple[str, ...] = ()
    """Program and arguments to run after each run; empty for none."""

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
            changes[key] = checked(key, value, f"Option --{key.replace('_', '-')}")
            if isinstance(changes[key], ConfigError):
                raise changes[key]
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force before options, and where they are from."""

    config: Config
    sources: Mapping[str, str]
    """By key: ``"default"``, the file, or the environment variable."""
    file: Path
    """The configuration file, which need not exist."""
    libraries: tuple[str, ...]
    """Names of the libraries in it."""
    library: str
    """The one that was chosen, if any."""


def load_config(path: Path | None, env: Mapping[str, str], library: str = "") -> Config:
    """Read the configuration file and the environment: see `load`."""
    return load(path, env, library).config


def load(path: Path | None, env: Mapping[str, str], library: str = "") -> Loaded:
    """Read the configuration file and the environment.

    Parameters
    ----------
    path
        The file to read. None for the one ``TAGGER_CONFIG`` names, else for `default_config_path`, which need
        not exist.
    env
        The environment, usually ``os.environ``.
    library
        Name of the library to use; empty for the one ``TAGGER_LIBRARY`` names, else for none.

    Raises
    ------
    ConfigError
        The file cannot be read or is not TOML, a key, variable or library is unknown, or a value is not
        allowed.
    """
    library = library or env.get(ENV_LIBRARY, "")
    file, libraries, said = _everything(path, env)
    for one in said:  # of other libraries too: a mistake in them should not wait for its night
        if isinstance(one.value, ConfigError):
            raise one.value
    values: dict[str, Any] = {}
    sources = dict.fromkeys(SETTINGS, "default")
    if library:
        if library not in libraries:
            where = display(os.fsencode(file))
            raise ConfigError(
                f"{where}: there is no library {library!r}; {suggest(library, libraries, 'libraries')}"
            )
        # A database that is shared by mistake would mark one library's tracks as gone in the other's runs.
        said = [one for one in said if one.key != "db" or one.library or one.source.startswith("TAGGER_")]
        values["db"] = default_db_path().with_name(f"tagger-{library}.db")
    for one in said:
        if one.library in ("", library):
            values[one.key], sources[one.key] = one.value, one.source
    return Loaded(Config(**values), MappingProxyType(sources), file, libraries, library)


def problems(path: Path | None, env: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with the configuration file and the environment, a sentence each.

    Raises
    ------
    ConfigError
        The file cannot be read at all.
    """
    _, _, said = _everything(path, env)
    return [str(one.value) for one in said if isinstance(one.value, ConfigError)]


def config_file(path: Path | None, env: Mapping[str, str]) -> tuple[Path, bool]:
    """The configuration file, and whether somebody named it, so that it must exist."""
    if path is None and env.get(ENV_CONFIG):
        path = Path(env[ENV_CONFIG])
    return (default_config_path(), False) if path is None else (path, True)


def _everything(path: Path | None, env: Mapping[str, str]) -> tuple[Path, tuple[str, ...], list[Said]]:
    """The file, the names of its libraries, and what is said, in ascending order of weight."""
    file, named = config_file(path, env)
    table = parse(file, optional=not named)
    libraries = table.get(LIBRARIES, {})
    said = [*said_in_file(table, display(os.fsencode(file))), *said_in_env(env)]
    return file, tuple(libraries) if isinstance(libraries, Mapping) else (), said


def template() -> str:
    """A configuration file with every setting, explained and commented out. It is valid as it is."""
    lines = [
        "# Settings of tagger. Options of the command line go before environment variables (TAGGER_MODE),",
        "# and those before this file. `tagger config show` shows what is in force; `tagger config check`",
        "# finds slips.",
        "",
    ]
    for key, setting in SETTINGS.items():
        lines += [f"# {setting.about}", f"# {key} = {setting.example}", ""]
    lines += [
        "# Another library, for --library jazz: what differs from the above. It has a database of its own.",
        "# [library.jazz]",
        '# paths = ["~/Jazz"]',
        '# mode = "append"',
        "",
    ]
    return "\n".join(lines)
