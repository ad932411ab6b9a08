"""One run in progress: which tracks have work in them, what was counted, and its row in the database.

What becomes of a track that is heard or decided is `tagger.conclude`'s. A night with nothing to do needs no
more than this: neither numpy nor mutagen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from tagger import __version__
from tagger.card import ModelCard
from tagger.gone import mark_gone
from tagger.job import Report, RunOptions, RunSummary
from tagger.learning.headcard import judge_id
from tagger.plan import Plan
from tagger.profile import Profile
from tagger.store import Store
from tagger.store.recognition import WRITTEN_AGAIN, Ids, rows_of, settled
from tagger.store.rows import RunKind, RunState, TrackRow
from tagger.tracks import ListenTask, Outcome, Status, Track

NOT_TRIED_AGAIN = frozenset({Status.UNREADABLE, Status.TIMED_OUT, Status.CRASHED})
"""A file that could not be listened to is left alone until it changes, or on request."""


class Run:
    """One run in progress. A context manager that opens and closes the run's row in the database."""

    def __init__(
        self, store: Store, card: ModelCard, options: RunOptions, report: Report, *, kind: RunKind
    ) -> None:
        self.store, self.card, self.options, self.report, self.kind = store, card, options, report, kind
        self.head_card = None if options.head is None else options.head.card
        self.key = options.policy.key(judge_id(card, self.head_card)) + ("" if options.write else "-scan")
        self.counts: Counter[Status] = Counter()
        self.seen = Ids()
        self.not_read: set[bytes] = set()
        self.n_listened = self.n_missing = self.n_left = self.run_id = 0
        self.stopped = False
        self.old_embeddings = (
            store.other_embeddings(options.n_dims) if options.stale and options.n_dims else frozenset()
        )
        self.started_s = time.monotonic()
        self.profile = Profile()

    def __enter__(self) -> Run:
        if not self.options.dry_run:
            self.run_id = self.store.begin_run(
                self.kind, model_id=self.card.model_id, options=self.options.as_json(), version=__version__
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.options.dry_run:
            return
        summary = self.summary()
        # A stopped run has the exit code of one that has done what it was to do: see RunRow.ended.
        state: RunState = "failed" if kind else "interrupted" if self.stopped else "done"
        code = summary.exit_code if kind is None else 3
        if kind is KeyboardInterrupt:
            state, code = "interrupted", 130
        counts = {status.value: n for status, n in self.counts.items()}
        speed = self.n_listened / summary.duration_s if self.n_listened else None
        self.store.finish_run(self.run_id, state=state, exit_code=code, counts=counts, tracks_per_s=speed)

    def summary(self) -> RunSummary:
        """What was counted so far."""
        return RunSummary(
            run_id=self.run_id,
            counts=dict(self.counts),
            n_listened=self.n_listened,
            n_missing=self.n_missing,
            duration_s=time.monotonic() - self.started_s,
            stopped=self.stopped,
            n_left=self.n_left,
            profile=self.profile,
            n_not_read=len(self.not_read),
            nothing_found=bool(self.options.roots) and self.not_read.issuperset(self.options.roots),
        )

    def stop(self, n_left: int) -> None:
        """The time limit has come before the end, with so many tracks found but not begun."""
        self.stopped, self.n_left = True, n_left

    # What the scan asks and tells.

    def trouble(self, path: bytes, message: str) -> None:
        """A folder or a file that the run was to look into cannot be."""
        self.not_read.add(path)
        self.report.warn(message)

    def pass_over(self, tracks: Sequence[Track]) -> list[tuple[Track, TrackRow | None]]:
        """The tracks that need a look of their own, with their rows; the others end the run unchanged."""
        # Where somebody wants to be told of each, or what did not change may be heard again, they all do.
        if not (self.report.wants_each or self.options.stale):
            done = settled(self.store, tracks, self.key)
            self.seen.update(done.values())
            self.counts += Counter({Status.UNCHANGED: len(done)})  # which keeps no zero
            self.report.unchanged(len(done))
            tracks = [track for place, track in enumerate(tracks) if place not in done]
        rows = rows_of(self.store, tracks)
        return [(track, rows.get(track.path)) for track in tracks]

    def task_for(self, track: Track, row: TrackRow | None) -> ListenTask | None:
        """What a worker must do with a track; None where everything is known."""
        known = frozenset[bytes]()
        if row is not None:
            self.seen.add(row.id)
            same = (row.size_bytes, row.mtime_ns) == (track.size_bytes, track.mtime_ns)
            if same and not self._listen_again(row):
                return None
            if row.id in self.old_embeddings:
                return self._task(track, known)
            if same and self._heard_less(row):
                return self._task(track, known)
            if row.digest and row.model_id == self.card.model_id:
                known = frozenset({row.digest})
        known |= self.store.digests_for_size(track.size_bytes, self.card.model_id)
        return self._task(track, known)

    def _task(self, track: Track, known: frozenset[bytes]) -> ListenTask:
        options = self.options
        return ListenTask(track.path, options.model_dir, known, options.track_limit_s, options.n_segments)

    def _heard_less(self, row: TrackRow) -> bool:
        """Whether less of a track was heard than is asked for now, and is to be heard again."""
        wanted = self.options.wants_more(row.analysed_s, row.duration_s, self.card.features.segment_s)
        return self.options.stale and wanted

    def _listen_again(self, row: TrackRow) -> bool:
        """Whether to listen to a file although it has not changed."""
        if row.status is Status.CHANGED_MEANWHILE:  # although size and time do not show it
            return True
        if row.model_id is None:  # it was never heard to the end
            # Without a digest it could not even be opened: permission or disk may be back, and nothing shows.
            never_opened = row.status is Status.UNREADABLE and row.digest is None
            return self.options.retry or never_opened or row.status not in NOT_TRIED_AGAIN
        other = row.model_id != self.card.model_id or row.id in self.old_embeddings
        return (self.options.stale and other) or self._heard_less(row)

    def mark_missing(self) -> None:
        """Mark the tracks that are gone from the folders walked, unless a whole disk seems to be gone."""
        if not self.options.dry_run:
            roots, warn = self.options.roots, self.report.warn
            self.n_missing = mark_gone(self.store, roots, self.seen, unreadable=self.not_read, warn=warn)

    # What ends here.

    def leave(self, row: TrackRow) -> bool:
        """End a track with which there is nothing to do; False where it must be decided again."""
        estimate = row.estimate
        if estimate is None:
            self.end(Outcome(row.path, Status.UNCHANGED, f"not tried again (see --retry): {row.reason}"))
            return True
        if row.settings_key == self.key and row.status not in WRITTEN_AGAIN:
            plan = Plan(Status.UNCHANGED, row.reason)
        elif row.model_id != self.card.model_id:
            plan = Plan(Status.UNCHANGED, f"heard with the model {row.model_id} (see --stale)")
        else:
            return False
        self.end(plan.outcome(row.path, estimate, row.file_genres))
        return True

    def end(self, outcome: Outcome, track_id: int | None = None) -> None:
        """The one outcome of a track: counted, told, and recorded where `track_id` is given."""
        if track_id is not None and not self.options.dry_run:
            self.store.set_outcome(self.run_id, track_id, outcome, settings_key=self.key)
        self.counts[outcome.status] += 1
        self.report.outcome(outcome)
