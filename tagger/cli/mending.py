"""The commands that mend: undo, verify, prune."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagger.cli.common import BYTES_FILE, COUNT, JSON, load_settings, settings_options
from tagger.cli.filtering import known_paths
from tagger.cli.report import RunReport, tracks
from tagger.cli.runs import output_options
from tagger.errors import StoreError
from tagger.tracks import display

if TYPE_CHECKING:
    from tagger.config import Config
    from tagger.store import Store


@contextmanager
def _existing(settings: Config, *, read_only: bool) -> Iterator[Store]:
    """The database, under the lock unless it is only read.

    Raises
    ------
    StoreError
        There is none yet.
    """
    from tagger.job import run_lock
    from tagger.store import Store

    if not settings.db.exists():
        raise StoreError(f"There is no database at {settings.db} yet; `tagger run FOLDER` makes it.")
    with ExitStack() as stack:
        if not read_only:
            stack.enter_context(run_lock(settings.db))
        yield stack.enter_context(Store.open(settings.db, read_only=read_only))


def _ask(question: str, *, yes: bool) -> None:
    """Go on only if the user agrees.

    Raises
    ------
    click.UsageError
        Nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here; say --yes to go ahead, or --dry-run to look.")
    click.confirm(question, abort=True, err=True)


@click.command()
@click.argument("run_id", metavar="[RUN]", type=COUNT, required=False)
@click.option(
    "--in",
    "folders",
    multiple=True,
    type=BYTES_FILE,
    metavar="PATH",
    help="Only files below this folder, of all runs or of RUN.",
)
@click.option("--genre", help="Only where this genre was written, by all runs or by RUN.")
@click.option("-n", "--dry-run", "--pretend", "dry_run", is_flag=True, help="Show what would be put back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--preserve-mtime/--no-preserve-mtime", default=None, help="Keep the time of modification.")
@output_options
@settings_options
def undo(
    run_id: int | None, folders: tuple[bytes, ...], genre: str | None, dry_run: bool, yes: bool,
    preserve_mtime: bool | None, as_json: bool, quiet: bool, verbose: bool, db: Path | None,
    config: Path | None,
) -> None:  # fmt: skip
    """Put back the genres that were replaced: by the last run that wrote, or by the one given.

    A file whose genre somebody changed since is left alone. An undo is a run too, and can be undone by its
    number.

    Example: tagger undo 12 --in ~/Music/Jazz --dry-run
    """
    from tagger.undo import edits_to_undo, undo_edits

    settings = load_settings(config, db=db, preserve_mtime=preserve_mtime)
    with _existing(settings, read_only=dry_run) as store:
        if run_id is None and not folders and genre is None:
            run_id = store.latest_write_run()
            if run_id is None:
                raise StoreError(
                    "No run has written a genre that is still in force: there is nothing to undo."
                )
        edits = edits_to_undo(store, run_id=run_id, folders=known_paths(store, folders), genre=genre)
        _ask(f"Put back {len(edits):,} genres?", yes=yes or dry_run)
        report = RunReport(
            roots=(), as_json=as_json, quiet=quiet, verbose=verbose, dry_run=dry_run, jobs=1, deed="put back"
        )
        why = {"undoes": run_id, "in": [display(folder) for folder in folders], "genre": genre}
        with report:
            summary = undo_edits(
                store, edits, report, why, dry_run=dry_run, preserve_mtime=settings.preserve_mtime
            )
        report.summary(summary)
    sys.exit(summary.exit_code)


@click.command()
@click.option("--fix", is_flag=True, help="Settle what can be settled.")
@JSON
@settings_options
def verify(fix: bool, as_json: bool, db: Path | None, config: Path | None) -> None:
    """Hold the database against itself and the files: damage, unfinished edits, genres changed by others.

    Example: tagger verify --fix
    """
    from tagger.verify import describe
    from tagger.verify import verify as look

    n_left = n = 0
    with _existing(load_settings(config, db=db), read_only=not fix) as store:
        for finding in look(store, fix=fix):
            n += 1
            n_left += not finding.fixed
            line = {
                "kind": finding.kind,
                "path": os.fsdecode(finding.path),
                "what": finding.what,
                "fixed": finding.fixed,
            }
            click.echo(json.dumps(line) if as_json else describe(finding))
    if not as_json:
        click.echo(f"{n:,} findings, {n - n_left:,} of them fixed." if n else "Everything agrees.")
    sys.exit(1 if n_left else 0)


@click.command()
@click.option("-n", "--dry-run", "--pretend", "dry_run", is_flag=True, help="Only say how many there are.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even if more than half of the library is missing.")
@settings_options
def prune(dry_run: bool, yes: bool, force: bool, db: Path | None, config: Path | None) -> None:
    """Forget the tracks that are gone from their folders. What was written to them stays in the journal.

    Example: tagger prune --dry-run
    """
    from tagger.store import TrackFilter

    with _existing(load_settings(config, db=db), read_only=dry_run) as store:
        n = store.count_tracks(TrackFilter(missing=True))
        if not n:
            click.echo("No track is missing.")
        elif dry_run:
            click.echo(f"{tracks(n)} would be forgotten: tagger ls --missing")
        else:
            _ask(f"Forget {tracks(n)}?", yes=yes)
            click.echo(f"{tracks(store.prune_missing(force=force))} forgotten.")
