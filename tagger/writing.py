"""One file's edit under the journal: intended and committed, the file replaced, done and committed.

The sole caller of `write_genre`. `settle_unfinished` puts right what a killed run left in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tagger.errors import ChangedMeanwhileError, RefusedError, TagError
from tagger.extras import plan_extras
from tagger.replace import FileStat, sweep, write_genre
from tagger.store import Store, TrackRow
from tagger.tags import genre_state, read_tags
from tagger.tracks import ONLY_ID3V1, ExtraTag, FileTags, GenreState, Outcome, Status, TagEdit, display


@dataclass(frozen=True, slots=True)
class Subject:
    """A file to be edited, as it was when its tags were read."""

    path: bytes
    track_id: int | None
    """None in a dry run, and where the database has forgotten the track."""
    stat: FileStat
    digest: bytes | None
    """Of its coded audio, when known: what is written must still have it."""
    tags: FileTags


def subject_of(row: TrackRow) -> Subject:
    """A file as the database knows it; nothing is opened."""
    tags = FileTags(row.container, row.file_state or GenreState(), row.file_genres)
    return Subject(row.path, row.id, FileStat(row.size_bytes, row.mtime_ns), row.digest, tags)


def edit_of(subject: Subject, names: Sequence[str], extras: Mapping[ExtraTag, str] | None = None) -> TagEdit:
    """What gives a file these genres, and the extra fields that tell of them.

    Parameters
    ----------
    names
        As for `genre_state`.
    extras
        What the extra fields are to say: see `tagger.extras`. Nothing where a genre is a person's word.
    """
    state = subject.tags.state
    if state.values[:1] and state.values[0].startswith(ONLY_ID3V1):  # which has no place for more
        return TagEdit(state, genre_state(names, like=state))
    found = subject.tags.extras
    if found is None:
        try:
            found = read_tags(subject.path).extras
        except (TagError, OSError):  # who writes will meet it too, and say what it is
            found = None
    return TagEdit(state, genre_state(names, like=state), plan_extras(found or {}, extras or {}))


def apply_edit(
    store: Store,
    run_id: int,
    subject: Subject,
    edit: TagEdit,
    done: Outcome,
    *,
    settings_key: str,
    preserve_mtime: bool,
    hardlinks: bool,
    undoes: int | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Outcome:
    """Change one file's genre field and record it.

    Parameters
    ----------
    done
        The outcome when all goes well.
    settings_key
        See `Store.set_outcome`.
    undoes
        Id of the edit this one takes back.
    on_step
        Called after each step with its name: ``copied``, ``edited``, ``verified``, ``fsynced``, ``replaced``,
        ``recorded``. For tests.

    Returns
    -------
    Outcome
        `done`, or why the file was left as it was.

    Raises
    ------
    StoreError
        The database cannot be written.
    """
    edit_id = store.intend(
        run_id,
        subject.track_id,
        subject.path,
        edit,
        size_bytes=subject.stat.size_bytes,
        mtime_ns=subject.stat.mtime_ns,
        undoes=undoes,
    )
    try:
        written = write_genre(
            subject.path,
            edit,
            expected=subject.stat,
            digest=subject.digest,
            preserve_mtime=preserve_mtime,
            hardlinks=hardlinks,
            on_step=on_step,
        )
    except TagError as error:
        outcome = replace(
            done, status=_status(error), reason=without_path(subject.path, str(error)), after=()
        )
        with store.transaction():
            store.settle(edit_id, "abandoned")
            if subject.track_id is not None:
                store.set_outcome(run_id, subject.track_id, outcome, settings_key=settings_key)
        return outcome
    with store.transaction():
        store.settle(
            edit_id,
            "done",
            size_bytes=written.size_bytes,
            mtime_ns=written.mtime_ns,
            file_genres=done.after,
        )
        if subject.track_id is not None:
            store.set_outcome(run_id, subject.track_id, done, settings_key=settings_key)
    if on_step is not None:
        on_step("recorded")
    return done


def settle_unfinished(store: Store) -> int:
    """Find out what became of the edits a killed run intended, and remove the copies it left.

    The files themselves tell: each is either as it was or as intended, unless somebody else changed it since.
    A file that is not there, or cannot be read, tells nothing yet: its disk may come back, or a scan may find
    it under another name. Its edit stays as it is until then, or until the track is forgotten.

    Returns
    -------
    int
        How many edits there were.
    """
    edits = store.unsettled()
    for folder in {
        os.path.dirname(os.path.realpath(path)) for row in edits for path in (row.path, row.now_at)
    }:
        sweep(folder)
    for row in edits:
        try:
            tags, stat = read_tags(row.now_at), FileStat.of(row.now_at)
        except (TagError, OSError):
            if row.track_id is None:
                store.settle(row.id, "abandoned")
            continue
        # Where the genre alone does not tell, the extra fields do.
        if tags.state == row.edit.after and (tags.state != row.edit.before or row.edit.is_done(tags)):
            store.settle(
                row.id, "done", size_bytes=stat.size_bytes, mtime_ns=stat.mtime_ns, file_genres=tags.genres
            )
        else:
            store.settle(row.id, "abandoned" if tags.state == row.edit.before else "superseded")
    return len(edits)


def without_path(path: bytes, message: str) -> str:
    """An error's message without the file's name, which is shown beside it."""
    return message.removeprefix(f"{display(path)}: ")


def _status(error: TagError) -> Status:
    if isinstance(error, RefusedError):
        return Status.REFUSED
    return Status.CHANGED_MEANWHILE if isinstance(error, ChangedMeanwhileError) else Status.FAILED
