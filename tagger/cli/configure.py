"""The commands about the configuration: config init, show, path, check."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tagger.cli.common import FILE, config_options, library_chosen, load_settings, settings_options
from tagger.errors import ConfigError, ListError
from tagger.tracks import display


@click.group()
def config() -> None:
    """The configuration: make one, look at it, check it."""


@config.command()
@config_options
def path(config: Path | None) -> None:
    """Where the configuration file is, or would be."""
    from tagger.config import config_file

    click.echo(os.fsencode(config_file(config, os.environ)[0]))


@config.command()
@click.option("--config", type=FILE, help="Configuration file instead of the usual one.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def init(config: Path | None, force: bool) -> None:
    """Write a configuration file with every setting in it, explained and commented out."""
    from tagger.config import config_file, template
    from tagger.export import write_file

    file = config_file(config, os.environ)[0]
    shown = display(os.fsencode(file))
    if os.path.lexists(file) and not force:
        raise ConfigError(f"{shown} is there already; --force overwrites it.")
    if file.exists() and not file.is_file():  # a folder, a device: nothing may take its place
        raise ConfigError(f"{shown} is no file; name another one with --config.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(os.fsencode(file), [template().encode()])
    except ListError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{shown} cannot be written: {error.strerror}.") from error
    click.echo(f"{shown}: take the # away from what you want to change.")


@config.command()
@config_options
def check(config: Path | None) -> None:
    """Name everything that is wrong with the file and the environment; exit code 2 if there is anything."""
    from tagger.config import config_file, problems

    found = problems(config, os.environ)
    for problem in found:
        click.echo(problem, err=True)
    if found:
        sys.exit(2)
    settings = load_settings(config)
    for folder in settings.paths:
        if not os.path.isdir(folder):
            click.echo(f"paths: {display(folder)} is not there now.", err=True)
    file = config_file(config, os.environ)[0]
    missing = "" if file.exists() else " (which does not exist: the defaults are in force)"
    click.echo(f"Nothing is wrong with {display(os.fsencode(file))}{missing}.")


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@settings_options
def show(as_json: bool, db: Path | None, config: Path | None) -> None:
    """The settings in force, and where each is from."""
    from tagger.config import load

    loaded = load(config, os.environ, library_chosen())
    settings = loaded.config.with_options(db=db)
    sources = dict(loaded.sources) | ({"db": "option --db"} if db else {})
    in_use = load_settings(config, db=db)
    if in_use.model != settings.model:
        settings, sources["model"] = in_use, "tagger models use"
    values = {key: _plain(getattr(settings, key)) for key in sources}
    if as_json:
        click.echo(json.dumps({key: {"value": values[key], "from": sources[key]} for key in sources}))
        return
    width = max(map(len, sources))
    for key, value in values.items():
        text = "(not set)" if value is None else json.dumps(value, ensure_ascii=False)
        click.echo(f"{key:{width}}  {text}  # {sources[key]}".encode("utf-8", "surrogateescape"))
    if loaded.libraries:
        click.echo(f"libraries: {', '.join(loaded.libraries)}")


def _plain(value: Any) -> Any:
    """A setting as JSON has it; paths as text, with surrogate escapes where they are not UTF-8."""
    if isinstance(value, bytes | os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
