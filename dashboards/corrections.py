"""A person's word on a track: stored as a reference label and, where wanted, written into the file.

Every function here takes the lock of runs, so none of them works beside a run, and files are changed by the
same journalled, proved write as in a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tagger import __version__
from tagger.config import Config
from tagger.errors import ConfigError, StoreError, TagError
from tagger.genres import display_name, name_problem, same_genre
from tagger.job import RunSummary, run_lock
from tagger.replace import FileStat
from tagger.store import Store
from tagger.store.rows import TrackRow
from tagger.tags import genre_state, read_tags
from tagger.tracks import Outcome, Status, TagEdit
from tagger.undo import undo_edit, undo_run
from tagger.writing import Subject, apply_edit, settle_unfinished, without_path


@dataclass(slots=True)
class Told:
    """A report that keeps what it is told, for a page to show."""

    outcomes: list[Outcome] = field(default_factory=list)

    def planned(self, n_found: int, n_to_listen: int) -> None:
        """Nothing to show before it is done."""

    def listened(self) -> None:
        """Nothing is listened to here."""

    def outcome(self, outcome: Outcome) -> None:
        """Keep it."""
        self.outcomes.append(outcome)

    def warn(self, message: str) -> None:
        """Nothing here warns."""


@contextmanager
def _writable(db: Path) -> Iterator[Store]:
    """The database under the lock of runs; it must exist."""
    if not db.exists():
        raise StoreError(f"There is no database at {db} any more.")
    with run_lock(db), Store.open(db) as store:
        yield store


def name_for(label: str, config: Config) -> str:
    """The name a genre has in files: the user's own for a label of the model, else as typed.

    Raises
    ------
    ConfigError
        It cannot stand in a file as one genre.
    """
    typed = label.strip()
    if problem := name_problem(typed):
        raise ConfigError(f"This genre {problem}.")
    return display_name(typed, config.genres, whitelist=()) or typed


def correct(config: Config, track_id: int, label: str, *, into_file: bool) -> Outcome | None:
    """Record the genre a person gives a track, and write it where wanted.

    Parameters
    ----------
    label : str
        A label of the model, or a genre of the person's own.
    into_file : bool
        Write it into the file too, as its only genre.

    Returns
    -------
    Outcome or None
        What became of the file; None where it was not to be written. The label is stored in any case.

    Raises
    ------
    LockedError
        A run is going on.
    StoreError
        The database cannot be written, or has no such track.
    ConfigError
        The genre cannot stand in a file.
    """
    name = name_for(label, config)
    with _writable(config.db) as store:
        row = store.track(track_id)
        if row is None:
            raise StoreError("This track is not in the database any more.")
        store.add_label(track_id, label.strip(), "user")
        return _write(store, row, name, config) if into_file else None


def _write(store: Store, row: TrackRow, name: str, config: Config) -> Outcome:
    settle_unfinished(store)
    try:
        tags, stat = read_tags(row.path), FileStat.of(row.path)
    except TagError as error:
        return Outcome(row.path, Status.FAILED, without_path(row.path, str(error)))
    except OSError as error:
        return Outcome(row.path, Status.FAILED, f"cannot be read: {error.strerror}")
    if len(tags.genres) == 1 and same_genre(tags.genres[0], name):
        return Outcome(
            row.path, Status.KEPT, f"has {tags.genres[0]} already", before=tags.genres, after=tags.genres
        )
    done = Outcome(
        row.path,
        Status.TAGGED,
        f"corrected to {name}",
        genre=name,
        confidence=1.0,
        before=tags.genres,
        after=(name,),
    )
    run_id = store.begin_run("write", model_id=None, options={"correction": name}, version=__version__)
    outcome = None
    try:
        outcome = apply_edit(
            store,
            run_id,
            Subject(row.path, row.id, stat, row.digest, tags),
            TagEdit(tags.state, genre_state((name,), like=tags.state)),
            done,
            settings_key=row.settings_key,
            preserve_mtime=config.preserve_mtime,
            hardlinks=config.hardlinks == "write",
        )
        return outcome
    finally:
        counts = {} if outcome is None else {outcome.status.value: 1}
        code = 3 if outcome is None else int(outcome.status.is_failure)
        state = "failed" if outcome is None else "done"
        store.finish_run(run_id, state=state, exit_code=code, counts=counts)  # type: ignore[arg-type]


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
