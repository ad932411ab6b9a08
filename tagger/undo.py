"""Put back the genres a run replaced, file by file, unless somebody changed them since."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from tagger import __version__
from tagger.errors import StoreError, TagError
from tagger.job import Report, RunSummary
from tagger.replace import FileStat
from tagger.rows import EditRow
from tagger.store import Store
from tagger.tags import read_tags
from tagger.tracks import Outcome, Status, TagEdit
from tagger.writing import Subject, apply_edit, settle_unfinished, without_path


def undo_run(
    store: Store, run_id: int, report: Report, *, dry_run: bool = False, preserve_mtime: bool = False
) -> RunSummary:
    """Take back every edit of a run that is still in force, the latest first.

    An undo is a run of its own, and so can be undone. A file that is put back keeps its place among the
    decided: the next run does not tag it again until the settings, the model or the file change.

    Raises
    ------
    StoreError
        There is no such run, or the database cannot be written.
    """
    if store.run(run_id) is None:
        raise StoreError(f"There is no run {run_id}; `tagger runs` lists them.")
    if not dry_run:
        settle_unfinished(store)
    edits = list(reversed(store.edits_of_run(run_id, state="done")))
    return _undo(store, edits, {"undoes": run_id}, report, dry_run=dry_run, preserve_mtime=preserve_mtime)


def undo_edit(store: Store, edit_id: int, report: Report, *, preserve_mtime: bool = False) -> RunSummary:
    """Take back one edit of a file, as a run of its own.

    Raises
    ------
    StoreError
        There is no such edit in force, or the database cannot be written.
    """
    settle_unfinished(store)
    edit = store.edit(edit_id)
    if edit is None or edit.state != "done":
        raise StoreError("This change is not in force any more, so there is nothing to undo.")
    return _undo(
        store, [edit], {"undoes_edit": edit_id}, report, dry_run=False, preserve_mtime=preserve_mtime
    )


def _undo(
    store: Store,
    edits: list[EditRow],
    options: Mapping[str, object],
    report: Report,
    *,
    dry_run: bool,
    preserve_mtime: bool,
) -> RunSummary:
    started_s = time.monotonic()
    report.planned(len(edits), 0)
    counts: Counter[Status] = Counter()
    undo_id = 0
    state = "failed"
    if not dry_run:
        undo_id = store.begin_run("undo", model_id=None, options=options, version=__version__)
    try:
        for edit in edits:
            outcome = _undo_edit(store, undo_id, edit, dry_run=dry_run, preserve_mtime=preserve_mtime)
            counts[outcome.status] += 1
            report.outcome(outcome)
        state = "done"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        summary = RunSummary(undo_id, dict(counts), 0, 0, time.monotonic() - started_s)
        if not dry_run:
            code = {"done": summary.exit_code, "interrupted": 130}.get(state, 3)
            by_name = {status.value: n for status, n in counts.items()}
            store.finish_run(undo_id, state=state, exit_code=code, counts=by_name)  # type: ignore[arg-type]
    return summary


def _undo_edit(store: Store, undo_id: int, row: EditRow, *, dry_run: bool, preserve_mtime: bool) -> Outcome:
    path = row.track_path or row.path
    try:
        tags, stat = read_tags(path), FileStat.of(path)
    except TagError as error:
        return Outcome(path, Status.FAILED, without_path(path, str(error)))
    except OSError as error:
        return Outcome(path, Status.FAILED, f"cannot be read: {error.strerror}")
    if tags.state != row.edit.after:
        has = ", ".join(tags.genres) or "no genre"
        return Outcome(
            path, Status.KEPT, f"has {has}, which somebody wrote since", before=tags.genres, after=tags.genres
        )
    done = Outcome(
        path,
        Status.TAGGED,
        f"put back by undo of run {row.run_id}",
        before=tags.genres,
        after=row.edit.before.values,
    )
    if dry_run or row.track_id is None:
        return done
    track = store.track(row.track_id)
    return apply_edit(
        store,
        undo_id,
        Subject(path, row.track_id, stat, None, tags),
        TagEdit(before=row.edit.after, after=row.edit.before),
        done,
        settings_key=track.settings_key if track else "",
        preserve_mtime=preserve_mtime,
        hardlinks=False,
        undoes=row.id,
    )
