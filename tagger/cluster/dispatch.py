"""Many files, many computers: the tasks of a run listened to on a Dask cluster that sees the same disk.

`listen_all` is that of `tagger.pool`, elsewhere: at most two tasks a thread are in flight, reports come one
by one, and nothing but reports comes back: the caller stays the only writer of files and database.

- What crashes or hangs does so in a process beside the worker (`tagger.cluster.node`), and is named at once.
- When a worker is lost, Dask hands its tasks to others. A task that Dask gives up after several losses is
  tried once more when all else is done, with nothing of ours beside it, and named if that fails too.
- When the scheduler is lost it is waited for, and what was in flight is sent again.
- A worker that is not fit (another version, another model, no sight of the files) ends a run that has not
  begun; one that joins later, or whose disk goes away, is left out for a minute at a time.
"""

from __future__ import annotations

import itertools
import os
import pickle
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import tagger
from tagger.card import read_card
from tagger.cluster import node
from tagger.cluster.connection import Link, Lost, Misfit
from tagger.cluster.elsewhere import at_home, to_there
from tagger.errors import ClusterError
from tagger.guard import Worker, taken_along
from tagger.interrupts import check
from tagger.job import Cluster
from tagger.tracks import Heard, ListenTask, Status, display

PER_THREAD = 2
"""Tasks in flight for each thread: one at work, and one at hand when it is done."""
LOOK_S = 5.0
"""How often to see which workers there are."""
NO_WORKER_S = 180.0
"""How long to wait for a worker when all have gone."""
LEFT_OUT_S = 60.0
"""A worker that was found unfit is tried again after so long: its disk may be mounted again."""
MAX_TRIES = 10


@dataclass(frozen=True, slots=True)
class _Sent:
    task: ListenTask
    alone: bool


def listen_all(
    tasks: Iterable[ListenTask], *, worker: Worker, n_jobs: int, cluster: Cluster,
    tell: Callable[[str], None], at_work: Callable[[int], None] = lambda _n: None,
) -> Generator[Heard, None, None]:  # fmt: skip
    """Run `worker` over all tasks on a cluster and yield every report as it arrives.

    Parameters
    ----------
    tasks
        Consumed lazily, by the calling thread. Paths must be unique; they are this computer's.
    worker
        An importable function that never raises.
    n_jobs
        Most tasks in flight; 0 for as many as keep all threads of the cluster at work.
    tell
        Told, in a sentence, of a worker that is left out.
    at_work
        Told how many threads the cluster has, whenever that changes.

    Yields
    ------
    Heard
        Exactly one per task, in no particular order, under this computer's paths. A listening process that
        dies gives `Status.CRASHED`, and so does a task that Dask's workers are lost with, the last time
        alone; one that outlives its time limit gives `Status.TIMED_OUT`.

    Raises
    ------
    ClusterError
        There is no scheduler, no worker, or one that is not fit; or, later on, none any more. What was in
        flight is lost, and nothing else.
    """
    remaining = iter(tasks)
    first = next(remaining, None)
    if first is None:
        return
    remaining = itertools.chain([first], remaining)
    ready: deque[Heard] = deque()
    desk = _Desk(cluster, worker, n_jobs, tell, at_work)
    try:
        desk.open(first)
        while True:
            while desk.room(len(ready)) and (task := desk.returned() or next(remaining, None)) is not None:
                desk.send(task)
            if ready:
                yield ready.popleft()
            elif desk.is_busy():
                ready.extend(desk.receive())
            elif (task := desk.suspect()) is not None:
                desk.send(task, alone=True)
            else:
                return
    finally:
        desk.close()


