"""A person's word on tracks: stored as reference labels and, where wanted, written into the files.

Files are changed by the same journalled, proved write as in a run, and all files of one correction are one
run in the history, so that `tagger undo` takes back the whole. Who calls holds the lock of runs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagger import __version__
from tagger.config import Config
from tagger.errors import TagError
from tagger.genres import same_genre
from tagger.job import RunSummary, Told
from tagger.labels import options_of, written_name
from tagger.replace import FileStat
from tagger.store import Store
from tagger.store.rows import LabelSource, RunState, TrackRow
from tagger.tags import read_tags
from tagger.tracks import FileTags, Outcome, Status, display
from tagger.writing import Subject, apply_edit, edit_of, settle_unfinished, without_path


@dataclass(frozen=True, slots=True)
class Correction:
    """The genres a person gives one track, as labels of the model or names of their own."""

    track: TrackRow
    genres: tuple[str, ...]


def is_news(store: Store, path: bytes) -> bool:
    """Whether a file must be scanned before it can be corrected: it is new, or not as it was when heard.

    Raises
    ------
    OSError
        There is no such file.
    """
    stat = FileStat.of(path)
    row = store.find(path)
    return row is None or row.missing_since_ns is not None or FileStat(row.size_bytes, row.mtime_ns) != stat


def scan_files(store: Store, paths: Sequence[bytes], config: Config, model_dir: Path) -> list[Outcome]:
    """Listen to files that `is_news` names and remember them, as `tagger scan` does.

    Returns
    -------
    list of Outcome
        Of those that the database does not know even now, with the reason.

    Raises
    ------
    ModelError
        There is no such model, or it is damaged.
    """
    from tagger.batch import run_batch
    from tagger.job import RunOptions
    from tagger.model import load_model

    card = load_model(model_dir).card
    options = RunOptions(
        roots=tuple(paths),
        model_dir=str(model_dir),
        jobs=config.jobs or os.cpu_count() or 1,
        write=False,
        retry=True,
        track_limit_s=config.track_limit,
    )
    told = Told()
    run_batch(store, card, options, told)
    why = {outcome.path: outcome for outcome in told.outcomes}
    unknown = [path for path in paths if store.find(path) is None]
    return [why.get(path) or _not_music(path, told.warnings) for path in unknown]


def _not_music(path: bytes, warnings: Sequence[str]) -> Outcome:
    """Of a file that the scan did not take for a track."""
    said = next((text for text in warnings if text.startswith(display(path))), "")
    return Outcome(path, Status.UNREADABLE, without_path(path, said) or "this is no music file")


def correct_tracks(
    store: Store,
    corrections: Sequence[Correction],
    config: Config,
    *,
    into_files: bool,
    source: LabelSource = "user",
    tell: Callable[[Outcome], None] = lambda _: None,
) -> RunSummary:
    """Record the genres a person gives tracks, and write them where wanted.

    Parameters
    ----------
    store : Store
        Open for writing, under the lock of runs.
    into_files : bool
        Write them into the files too, as their only genres. The labels are stored in any case.
    source : str
        Where the labels are from.
    tell : callable, optional
        Is given each track's outcome.

    Returns
    -------
    RunSummary
        `run_id` is 0 where no file had to be changed.

    Raises
    ------
    ConfigError
        A genre cannot stand in a file; nothing was stored.
    StoreError
        The database cannot be written.
    """
    names = [_names(each.genres, config) for each in corrections]
    settle_unfinished(store)
    given = [
        (each.track.id, [label.strip() for label in each.genres], wanted)
        for each, wanted in zip(corrections, names, strict=True)
    ]
    options = options_of(store, given, source)
    with store.transaction():
        for track_id, labels, _ in given:
            store.set_labels(track_id, labels, source)
    counts: Counter[Status] = Counter()
    run_id = 0
    state: RunState = "failed"
    try:
        for each, wanted in zip(corrections, names, strict=True):
            if not into_files:
                outcome = _left_alone(each.track, wanted)
            else:
                found = _looked_at(each.track, wanted)
                if isinstance(found, Outcome):
                    outcome = found
                else:
                    if not run_id:
                        run_id = store.begin_run("write", model_id=None, options=options, version=__version__)
                    outcome = _write(store, run_id, each.track, found, wanted, config)
            counts[outcome.status] += 1
            tell(outcome)
        state = "done"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        summary = RunSummary(run_id, dict(counts), 0, 0, 0.0)
        if run_id:
            code = {"done": summary.exit_code, "interrupted": 130}.get(state, 3)
            numbers = {status.value: n for status, n in counts.items()}
            store.finish_run(run_id, state=state, exit_code=code, counts=numbers)
    return summary


def _names(genres: Sequence[str], config: Config) -> tuple[str, ...]:
    """The names to write, each genre once."""
    names: list[str] = []
    for genre in genres:
        name = written_name(genre, config.genres)
        if not any(same_genre(name, other) for other in names):
            names.append(name)
    return tuple(names)


def _left_alone(row: TrackRow, names: tuple[str, ...]) -> Outcome:
    reason = f"remembered as {', '.join(names)}; the file was left alone"
    return Outcome(row.path, Status.KEPT, reason, before=row.file_genres, after=row.file_genres)


def _looked_at(row: TrackRow, names: tuple[str, ...]) -> Outcome | tuple[FileTags, FileStat]:
    """What the file holds now, or the outcome where there is nothing to write."""
    if row.model_id is None:  # what cannot be decoded may be something else than its tags would make of it
        return Outcome(
            row.path, Status.REFUSED, f"could not be listened to, so it is not written: {row.reason}"
        )
    try:
        tags, stat = read_tags(row.path), FileStat.of(row.path)
    except TagError as error:
        return Outcome(row.path, Status.FAILED, without_path(row.path, str(error)))
    except OSError as error:
        return Outcome(row.path, Status.FAILED, f"cannot be read: {error.strerror}")
    if len(tags.genres) == len(names) and all(map(same_genre, tags.genres, names)):
        reason = f"has {', '.join(tags.genres)} already"
        return Outcome(row.path, Status.KEPT, reason, before=tags.genres, after=tags.genres)
    return tags, stat


def _write(
    store: Store,
    run_id: int,
    row: TrackRow,
    found: tuple[FileTags, FileStat],
    names: tuple[str, ...],
    config: Config,
) -> Outcome:
    tags, stat = found
    done = Outcome(
        row.path,
        Status.TAGGED,
        f"corrected to {', '.join(names)}",
        genre=names[0],
        confidence=1.0,
        before=tags.genres,
        after=names,
    )
    subject = Subject(row.path, row.id, stat, row.digest, tags)
    return apply_edit(
        store,
        run_id,
        subject,
        edit_of(subject, names),
        done,
        settings_key=row.settings_key,
        preserve_mtime=config.preserve_mtime,
        hardlinks=config.hardlinks == "write",
    )
