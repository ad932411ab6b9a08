"""The command that lets runs happen by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from tagger.cli.common import BYTES_PATHS, absolute, library_chosen, load_settings, settings_options

if TYPE_CHECKING:
    from tagger.config import Config
    from tagger.schedule import Job

T = TypeVar("T")


@click.command()
@BYTES_PATHS
@click.option("--at", default="03:30", show_default=True, metavar="HH:MM", help="When, by the local clock.")
@click.option(
    "--every", default="24h", show_default=True, metavar="TIME",
    help="How often: 10m to 30m, or 1h to 24h, in parts of an hour or a day.",
)  # fmt: skip
@click.option(
    "--kind",
    type=click.Choice(["systemd", "cron", "launchd", "windows"]),
    help="What starts it (default: the first of these that is here).",
)
@click.option("--install", is_flag=True, help="Put it in force, in the place of the former.")
@click.option("--remove", is_flag=True, help="Take away what --install made.")
@click.option("--show", is_flag=True, help="What is planned, and when it runs next.")
@settings_options
def schedule(
    paths: tuple[bytes, ...], at: str, every: str, kind: str | None, install: bool, remove: bool, show: bool,
    db: Path | None, config: Path | None,
) -> None:  # fmt: skip
    """Let `tagger run` happen by itself: with systemd, cron, launchd, or Windows' Task Scheduler.

    Prints what --install would put in force. A run has the least priority, makes way for another that is
    still at work, and says nothing unless there is trouble. Without PATH it is for the folders of the
    configuration, as they are at that time.

    Example: tagger schedule --at 02:00 --install
    """
    from tagger.schedule import KINDS, When, find_kind, usual_kind
    from tagger.schedule.job import job_name, parse_at, parse_every

    if install + remove + show > 1:
        raise click.UsageError("Which one? --install, --remove and --show exclude each other.")
    if show:
        _show()
        return
    library = library_chosen() or os.environ.get("TAGGER_LIBRARY", "")
    if remove:  # whatever the configuration says by now
        notes = [note for how in ([kind] if kind else KINDS) for note in KINDS[how].remove(job_name(library))]
        click.echo("\n".join(notes) or "Nothing was planned.")
        return
    settings = load_settings(config, db=db)
    when = When(_parsed(parse_at, at, "--at"), _parsed(parse_every, every, "--every"))
    job = _job(settings, absolute(paths), when, db, config, library)
    if not install:
        kind = kind or next((how for how, found in KINDS.items() if found.available()), usual_kind())
        click.echo(KINDS[kind].text(job), nl=False)
        click.echo(f"# For {kind}; nothing was changed: --install puts it in force.", err=True)
    else:
        for note in KINDS[kind or find_kind()].install(job):
            click.echo(note)
        _show()
    _warn_of_environment()


def _job(
    settings: Config,
    folders: tuple[bytes, ...],
    when: object,
    db: Path | None,
    config: Path | None,
    library: str,
) -> Job:
    from tagger.config import default_log_path
    from tagger.schedule import Job, When
    from tagger.schedule.job import program

    assert isinstance(when, When)
    if not folders and not settings.paths:
        raise click.UsageError(
            "Which folder? Name one, or set paths in the configuration (tagger config init)."
        )
    argv: list[bytes] = []
    # What starts it has neither this directory nor this environment.
    if config or (named := os.environ.get("TAGGER_CONFIG")) or os.environ.get("XDG_CONFIG_HOME"):
        from tagger.config import default_config_path

        argv += [b"--config", os.path.abspath(os.fsencode(config or named or default_config_path()))]
    if db or os.environ.get("TAGGER_DB") or os.environ.get("XDG_DATA_HOME"):
        argv += [b"--db", os.fsencode(settings.db)]
    if library:
        argv += [b"--library", library.encode()]
    if folders:
        argv += [b"--", *folders]
    command = (*program(), b"run", b"--quiet")
    return Job(command, tuple(argv), when, os.fsencode(default_log_path()), library)


def _parsed(parse: Callable[[str], T], text: str, option: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(f"Option {option}: {error}.") from None


def _show() -> None:
    from tagger.schedule import planned

    found = planned()
    for item in found:
        when = f"next {item.next:%a %d %b %Y %H:%M}" if item.next else "next run not known"
        click.echo(
            f"{item.kind}: {when}: {item.what}{'' if item.ours else '  (not made by tagger schedule)'}"
        )
    if not found:
        click.echo("Nothing is planned.")


def _warn_of_environment() -> None:
    from tagger.config.settings import SETTINGS

    lost = [name for key in SETTINGS if key != "db" and os.environ.get(name := f"TAGGER_{key.upper()}")]
    if lost:
        click.echo(
            f"{', '.join(lost)}: set here, but not for the planned run; put it into the configuration.",
            err=True,
        )
