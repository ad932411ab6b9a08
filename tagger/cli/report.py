"""How a run tells what happens: a bar on a terminal, plain lines elsewhere, JSON lines, or only trouble."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from tagger.cli.common import outcome_json, shown
from tagger.tracks import Outcome, Status, display

if TYPE_CHECKING:
    from tagger.job import RunSummary

MEANING = {
    Status.TAGGED: "genre written",
    Status.UNCHANGED: "nothing to do",
    Status.KEPT: "had a genre, left alone",
    Status.UNCERTAIN: "no genre was sure enough",
    Status.UNREADABLE: "not audio, or damaged",
    Status.TIMED_OUT: "took too long",
    Status.CRASHED: "crashed the decoder",
    Status.REFUSED: "writing would not have been safe",
    Status.CHANGED_MEANWHILE: "changed while we worked on it",
    Status.FAILED: "could not be written or analysed",
}
"""Each status in plain words."""

LINE_EVERY_S = 60.0


class RunReport:
    """Prints outcomes as they come. Use as a context manager, so that a bar never outlives the run."""

    def __init__(
        self,
        *,
        roots: tuple[bytes, ...],
        as_json: bool,
        quiet: bool,
        verbose: bool,
        dry_run: bool,
        jobs: int,
        cluster: str = "",
        deed: str = "written",
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.roots, self.as_json, self.quiet, self.verbose, self.dry_run = (
            roots,
            as_json,
            quiet,
            verbose,
            dry_run,
        )
        self.jobs, self.cluster, self.deed, self.log = jobs, cluster, deed, log
        self.counts: Counter[Status] = Counter()
        self.n_to_listen = self.n_listened = 0
        self.bar: Any = None
        self.task: Any = None
        self.started_s = self.last_line_s = time.monotonic()

    def __enter__(self) -> RunReport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    # --- what the run calls ---

    def planned(self, n_found: int, n_to_listen: int) -> None:
        """The folders are walked."""
        self.n_to_listen = n_to_listen
        self.started_s = self.last_line_s = time.monotonic()
        if self.quiet or self.as_json:
            return
        if n_to_listen:
            rest = n_found - n_to_listen
            known = f" ({rest:,} known already)" if rest else ""
            jobs = min(self.jobs, n_to_listen)
            processes = "1 process" if jobs == 1 else f"{jobs} processes"
            processes = f"the Dask cluster at {self.cluster}" if self.cluster else processes
            self._say(f"{tracks(n_found)} found; listening to {n_to_listen:,}{known} with {processes}")
            if sys.stderr.isatty():
                self._start_bar()

    def outcome(self, outcome: Outcome) -> None:
        """A track has ended the run."""
        self.counts[outcome.status] += 1
        if outcome.status.is_failure:
            status = outcome.status.value.replace("_", " ")
            line = f"{display(outcome.path)}: {status}: {outcome.reason}"
            self.log(line)
        if self.as_json:
            click.echo(outcome_json(outcome))
        elif outcome.status.is_failure:
            self._say(line, err=True)
        elif not self.quiet and self._worth_a_line(outcome):
            self._say(f"{shown(outcome.path, self.roots)}: {self._what_happened(outcome)}")

    @property
    def wants_each(self) -> bool:
        """Only the lines for programs name the tracks that stay as they are."""
        return self.as_json

    def unchanged(self, n: int) -> None:
        """So many tracks stay as they are."""
        self.counts[Status.UNCHANGED] += n

    def listened(self) -> None:
        """One more of the tracks to listen to is done."""
        self.n_listened += 1
        if self.bar is not None:
            rate = self.n_listened / max(time.monotonic() - self.started_s, 1e-3)
            self.bar.update(self.task, advance=1, rate=f"{rate:.1f} tracks/s")
        elif not (self.quiet or self.as_json) and time.monotonic() - self.last_line_s >= LINE_EVERY_S:
            self.last_line_s = time.monotonic()
            rate = self.n_listened / (self.last_line_s - self.started_s)
            left_s = (self.n_to_listen - self.n_listened) / rate
            done = f"{self.n_listened:,} of {self.n_to_listen:,} tracks"
            self._say(f"{done}, {rate:.1f} tracks/s, about {duration(left_s)} left")

    def warn(self, message: str) -> None:
        """Something a person should know, about no single track."""
        self.log(message)
        self._say(message, err=True)

    # --- at the end ---

    def summary(self, summary: RunSummary) -> None:
        """The figures that matter, in plain words."""
        figures = ", ".join(f"{n:,} {status}" for status, n in summary.counts.items() if n) or "nothing found"
        if summary.n_not_read:
            figures += f", {summary.n_not_read:,} not read"
        ended = " (stopped at its time limit)" if summary.stopped else ""
        self.log(f"run {summary.run_id}{ended}: {figures}; {duration(summary.duration_s)}")
        if self.as_json or (self.quiet and not summary.n_failed):
            return
        total = sum(summary.counts.values())
        speed = ""
        if summary.n_listened:
            rate = summary.n_listened / max(summary.duration_s, 1e-6)
            speed = f", {summary.n_listened:,} of them listened to ({rate:.1f} tracks/s)"
        self._say(f"{tracks(total)} in {duration(summary.duration_s)}{speed}", err=self.quiet)
        for status in Status:
            if n := summary.counts.get(status, 0):
                meaning = MEANING[status]
                if status is Status.TAGGED:
                    meaning = f"genre {'would be ' if self.dry_run else ''}{self.deed}"
                self._say(f"  {status.value.replace('_', ' '):18} {n:>8,}  {meaning}", err=self.quiet)
        if summary.n_missing:
            self._say(
                f"  {'missing':18} {summary.n_missing:>8,}  in the database, but no longer in the folder"
            )
        if summary.n_not_read:
            meaning = "folders or files that could not be looked into, named above"
            self._say(f"  {'not read':18} {summary.n_not_read:>8,}  {meaning}", err=self.quiet)
        if summary.stopped:
            left = f" with {tracks(summary.n_left)} still to listen to" if summary.n_left else ""
            self._say(f"Stopped at its time limit{left}; the next run goes on from there.", err=self.quiet)
        if self.dry_run:
            self._say("Dry run: no file and no database was changed.")
        elif summary.counts.get(Status.TAGGED) and not self.quiet:
            self._say(f"To put back what this run changed: tagger undo {summary.run_id}")
        if summary.n_failed and not self.quiet:
            self._say("To see the failures again: tagger errors" if not self.dry_run else "")

    # --- details ---

    def _worth_a_line(self, outcome: Outcome) -> bool:
        return outcome.status is Status.TAGGED or (self.verbose and outcome.status is not Status.UNCHANGED)

    def _what_happened(self, outcome: Outcome) -> str:
        if outcome.status is Status.TAGGED:
            before, after = (", ".join(genres) or "no genre" for genres in (outcome.before, outcome.after))
            return f"{before} -> {after}  ({outcome.reason})"
        return f"{outcome.status.value}: {outcome.reason}"

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task("listening", total=self.n_to_listen, rate="")
        self.bar.start()

    def _say(self, message: str, *, err: bool = False) -> None:
        if not message:
            return
        if self.bar is not None:  # a line above the bar, not through it
            self.bar.console.print(message, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(message, err=err or self.as_json)


def print_profile(summary: RunSummary) -> None:
    """Where the time went, as a table beside the outcomes: it goes to where errors go."""
    if summary.profile is None:
        return
    click.echo("Where the time went:", err=True)
    for process, took_s, share, what in summary.profile.rows(summary.duration_s):
        click.echo(f"  {process:8} {took_s:9.2f} s  {share:4.0%}  {what}", err=True)


def summary_facts(summary: RunSummary, db: Path, roots: Sequence[bytes]) -> dict[str, object]:
    """What the on_finish command is told."""
    return {
        "run": summary.run_id,
        "exit_code": summary.exit_code,
        "stopped": summary.stopped,
        "tracks": sum(summary.counts.values()),
        "written": summary.counts.get(Status.TAGGED, 0),
        "failed": summary.n_failed,
        "not_read": summary.n_not_read,
        "missing": summary.n_missing,
        "counts": {status.value: n for status, n in summary.counts.items() if n},
        "duration_s": round(summary.duration_s, 3),
        "db": os.fspath(db),
        "folders": [os.fsdecode(root) for root in roots],
    }


def tracks(n: int) -> str:
    """``"1 track"``, ``"1,234 tracks"``."""
    return f"{n:,} track{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time for people: ``"850 ms"``, ``"42 s"``, ``"3 min 5 s"``, ``"2 h 10 min"``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
