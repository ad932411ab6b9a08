"""The commands that take a person's word: correct, import."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagger.cli.common import (
    BYTES_FILE,
    EMPTY_NAME,
    JSON,
    load_settings,
    model_dir,
    outcome_json,
    settings_options,
)
from tagger.cli.imported import show_import
from tagger.cli.report import tracks
from tagger.tracks import Outcome, Status, display

Tell = Callable[[Outcome], None]

if TYPE_CHECKING:
    from tagger.config import Config
    from tagger.store import Store


@click.command()
@click.argument("words", nargs=-1, metavar="FILE... GENRE", type=click.Path(path_type=bytes))
@click.option("--no-write", is_flag=True, help="Only remember it; leave the files as they are.")
@click.option("--forget", is_flag=True, help="Forget what was said of these files; no GENRE is given then.")
@JSON
@settings_options
def correct(
    words: tuple[bytes, ...], no_write: bool, forget: bool, as_json: bool, db: Path | None,
    config: Path | None,
) -> None:  # fmt: skip
    """Say what genre files really have: it is written into them, and remembered as your word.

    Several genres are separated by commas. A file the database does not know yet is listened to first.
    `tagger undo` takes a correction back.

    \b
    Example: tagger correct "01 Intro.mp3" Ambient
             tagger correct *.flac "Jazz, Blues"
    """
    from tagger.correct import Correction, correct_tracks
    from tagger.job import run_lock
    from tagger.labels import written_name
    from tagger.store import Store

    paths, genres = (words, ()) if forget else _split(words)
    if not paths:
        raise click.UsageError('Which file, and which genre? Try `tagger correct song.mp3 "Jazz"`.')
    if not all(paths):
        raise click.UsageError(EMPTY_NAME)
    settings = load_settings(config, db=db)
    for genre in genres:
        written_name(genre, settings.genres)  # refused before anything is opened
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        _say(outcome, as_json=as_json)

    with ExitStack() as stack:
        stack.enter_context(run_lock(settings.db))
        store = stack.enter_context(Store.open(settings.db))
        known = _known(store, paths, settings, tell, listen=not forget)
        rows = [row for path in known if (row := store.find(path)) is not None]
        if forget:
            for row in rows:
                store.set_labels(row.id, (), "user")
                tell(
                    Outcome(row.path, Status.KEPT, "what was said of it is forgotten; the file is as it was")
                )
            run_id = 0
        else:
            given = [Correction(row, genres) for row in rows]
            run_id = correct_tracks(store, given, settings, into_files=not no_write, tell=tell).run_id
    n_failed = sum(outcome.status.is_failure for outcome in outcomes)
    n_written = sum(outcome.status is Status.TAGGED for outcome in outcomes)
    if n_written and not as_json:
        click.echo(f"{tracks(n_written)} corrected. To put back what was there: tagger undo {run_id}")
    sys.exit(1 if n_failed else 0)


def _split(words: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Files and genres."""
    *paths, last = words or (b"",)
    from tagger.formats.sniff import by_suffix
    from tagger.labels import split_genres

    # A file that is not there is a slip, and no genre is called like one.
    if paths and (by_suffix(last) or os.path.isfile(last)):
        raise click.UsageError(
            f"The genre comes last, and {display(last)} is a file's name. Try `tagger correct FILE Jazz`."
        )
    return tuple(paths), split_genres(os.fsdecode(last))


def _known(
    store: Store, paths: tuple[bytes, ...], settings: Config, tell: Tell, *, listen: bool
) -> list[bytes]:
    """Real paths of the files that the database knows or comes to know; of the others it is told why."""
    from tagger.correct import is_news, scan_files
    from tagger.files import explain

    files: dict[bytes, bool] = {}
    for path in paths:
        real = os.path.realpath(path)
        if os.path.isdir(real):
            example = display(os.path.join(path, b"*"))
            tell(Outcome(path, Status.FAILED, f"is a folder: name the files in it, as {example} does"))
            continue
        try:
            files[real] = is_news(store, real)
        except OSError as error:
            tell(Outcome(path, Status.FAILED, explain(error)))
    if listen and any(files.values()):
        news = [path for path, new in files.items() if new]
        for outcome in scan_files(store, news, settings, model_dir(settings.model)):
            tell(outcome)
    known = [path for path in files if store.find(path) is not None]
    if not listen:
        for path in files.keys() - known:
            tell(Outcome(path, Status.FAILED, "is not in the database"))
    return known


def _say(outcome: Outcome, *, as_json: bool) -> None:
    """One line a file."""
    if as_json:
        click.echo(outcome_json(outcome))
        return
    name = display(outcome.path)
    if outcome.status is Status.TAGGED:
        before, after = (", ".join(genres) or "no genre" for genres in (outcome.before, outcome.after))
        click.echo(f"{name}: {before} -> {after}")
    else:
        status = outcome.status.value.replace("_", " ")
        click.echo(f"{name}: {status}: {outcome.reason}", err=outcome.status.is_failure)


@click.command("import")
@click.argument("file", type=BYTES_FILE, metavar="FILE.csv")
@click.option("-n", "--dry-run", "--pretend", "dry_run", is_flag=True, help="Only say what would be taken.")
@click.option("--write", is_flag=True, help="Write the genres into the files, too.")
@JSON
@settings_options
def import_csv(
    file: bytes, dry_run: bool, write: bool, as_json: bool, db: Path | None, config: Path | None
) -> None:
    """Take corrections from a CSV file with the columns path and genre.

    They are remembered as yours; the files are left alone unless --write is given. Several genres are
    separated by commas or semicolons. Lines without a genre are passed over, so an export with a few genres
    filled in will do.

    \b
    Example: tagger export -o all.csv         # fill in the column genre, then:
             tagger import all.csv --dry-run
    """
    from tagger.correct import Correction, correct_tracks
    from tagger.errors import StoreError
    from tagger.intake import match, read_lines
    from tagger.job import run_lock
    from tagger.store import Store

    settings = load_settings(config, db=db)
    lines = read_lines(file)
    if not settings.db.exists():
        raise StoreError(f"There is no database at {settings.db} yet; `tagger run FOLDER` makes it.")
    outcomes: list[Outcome] = []
    run_id = 0
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(run_lock(settings.db))
        store = stack.enter_context(Store.open(settings.db, read_only=dry_run))
        folder = os.path.dirname(os.path.realpath(file))
        matched = match(store, lines, settings, folder=folder, write=write)
        taken = [Correction(line.track, line.genres) for line in matched if line.track and not line.left_out]
        if taken and not dry_run:
            run_id = correct_tracks(
                store, taken, settings, into_files=write, source="import", tell=outcomes.append
            ).run_id
    show_import(matched, outcomes, as_json=as_json, dry_run=dry_run, write=write, run_id=run_id)
    n_failed = sum(line.failed for line in matched) + sum(outcome.status.is_failure for outcome in outcomes)
    sys.exit(1 if n_failed else 0)
