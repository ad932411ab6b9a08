"""From a worker's report, or the database, to a track's one outcome: remember, decide, plan, write."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from tagger import __version__
from tagger.errors import StoreError
from tagger.extras import extra_values
from tagger.gone import mark_gone
from tagger.job import Report, RunOptions, RunSummary
from tagger.learning.heads import Memory, judge, judge_id, judge_name, memory_of
from tagger.model import ModelCard
from tagger.plan import Plan, plan_edit
from tagger.profile import Profile
from tagger.replace import FileStat
from tagger.store import Store
from tagger.store.recognition import WRITTEN_AGAIN, Ids, rows_of, settled
from tagger.store.rows import RunKind, RunState, TrackRow
from tagger.tracks import (
    GenreEstimate,
    Heard,
    ListenTask,
    Outcome,
    Status,
    Track,
    TrackAnalysis,
    WriteMode,
    display,
)
from tagger.writing import Subject, apply_edit, edit_of, subject_of, without_path

NOT_TRIED_AGAIN = frozenset({Status.UNREADABLE, Status.TIMED_OUT, Status.CRASHED})
"""A file that could not be listened to is left alone until it changes, or on request."""


class Run:
    """One run in progress. A context manager that opens and closes the run's row in the database."""

    def __init__(
        self, store: Store, card: ModelCard, options: RunOptions, report: Report, *, kind: RunKind
    ) -> None:
        self.store, self.card, self.options, self.report, self.kind = store, card, options, report, kind
        self.key = options.policy.key(judge_id(card, options.head)) + ("" if options.write else "-scan")
        self.counts: Counter[Status] = Counter()
        self.seen = Ids()
        self.bad_folders: set[bytes] = set()
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
            nothing_found=bool(self.options.roots) and self.bad_folders.issuperset(self.options.roots),
        )

    def stop(self, n_left: int) -> None:
        """The time limit has come before the end, with so many tracks found but not begun."""
        self.stopped, self.n_left = True, n_left

    # What the scan asks and tells.

    def trouble(self, path: bytes, message: str) -> None:
        """A folder cannot be looked into."""
        self.bad_folders.add(path)
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
            self.n_missing = mark_gone(self.store, roots, self.seen, unreadable=self.bad_folders, warn=warn)

    # The ways to an outcome.

    def conclude_known(self, row: TrackRow) -> None:
        """A file that has not changed since it was recorded: mostly there is nothing to do."""
        estimate = row.estimate
        if estimate is None:
            self._end(Outcome(row.path, Status.UNCHANGED, f"not tried again (see --retry): {row.reason}"))
        elif row.settings_key == self.key and row.status not in WRITTEN_AGAIN:
            self._end(_outcome(row.path, Plan(Status.UNCHANGED, row.reason), estimate, row.file_genres))
        elif row.model_id != self.card.model_id:
            plan = Plan(Status.UNCHANGED, f"heard with the model {row.model_id} (see --stale)")
            self._end(_outcome(row.path, plan, estimate, row.file_genres))
        else:
            analysis = self.store.analysis(row.id)
            if analysis is not None:
                estimate = self._decide(analysis)
            self._write(subject_of(row), estimate, row, analysis)

    def conclude_heard(self, track: Track, heard: Heard) -> None:
        """A worker's report: remember it, decide, write."""
        self.n_listened += 1
        self.profile.heard(heard.seconds)
        if heard.failure is not None or heard.tags is None:
            self._conclude_failure(track, heard, heard.failure or Status.FAILED)
            self.report.listened()
            return
        analysis = heard.analysis
        if analysis is None and heard.digest is not None:
            analysis = self.store.analysis_of_digest(heard.digest, self.card.model_id)
        if analysis is None:
            raise StoreError(f"{display(track.path)}: its analysis has gone from the database; run again.")
        estimate = self._decide(analysis)
        track_id = None if self.options.dry_run else self._remember(track, heard, estimate)
        stat = FileStat(heard.size_bytes, heard.mtime_ns)
        row = None if track_id is None else self.store.track(track_id)
        self._write(Subject(track.path, track_id, stat, heard.digest, heard.tags), estimate, row, analysis)
        self.report.listened()

    def _conclude_failure(self, track: Track, heard: Heard, status: Status) -> None:
        outcome = Outcome(track.path, status, without_path(track.path, heard.reason))
        if self.options.dry_run:
            self._end(outcome)
            return
        row = self.store.find(track.path)
        track_id = self.store.record_heard(self.run_id, track, heard, model_id=self.card.model_id)
        self.seen.add(track_id)
        self.store.set_outcome(self.run_id, track_id, outcome, settings_key=self.key)
        now = (track.size_bytes, track.mtime_ns, status, outcome.reason)
        if row is not None and (row.size_bytes, row.mtime_ns, row.status, row.reason) == now:
            outcome = self._as_before(outcome)
        self._end(outcome)

    def _as_before(self, outcome: Outcome) -> Outcome:
        """Known since an earlier run, and said then: no reason to fail, or to mail, every night. Unless the
        user wants it tried again now."""
        if self.options.retry:
            return outcome
        reason = f"{outcome.status} as before: {outcome.reason}"
        return replace(outcome, status=Status.UNCHANGED, reason=reason)

    def _remember(self, track: Track, heard: Heard, estimate: GenreEstimate) -> int:
        with self.store.transaction():
            if heard.analysis is not None:
                track_id = self.store.record_heard(
                    self.run_id, track, heard, model_id=self.card.model_id, estimate=estimate
                )
            else:
                row = self.store.adopt(self.run_id, track, heard, model_id=self.card.model_id)
                assert row is not None  # its analysis was there a moment ago, and only this process writes
                track_id = row.id
                self.store.set_estimate(track_id, estimate)
        self.seen.add(track_id)
        return track_id

    @cached_property
    def _memory(self) -> Memory | None:
        """Read when the first track is decided: mostly there is none."""
        return memory_of(self.options.model_dir, self.card, self.options.head)

    def _decide(self, analysis: TrackAnalysis) -> GenreEstimate:
        policy = self.options.policy
        head = self.options.head
        return judge(
            analysis, self.card, head, self._memory, threshold=policy.threshold, margin=policy.margin,
            parents=policy.parents if policy.write_parents else {},
        )  # fmt: skip

    def _write(
        self, subject: Subject, estimate: GenreEstimate, row: TrackRow | None, analysis: TrackAnalysis | None
    ) -> None:
        """Plan the edit, and make it unless this is a dry run or a scan."""
        own = None
        if self.options.policy.mode is WriteMode.OWN and subject.track_id is not None:
            own = self.store.last_own_state(subject.track_id)
        plan = plan_edit(subject.tags, estimate, self.options.policy, own)
        if row is not None and estimate != row.estimate and not self.options.dry_run:
            self.store.set_estimate(row.id, estimate)
        outcome = _outcome(subject.path, plan, estimate, subject.tags.genres)
        if plan.after is None or self.options.dry_run:
            self._end(outcome, subject.track_id)
        elif not self.options.write:
            unwritten = Plan(Status.UNCHANGED, f"{plan.reason}; `tagger write` writes it", plan.genre)
            self._end(_outcome(subject.path, unwritten, estimate, subject.tags.genres), subject.track_id)
        else:
            extras = extra_values(
                self.options.policy.extra_tags, confidence=estimate.confidence,
                model_id=judge_name(self.card.model_id, self.options.head),
                tempo_bpm=None if analysis is None else analysis.tempo_bpm,
            )  # fmt: skip
            edit = edit_of(subject, plan.after, extras)
            with self.profile.timed("writing", of="database"):
                outcome = apply_edit(
                    self.store, self.run_id, subject, edit, outcome, settings_key=self.key,
                    preserve_mtime=self.options.preserve_mtime, hardlinks=self.options.hardlinks,
                )  # fmt: skip
            if outcome.status is Status.REFUSED and row is not None and row.reason == outcome.reason:
                outcome = self._as_before(outcome)
            self._end(outcome)

    def _end(self, outcome: Outcome, track_id: int | None = None) -> None:
        """The one outcome of a track: counted, told, and recorded where `track_id` is given."""
        if track_id is not None and not self.options.dry_run:
            self.store.set_outcome(self.run_id, track_id, outcome, settings_key=self.key)
        self.counts[outcome.status] += 1
        self.report.outcome(outcome)


def _outcome(path: bytes, plan: Plan, estimate: GenreEstimate, before: tuple[str, ...]) -> Outcome:
    return Outcome(
        path=path,
        status=plan.status,
        reason=plan.reason,
        genre=plan.genre,
        confidence=estimate.confidence,
        genres=estimate.probabilities,
        before=before,
        after=before if plan.after is None else plan.after,
    )