class _Desk:
    """What is in flight, what must be sent again, and which workers to leave out."""

    def __init__(
        self, cluster: Cluster, worker: Worker, n_jobs: int, tell: Callable[[str], None],
        at_work: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._cluster, self._worker, self._n_jobs = cluster, worker, n_jobs
        self._tell, self._at_work = tell, at_work
        self._link: Link | None = None
        self._version = tagger.__version__
        self._run = uuid.uuid4().hex[:12]
        self._keys = (f"tagger-{self._run}-{n}" for n in itertools.count())
        self._sent: dict[str, _Sent] = {}
        self._returned: deque[ListenTask] = deque()
        self._suspects: deque[ListenTask] = deque()
        self._tries: dict[bytes, int] = {}
        self._threads: dict[str, int] = {}
        self._unfit_since_s: dict[str, float] = {}
        self._looked_s = self._worker_seen_s = time.monotonic()
        self._wanted: dict[str, node.Wanted] = {}
        self._told: set[str] = set()
        self._fit: set[str] = set()

    # --- beginning and end ---

    def open(self, task: ListenTask) -> None:
        """Connect, wait for a worker, and see whether every worker is fit to listen to such a task."""
        link = self._link = Link(self._cluster.scheduler)
        link.wait_for_worker()
        self._look()
        # Where it cannot be opened here either, it is a matter of the file.
        path = to_there(task.path, self._cluster.maps) if os.access(task.path, os.R_OK) else b""
        wrong = list(self._inspect(self._wanted_for(task.model_dir), path).values())
        if wrong:
            more = f" The same goes for {len(wrong) - 1} others." if len(wrong) > 1 else ""
            raise ClusterError(f"{wrong[0]}.{more}")

    def _inspect(self, wanted: node.Wanted, path: bytes = b"") -> dict[str, str]:
        """Ask the workers that are not known to be fit; what is wrong with each that is not."""
        assert self._link is not None
        asked = pickle.dumps((wanted, path))
        wrong = {}
        unknown = [at for at in self._threads if at not in self._fit]
        for at, said in self._link.ask(unknown, "inspect", self._version, asked).items():
            if isinstance(said, Misfit):
                wrong[at] = f"The Dask worker {at} has not this tagger ({said.why})"
            elif unfit := (answer := _unpacked(said)).unfit:
                wrong[at] = f"The Dask worker {at} on {answer.node} {unfit}"
            else:
                self._fit.add(at)
        return wrong

    def close(self) -> None:
        """Call back what is in flight, end the processes of this run, disconnect."""
        if self._link is not None:
            self._link.close(self._run)

    # --- tasks out ---

    def room(self, n_waiting: int) -> bool:
        """Whether another task may be sent, with so many reports not taken yet."""
        most = max(PER_THREAD * sum(self._threads.values()), 1)
        return len(self._sent) + n_waiting < min(most, self._n_jobs or most)

    def is_busy(self) -> bool:
        """Whether anything is in flight, or must be sent again."""
        return bool(self._sent or self._returned)

    def returned(self) -> ListenTask | None:
        """A task to send again."""
        return self._returned.popleft() if self._returned else None

    def suspect(self) -> ListenTask | None:
        """A task that Dask gave up, to be sent when nothing else is in flight."""
        return self._suspects.popleft() if self._suspects else None

    def send(self, task: ListenTask, *, alone: bool = False) -> None:
        """Hand a task to the scheduler, in the words of the nodes."""
        assert self._link is not None
        wanted = self._wanted_for(task.model_dir)
        there = replace(task, path=to_there(task.path, self._cluster.maps), model_dir=wanted.model_dir)
        order = pickle.dumps(node.Order(self._run, self._worker, there, wanted))
        rather = [at for at in self._threads if at not in self._unfit_since_s] if self._unfit_since_s else []
        key = next(self._keys)
        self._link.send(key, "hear", self._version, order, rather=rather)
        self._sent[key] = _Sent(task, alone)

    def _wanted_for(self, model_dir: str) -> node.Wanted:
        if model_dir not in self._wanted:
            there = os.fsdecode(to_there(os.fsencode(model_dir), self._cluster.maps))
            digest = node.card_digest(Path(model_dir) / node.CARD_FILE)
            model_id = read_card(model_dir).model_id
            self._wanted[model_dir] = node.Wanted(digest, there, model_id, self._cluster.nice)
        return self._wanted[model_dir]

    # --- reports in ---

    def receive(self) -> list[Heard]:
        """Wait until something happens, a second at most; the reports that came."""
        assert self._link is not None
        check()
        if time.monotonic() - self._looked_s >= LOOK_S:
            self._look()
        reports = []
        for key, at, answer in self._link.receive(wait_s=1.0):
            report = self._settle(self._sent.pop(key), at, answer)
            if report is not None:
                reports.append(report)
        return reports

    def _settle(self, sent: _Sent, at: str, came: bytes | Lost | Misfit) -> Heard | None:
        """The report, or None where the task must go out again."""
        task = sent.task
        if came is Lost.WORKERS:
            if sent.alone:
                return taken_along(task)
            self._suspects.append(task)
            return None
        if isinstance(came, Lost):
            self._send_again(sent, came.value)
            return None
        if isinstance(came, Misfit):  # whose was it? One that joined later has not been asked yet
            self._look()
            for other, why in self._inspect(self._wanted_for(task.model_dir)).items():
                self._leave_out(other, why)
            self._send_again(sent, came.why)
            return None
        answer = _unpacked(came)
        there = to_there(task.path, self._cluster.maps)
        unfit = answer.unfit
        if answer.heard is not None:
            if not _unseen(task.path, answer.heard):
                return at_home(answer.heard, task.path, there)
            unfit = str(node.unseen(there, "though it is there for this computer"))
        self._leave_out(at, f"The Dask worker {at} on {answer.node} {unfit}")
        self._send_again(sent, unfit)
        return None

    def _send_again(self, sent: _Sent, why: str) -> None:
        path = sent.task.path
        self._tries[path] = self._tries.get(path, 0) + 1
        if self._tries[path] >= MAX_TRIES:
            raise ClusterError(
                f"{display(path)} was sent to the Dask cluster {MAX_TRIES} times in vain: {why}."
            )
        (self._suspects if sent.alone else self._returned).append(sent.task)

    def _leave_out(self, at: str, why: str) -> None:
        if at not in self._told:
            self._told.add(at)
            self._tell(f"{why}; it is left out for now.")
        self._unfit_since_s[at] = time.monotonic()
        self._look()
        if self._threads and self._threads.keys() <= self._unfit_since_s.keys():
            raise ClusterError(f"{why}; and no other is left that can listen.")

    def _look(self) -> None:
        """See which workers there are."""
        assert self._link is not None
        now_s = self._looked_s = time.monotonic()
        threads = self._link.threads()
        if threads is None:  # receiving finds out
            return
        if sum(threads.values()) != sum(self._threads.values()):
            self._at_work(sum(threads.values()))
        self._threads = threads
        if threads:
            self._worker_seen_s = now_s
        elif now_s - self._worker_seen_s > NO_WORKER_S:
            raise ClusterError(
                f"The Dask scheduler at {self._cluster.scheduler} has had no worker for {NO_WORKER_S:.0f} s; "
                "what was done is kept, and the next run does the rest."
            )
        self._unfit_since_s = {
            at: since_s for at, since_s in self._unfit_since_s.items() if now_s - since_s < LEFT_OUT_S
        }


def _unpacked(answer: bytes) -> node.Answer:
    found: node.Answer = pickle.loads(answer)
    return found


def _unseen(path: bytes, heard: Heard) -> bool:
    """Whether a node could not even open a file that can be opened here."""
    never_opened = heard.mtime_ns == 0 and heard.failure in (Status.CHANGED_MEANWHILE, Status.UNREADABLE)
    return never_opened and os.access(path, os.R_OK)
