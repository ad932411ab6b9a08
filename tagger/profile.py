"""Where the time of a run goes: what the workers report, and what the parent did meanwhile.

The processes work beside each other, so each has a column of its own: the workers' seconds add up to jobs
times the time of listening, the parent's to the time of the run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

WORKER_PARTS = {
    "decode": "decoding, mixed to mono",
    "resample": "resampling",
    "mel": "mel spectrograms",
    "measures": "tempo and loudness",
    "cnn": "the network",
    "tags": "reading tags",
    "digest": "reading the file for its digest",
    "model": "loading the model",
}
PARENT_PARTS = {
    "scan": "walking the folders, asking the database",
    "waiting": "waiting for the workers",
    "database": "deciding, remembering in the database",
    "writing": "writing files, with their journal",
}
"""What the parts are, in plain words; in the order of the table."""


class Profile:
    """Seconds by part, added up while a run goes on."""

    def __init__(self) -> None:
        self.workers: Counter[str] = Counter()
        self.parent: Counter[str] = Counter()
        self.n_jobs = 1

    @contextmanager
    def timed(self, part: str, *, of: str = "") -> Iterator[None]:
        """Add the time spent inside to a part of the parent's; take it from the part it is inside `of`."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            took_s = time.perf_counter() - started_s
            self.parent[part] += took_s  # type: ignore[assignment]  # a Counter counts anything
            if of:
                self.parent[of] -= took_s  # type: ignore[assignment]

    def waited(self, reports: Iterable[T]) -> Iterator[T]:
        """The same items; the time until each comes is waiting."""
        items = iter(reports)
        while True:
            with self.timed("waiting"):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def work_in(self, n_jobs: int) -> None:
        """So many processes listen from now on; of a cluster that changes, the most it had counts."""
        self.n_jobs = max(self.n_jobs, n_jobs)

    def heard(self, seconds: Mapping[str, float]) -> None:
        """Add a worker's report."""
        self.workers.update(seconds)

    def rows(self, run_s: float) -> list[tuple[str, float, float, str]]:
        """The table, after a run of `run_s` seconds.

        Returns
        -------
        list of (process, seconds, share, what)
            The share is of all that such a process had: 0-1. What no part accounts for is idle (a worker: its
            start too) or the rest (the parent: starting and ending).
        """
        found = []
        listening_s = self.n_jobs * sum(self.parent[part] for part in ("waiting", "database", "writing"))
        for process, total_s, parts, seconds, rest in (
            ("workers", listening_s, WORKER_PARTS, self.workers, "starting, and idle"),
            ("parent", run_s, PARENT_PARTS, self.parent, "the rest"),
        ):
            if not seconds or not total_s:
                continue
            accounted_s = float(sum(seconds[part] for part in parts))
            listed = [(float(seconds[part]), what) for part, what in parts.items()]
            listed.append((max(total_s - accounted_s, 0.0), rest))
            found += [(process, took_s, took_s / total_s, what) for took_s, what in listed]
        return found
