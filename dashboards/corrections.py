"""What pages do to labels and files: each function opens and closes the database, under the lock of runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tagger.atlas import make_map
from tagger.config import Config
from tagger.correct import Correction, correct_tracks
from tagger.errors import StoreError
from tagger.job import RunSummary, Told, run_lock
from tagger.store import Store
from tagger.tracks import Outcome
from tagger.undo import undo_edit, undo_run


@contextmanager
def _writable(db: Path) -> Iterator[Store]:
    """The database under the lock of runs; it must exist."""
    if not db.exists():
        raise StoreError(f"There is no database at {os.fspath(db)} any more.")
    with run_lock(db), Store.open(db) as store:
        yield store


def correct(config: Config, track_id: int, label: str, *, into_file: bool) -> Outcome:
    """Record the genre a person gives one track, and write it where wanted. See `correct_tracks`.

    Raises
    ------
    LockedError
        A run is going on.
    StoreError
        The database cannot be written, or has no such track.
    ConfigError
        The genre cannot stand in a file.
    """
    told = Told()
    with _writable(config.db) as store:
        row = store.track(track_id)
        if row is None:
            raise StoreError("This track is not in the database any more.")
        correct_tracks(store, [Correction(row, (label,))], config, into_files=into_file, tell=told.outcome)
    return told.outcomes[0]


def draw_map(config: Config) -> None:
    """Compute the map of the library and store it.

    Raises
    ------
    LockedError
        A run is going on.
    StoreError
        The database cannot be written, or nothing was heard yet.
    """
    with _writable(config.db) as store:
        make_map(store)


def take_back(config: Config, edit_id: int) -> Outcome:
    """Undo one change of one file.

    Raises
    ------
    LockedError
        A run is going on.
    StoreError
        The change is not in force, or the database cannot be written.
    """
    told = Told()
    with _writable(config.db) as store:
        undo_edit(store, edit_id, told, preserve_mtime=config.preserve_mtime)
    return told.outcomes[0]


def take_back_run(config: Config, run_id: int) -> tuple[RunSummary, list[Outcome]]:
    """Undo all changes of a run; the outcomes are those of its files.

    Raises
    ------
    LockedError
        A run is going on.
    StoreError
        There is no such run, or the database cannot be written.
    """
    told = Told()
    with _writable(config.db) as store:
        summary = undo_run(store, run_id, told, preserve_mtime=config.preserve_mtime)
    return summary, told.outcomes
