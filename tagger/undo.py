"""Put back the genres that were replaced, file by file, unless somebody changed them since.

An undo is a run of its own, and so can be undone. A file that is put back keeps its place among the decided:
the next run does not tag it again until the settings, the model or the file change.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tagger import __version__
from tagger.errors import StoreError, TagError
from tagger.extras import taken_back
from tagger.genres import same_genre
from tagger.job import Report, RunSummary
from tagger.labels import take_back_label
from tagger.places import prefix
from tagger.replace import FileStat
from tagger.store import Store
from tagger.store.rows import EditRow, RunState
from tagger.tags import read_tags
from tagger.tracks import GenreState, Outcome, Status, TagEdit
from tagger.writing import Subject, apply_edit, settle_unfinished, without_path


def edits_to_undo(
    store: Store, *, run_id: int | None = None, folders: Sequence[bytes] = (), genre: str | None = None
) -> list[EditRow]:
    """The edits in force that answer to every condition given, the latest first.

    Parameters
    ----------
    run_id
        Of this run. The edits of an undo can be named in this way only.
    folders
        Of files below these, or of these files.
    genre
        That wrote this genre, in any spelling.

    Raises
    ------
    StoreError
        There is no such run.
    """
    if run_id is None:
        edits = store.edits_in_force()
    elif store.run(run_id) is None:
        raise StoreError(f"There is no run {run_id}; `tagger runs` lists them.")
    else:
        edits = store.edits_of_run(run_id, state="done")
    if folders:
        below = tuple(map(prefix, folders))
        edits = [edit for edit in edits if edit.now_at.startswith(below) or edit.now_at in folders]
    if genre is not None:
        edits = [edit for edit in edits if any(same_genre(genre, name) for name in edit.edit.after.names)]
    return edits


def undo_run(
    store: Store, run_id: int, report: Report, *, dry_run: bool = False, preserve_mtime: bool = False
) -> RunSummary:
    """Take back every edit of a run that is in force. See `undo_edits`."""
    edits = edits_to_undo(store, run_id=run_id)
    return undo_edits(
        store, edits, report, {"undoes": run_id}, dry_run=dry_run, preserve_mtime=preserve_mtime
    )


def undo_edit(store: Store, edit_id: int, report: Report, *, preserve_mtime: bool = False) -> RunSummary:
    """Take back one edit of a file. See `undo_edits`.

    Raises
    ------
    StoreError
        There is no such edit in force.
    """
    edit = store.edit(edit_id)
    if edit is None or edit.state != "done":
        raise StoreError("This change is not in force any more, so there is nothing to undo.")
    return undo_edits(store, [edit], report, {"undoes_edit": edit_id}, preserve_mtime=preserve_mtime)


def undo_edits(
    store: Store,
    edits: Sequence[EditRow],
    report: Report,
    options: Mapping[str, object],
    *,
    dry_run: bool = False,
    preserve_mtime: bool = False,
) -> RunSummary:
    """Take back these edits, in this order.

    Parameters
    ----------
    options
        What the database remembers of why.
    dry_run
        Change neither files nor database; the store may be open read-only.

    Raises
    ------
    StoreError
        The database cannot be written.
    """
    started_s = time.monotonic()
    if not dry_run:
        settle_unfinished(store)
    report.planned(len(edits), 0)
    counts: Counter[Status] = Counter()
    undo_id = 0
    state: RunState = "failed"
    if not dry_run:
        undo_id = store.begin_run("undo", model_id=None, options=options, version=__version__)
    try:
        for edit in edits:
            outcome = _undo(store, undo_id, edit, dry_run=dry_run, preserve_mtime=preserve_mtime)
            counts[outcome.status] += 1
            report.outcome(outcome)
        state = "done"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        summary = RunSummary(undo_id, dict(counts), 0, 0, time.monotonic() - started_s)
        if not dry_run:
            _finish(store, summary, state)
    return summary


def _finish(store: Store, summary: RunSummary, state: RunState) -> None:
    code = {"done": summary.exit_code, "interrupted": 130}.get(state, 3)
    counts = {status.value: n for status, n in summary.counts.items()}
    store.finish_run(summary.run_id, state=state, exit_code=code, counts=counts)


def _who_wrote(store: Store, row: EditRow, state: GenreState) -> str:
    """Of a genre that is not what an edit left: whose it is, as far as the journal knows."""
    later = [] if row.track_id is None else store.edits_of_track(row.track_id)
    for edit in later:
        if edit.id > row.id and edit.state == "done" and edit.edit.after == state:
            return f"which run {edit.run_id} wrote; undo that one first"
    return "which somebody wrote since"


def _undo(store: Store, undo_id: int, row: EditRow, *, dry_run: bool, preserve_mtime: bool) -> Outcome:
    path = row.now_at
    try:
        tags, stat = read_tags(path), FileStat.of(path)
    except TagError as error:
        return Outcome(path, Status.FAILED, without_path(path, str(error)))
    except OSError as error:
        return Outcome(path, Status.FAILED, f"cannot be read: {error.strerror}")
    if tags.state != row.edit.after:
        reason = f"has {', '.join(tags.genres) or 'no genre'}, {_who_wrote(store, row, tags.state)}"
        return Outcome(path, Status.KEPT, reason, before=tags.genres, after=tags.genres)
    former = row.edit.before.names
    done = Outcome(path, Status.TAGGED, "put back", before=tags.genres, after=former)
    if dry_run:
        return done
    track = None if row.track_id is None else store.track(row.track_id)
    key = track.settings_key if track else ""
    outcome = apply_edit(
        store,
        undo_id,
        Subject(path, row.track_id, stat, None, tags),
        TagEdit(row.edit.after, row.edit.before, taken_back(row.edit, tags.extras or {})),
        done,
        settings_key=key,
        preserve_mtime=preserve_mtime,
        hardlinks=False,
        undoes=row.id,
    )
    if outcome == done:
        take_back_label(store, row)
    if outcome == done and track is not None and row.undoes is None:
        # The run's history says what it did; of the track nobody shall say that it is tagged.
        as_it_was = replace(done, status=Status.UNCHANGED)
        store.set_outcome(undo_id, track.id, as_it_was, settings_key=key)
    return outcome
