"""The one flow: scan, listen, decide, plan, write, remember. `run_batch` reads from top to bottom.

The parent process alone writes files and the database; the workers only listen. Each track is committed by
itself, so that a run may be stopped at any moment and the next one does the rest.

Most nights there is nothing to do. What is needed to hear, decide and write (numpy, mutagen and more) is
imported with the first track that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from tagger.card import ModelCard
from tagger.gone import nowhere
from tagger.interrupts import check
from tagger.job import Report, RunOptions, RunSummary
from tagger.limits import Gate
from tagger.run import Run
from tagger.scan import scan
from tagger.store import Store, TrackFilter, TrackRow
from tagger.tracks import Heard, ListenTask, Track

if TYPE_CHECKING:
    from tagger.conclude import Conclusions

LOOKED_UP = 500
"""Tracks that are held against the database at a time."""

LONG_BYTES = 64 << 20
"""A file from this size on is likely to be a mix or a whole concert: minutes of work."""


def run_batch(store: Store, card: ModelCard, options: RunOptions, report: Report) -> RunSummary:
    """Scan the roots, listen to what is new or changed, write genres, remember everything.

    Every track found ends with exactly one `Outcome` given to `report`. After a KeyboardInterrupt the workers
    are stopped, the run is recorded as interrupted, and the exception goes on.

    Parameters
    ----------
    store
        Open for writing, unless this is a dry run; the caller holds the lock (`tagger.job.run_lock`).
    card
        Of the model in ``options.model_dir``, whose weights are known to be those of the card.

    Raises
    ------
    StoreError
        The database cannot be read or written any more.
    ModelError
        There is something to listen to, and the model's weights do not fit its card.
    ClusterError
        There is something to listen to, and the cluster cannot be reached or is not fit to.
    """
    gate = Gate(time_limit_s=options.time_limit_s, max_load=options.max_load)
    _settle(store, options)
    with Run(store, card, options, report, kind="run" if options.write else "scan") as run:
        conclusions = _concluding(run)
        tracks: dict[bytes, Track] = {}
        tasks: list[ListenTask] = []
        found = scan(
            options.roots, ignore=options.ignore, on_trouble=run.trouble, warn=report.warn, known=store.knows
        )
        with run.profile.timed("scan"):
            for track, row in _each_with_work(run, found, gate):
                check()
                if gate.over():
                    break
                task = run.task_for(track, row)
                if task is not None:
                    tracks[track.path] = track
                    tasks.append(task)
                elif row is not None and not run.leave(row):
                    conclusions().again(row)
        report.planned(run.counts.total() + len(tasks), len(tasks))
        if tasks:
            from tagger.model import load_model

            load_model(options.model_dir)  # what does not fit is refused before a single file is read
            gate.wait()
            tasks = long_ones_early(tasks, lambda task: tracks[task.path].size_bytes, 2 * options.jobs)
            with closing(_reports(run, gate.through(tasks), len(tasks))) as reports, closing(gate):
                for heard in run.profile.waited(reports):
                    check()
                    with run.profile.timed("database"):
                        conclusions().heard(tracks.pop(heard.path), heard)
        if gate.stopped:  # perhaps in the middle of a folder: what was not seen need not be gone
            run.stop(n_left=len(tracks))
        else:
            run.mark_missing()
        if not options.dry_run:
            with run.profile.timed("database"):
                _sketch(store)
    return run.summary()


def long_ones_early(
    tasks: Sequence[ListenTask], size_bytes: Callable[[ListenTask], int], n_first: int
) -> list[ListenTask]:
    """The order to listen in: as found, but for long tracks, which do not come last.

    One that does is waited for by every process but its own. The first `n_first` stay where they are, so
    that there is something to be seen at once.
    """
    rest = tasks[n_first:]
    return [*tasks[:n_first], *sorted(rest, key=lambda task: size_bytes(task) < LONG_BYTES)]


def _settle(store: Store, options: RunOptions) -> None:
    """Put right what a killed run left, unless this is a dry run."""
    if not options.dry_run and store.unsettled():
        from tagger.writing import settle_unfinished

        settle_unfinished(store)


def _sketch(store: Store) -> None:
    """Sketch the embeddings that came or went, for `tagger similar`."""
    if store.unsketched():
        from tagger.sketches import sketch_changes

        sketch_changes(store)


def _concluding(run: Run) -> Callable[[], Conclusions]:
    """What decides and writes in a run, made when it is first asked for."""

    @cache
    def conclusions() -> Conclusions:
        from tagger.conclude import Conclusions

        return Conclusions(run)

    return conclusions


def _each_with_work(run: Run, found: Iterator[Track], gate: Gate) -> Iterator[tuple[Track, TrackRow | None]]:
    """The tracks that are not just as they were, with what is remembered of them."""
    while not gate.over() and (some := list(islice(found, LOOKED_UP))):
        check()
        yield from run.pass_over(some)


def _reports(run: Run, tasks: Iterable[ListenTask], n_tasks: int) -> Generator[Heard, None, None]:
    """What is heard, here or on a cluster. What that takes is imported where there is something to hear."""
    from tagger.classify import listen

    options = run.options
    if options.cluster is None:
        from tagger.pool import listen_all

        n_jobs = run.profile.n_jobs = max(1, min(options.jobs, n_tasks))
        yield from listen_all(tasks, worker=listen, n_jobs=n_jobs)
    else:
        from tagger.cluster import dispatch

        yield from dispatch.listen_all(
            tasks, worker=listen, n_jobs=options.jobs, cluster=options.cluster, tell=run.report.warn,
            at_work=run.profile.work_in,
        )  # fmt: skip


def write_from_store(store: Store, card: ModelCard, options: RunOptions, report: Report) -> RunSummary:
    """Write what is remembered of the tracks under the roots (all tracks without roots), without listening.

    A file that is not as it was when it was heard is left alone (`changed_meanwhile`).

    Raises
    ------
    StoreError
        The database cannot be read or written any more.
    """
    gate = Gate(time_limit_s=options.time_limit_s)
    _settle(store, options)
    with Run(store, card, options, report, kind="write") as run:
        conclusions = _concluding(run)
        for folder in options.roots or (None,):
            if folder is not None and (sentence := nowhere(store, folder)):
                run.trouble(folder, sentence)
                continue
            for row in store.iter_tracks(TrackFilter(folder=folder, missing=False)):
                check()
                if gate.over():
                    break
                if not run.leave(row):
                    conclusions().again(row)
        if gate.stopped:
            run.stop(n_left=0)
    return run.summary()
