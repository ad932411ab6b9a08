"""From a worker's report, or the database, to a track's one outcome: remember, decide, plan, write."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from tagger.errors import StoreError
from tagger.extras import extra_values
from tagger.learning.headcard import judge_name
from tagger.learning.heads import Memory, judge, memory_of
from tagger.plan import Plan, plan_edit
from tagger.replace import FileStat
from tagger.run import Run
from tagger.store.rows import TrackRow
from tagger.tracks import GenreEstimate, Heard, Outcome, Status, Track, TrackAnalysis, WriteMode, display
from tagger.writing import Subject, apply_edit, edit_of, subject_of, without_path


class Conclusions:
    """The ways to an outcome in a run, which is told of each."""

    def __init__(self, run: Run) -> None:
        self.run, self.store, self.card, self.options = run, run.store, run.card, run.options

    def again(self, row: TrackRow) -> None:
        """A file that has not changed since it was heard, but is to be decided, or written, again."""
        estimate, analysis = row.estimate, self.store.analysis(row.id)
        if analysis is not None:
            estimate = self._decide(analysis)
        assert estimate is not None  # or there is nothing to decide: see `Run.leave`
        self._write(subject_of(row), estimate, row, analysis)

    def heard(self, track: Track, heard: Heard) -> None:
        """A worker's report: remember it, decide, write."""
        self.run.n_listened += 1
        self.run.profile.heard(heard.seconds)
        if heard.failure is not None or heard.tags is None:
            self._conclude_failure(track, heard, heard.failure or Status.FAILED)
            self.run.report.listened()
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
        self.run.report.listened()

    def _conclude_failure(self, track: Track, heard: Heard, status: Status) -> None:
        outcome = Outcome(track.path, status, without_path(track.path, heard.reason))
        if self.options.dry_run:
            self.run.end(outcome)
            return
        row = self.store.find(track.path)
        track_id = self.store.record_heard(self.run.run_id, track, heard, model_id=self.card.model_id)
        self.run.seen.add(track_id)
        self.store.set_outcome(self.run.run_id, track_id, outcome, settings_key=self.run.key)
        now = (track.size_bytes, track.mtime_ns, status, outcome.reason)
        if row is not None and (row.size_bytes, row.mtime_ns, row.status, row.reason) == now:
            outcome = self._as_before(outcome)
        self.run.end(outcome)

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
                    self.run.run_id, track, heard, model_id=self.card.model_id, estimate=estimate
                )
            else:
                row = self.store.adopt(self.run.run_id, track, heard, model_id=self.card.model_id)
                assert row is not None  # its analysis was there a moment ago, and only this process writes
                track_id = row.id
                self.store.set_estimate(track_id, estimate)
        self.run.seen.add(track_id)
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
        outcome = plan.outcome(subject.path, estimate, subject.tags.genres)
        if plan.after is None or self.options.dry_run:
            self.run.end(outcome, subject.track_id)
        elif not self.options.write:
            unwritten = Plan(Status.UNCHANGED, f"{plan.reason}; `tagger write` writes it", plan.genre)
            self.run.end(unwritten.outcome(subject.path, estimate, subject.tags.genres), subject.track_id)
        else:
            extras = extra_values(
                self.options.policy.extra_tags, confidence=estimate.confidence,
                model_id=judge_name(self.card.model_id, self.run.head_card),
                tempo_bpm=None if analysis is None else analysis.tempo_bpm,
            )  # fmt: skip
            edit = edit_of(subject, plan.after, extras)
            with self.run.profile.timed("writing", of="database"):
                outcome = apply_edit(
                    self.store, self.run.run_id, subject, edit, outcome, settings_key=self.run.key,
                    preserve_mtime=self.options.preserve_mtime, hardlinks=self.options.hardlinks,
                )  # fmt: skip
            if outcome.status is Status.REFUSED and row is not None and row.reason == outcome.reason:
                outcome = self._as_before(outcome)
            self.run.end(outcome)
