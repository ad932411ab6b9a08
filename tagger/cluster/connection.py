"""The one connection to a Dask cluster: what Dask can say of a task, in the few words a run needs.

Through `distributed` itself and not joblib's Dask backend: that ends the whole call with the first task that
Dask gives up, without saying which one it was; has no limit of its own on what is in flight beside batches it
sizes by time; and no word on workers that are not fit. What is sent and what comes of it is the business of
`tagger.cluster.dispatch`; here alone Dask is imported.

Nothing of ours is in what Dask itself must understand: a worker that cannot unpickle a task is closed by its
own Dask, tasks of others and all. So what is called is `eval`, which every Python has, with a line that looks
for `tagger.cluster.node` only when it runs, and bytes.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from asyncio import CancelledError as AsyncCancelledError
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, KilledWorker

from tagger.errors import ClusterError

CONNECT_S = 10.0
WORKERS_S = 60.0
"""How long to wait for the first worker, which a cluster may have to start."""
AGAIN_S = 180.0
"""How long to wait for a scheduler that was there and is not any more."""
ASK_S = 10.0
ANSWER_S = 120.0
"""How long to wait for what every worker is asked first: its disk may be asleep, or it may be busy."""
LEAVE_S = 1.5
"""Each of the steps of leaving may take so long: Ctrl-C is not to be waited for."""

_DROPPED = (CancelledError, AsyncCancelledError, TimeoutError, OSError)
"""What Dask raises where a connection, and not the task, is in trouble."""


_NODE = "__import__('tagger.cluster.node', fromlist=['node'])"
_ERRAND = f"(__import__('distributed').get_worker().address, {_NODE}.carry_out(*asked))"
_LEAVE = f"{_NODE}.leave(run)"


@dataclass(frozen=True, slots=True)
class Misfit:
    """A task failed in a way in which ours do not: there is no tagger, or an older one."""

    why: str


class Lost(Enum):
    """Why there is no answer to a task, and will be none."""

    CONNECTION = "the connection to the scheduler was lost"
    WORKERS = "every worker that had it was lost"


class Link:
    """A connection to a scheduler that is renewed when it breaks; for one thread."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises
        ------
        ClusterError
            There is no scheduler.
        """
        for name in ("distributed", "tornado", "asyncio"):  # it is all said by us, in a sentence
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._address = address
        self._futures: dict[str, Any] = {}
        self._done: SimpleQueue[str] = SimpleQueue()
        try:
            self._client = _connect(address)
        except Exception as error:
            if not isinstance(error, OSError):  # it answers, in words that are not understood
                raise self.misfit(said(error)) from error
            raise ClusterError(
                f"The Dask scheduler at {address} cannot be reached ({said(error)}); see whether it runs, "
                "and whether this is its address."
            ) from error

    def wait_for_worker(self) -> None:
        """Send a first task, for which a cluster that grows by need starts a worker, and wait for one.

        Raises
        ------
        ClusterError
            There is none.
        """
        first = self._client.submit(eval, "0", pure=False)
        until_s = time.monotonic() + WORKERS_S
        while True:
            try:
                first.result(timeout=min(WORKERS_S, 1.0))
                return
            except TimeoutError:
                if self.threads():  # they are at work for others: ours will have its turn
                    return
            except Exception as error:
                raise self.misfit(said(error)) from error
            if time.monotonic() >= until_s:
                raise ClusterError(
                    f"No worker has joined the Dask scheduler at {self._address} within {WORKERS_S:.0f} s; "
                    f"start some with `dask worker {self._address}`."
                )

    def ask(self, workers: Iterable[str], *errand: object) -> dict[str, bytes | Misfit]:
        """Send an errand to each of these workers: the results of those that come to it in time."""
        futures = {at: self._submit(errand, workers=[at]) for at in workers}
        until_s = time.monotonic() + ANSWER_S
        answers: dict[str, bytes | Misfit] = {}
        for at, future in futures.items():
            try:
                answers[at] = future.result(timeout=max(until_s - time.monotonic(), 0.1))[1]
            except (KilledWorker, *_DROPPED):
                continue
            except Exception as error:
                answers[at] = Misfit(said(error))
        return answers

    def threads(self) -> dict[str, int] | None:
        """How many threads each worker has, by its address; None where the scheduler does not say."""
        with suppress(Exception):
            found = self._client.sync(self._client.scheduler.ncores, callback_timeout=ASK_S)
            return {str(at): int(n) for at, n in found.items()}
        return None

    def send(self, key: str, *errand: object, rather: Sequence[str] = ()) -> None:
        """Hand an errand (see `tagger.cluster.node.carry_out`) to the scheduler, to be done by one of the
        workers `rather` if any of them is there."""
        where = {"workers": list(rather), "allow_other_workers": True} if rather else {}
        future = self._futures[key] = self._submit(errand, key=key, **where)
        self._tell_of(future)

    def _submit(self, errand: tuple[object, ...], **how: object) -> Any:
        return self._client.submit(eval, _ERRAND, {"asked": errand}, pure=False, **how)

    def receive(self, wait_s: float) -> list[tuple[str, str, Any]]:
        """What came of tasks within a time: key, address of the worker, and its answer, a `Lost` or `Misfit`.

        Raises
        ------
        ClusterError
            The scheduler is gone for good.
        """
        keys: dict[str, None] = {}
        with suppress(Empty):
            keys[self._done.get(timeout=wait_s)] = None
            while True:
                keys[self._done.get_nowait()] = None
        if self._client.status != "running":  # no answer to any of them will come any more
            lost, self._futures = list(self._futures), {}
            self._wait_for_scheduler()
            return [(key, "", Lost.CONNECTION) for key in lost]
        known = [key for key in keys if key in self._futures]
        finished = [key for key in known if self._futures[key].status == "finished"]
        results: dict[str, Any] = {}
        with suppress(Exception, AsyncCancelledError):  # lost with a worker: each is asked for by itself
            gathered = self._gather([self._futures[key] for key in finished])
            results = dict(zip(finished, gathered, strict=True))
        answers = []
        for key in known:
            answer = results[key] if key in results else self._ask_for(key)
            if answer is not None:
                del self._futures[key]
                answers.append((key, *(("", answer) if isinstance(answer, Lost | Misfit) else answer)))
        return answers

    def close(self, run: str) -> None:
        """Call back all tasks, have the workers leave the run, disconnect; in a few seconds at most."""
        futures, self._futures = list(self._futures.values()), {}
        if self._client.status == "running":
            if futures:
                _within(LEAVE_S, lambda: self._client.cancel(futures, force=True))
            _within(LEAVE_S, lambda: self._client.run(eval, _LEAVE, {"run": run}, on_error="ignore"))
        _within(LEAVE_S, self._client.close)

    def misfit(self, why: str) -> ClusterError:
        """The sentence on a cluster that does not understand what it is sent."""
        return ClusterError(
            f"The Dask cluster at {self._address} cannot take the work ({why}); see that all workers have "
            f"this version of tagger, and they and the scheduler Dask {version('distributed')}."
        )

    def _gather(self, futures: list[Any]) -> list[Any]:
        gather = self._client.gather
        found: list[Any] = self._client.sync(
            lambda: gather(futures, asynchronous=True), callback_timeout=ASK_S
        )
        return found

    def _tell_of(self, future: Any) -> None:
        future.add_done_callback(lambda done: self._done.put(done.key))

    def _ask_for(self, key: str) -> Any:
        """The result of one task, or why there is none; None where it is under way again."""
        future = self._futures[key]
        if future.status == "pending":  # it was done, and lost with the worker that held the result
            self._tell_of(future)
            return None
        try:
            return future.result(timeout=ASK_S)
        except KilledWorker:
            return Lost.WORKERS
        except _DROPPED as error:
            if future.status != "error" or isinstance(error, CancelledError | AsyncCancelledError):
                return Lost.CONNECTION
            return Misfit(said(error))
        except Exception as error:
            return Misfit(said(error))

    def _wait_for_scheduler(self) -> None:
        until_s = time.monotonic() + AGAIN_S
        while self._client.status == "connecting" and time.monotonic() < until_s:
            time.sleep(0.2)
        while self._client.status != "running":
            _within(LEAVE_S, self._client.close)
            with suppress(Exception):
                self._client = _connect(self._address)
                return
            if time.monotonic() >= until_s:
                raise ClusterError(
                    f"The Dask scheduler at {self._address} has gone and did not come back within "
                    f"{AGAIN_S:.0f} s; what was done is kept, and the next run does the rest."
                )
            time.sleep(1.0)


class _Client(Client):
    """A client that, when it could not even connect, goes without a word instead of with a traceback."""

    def __del__(self) -> None:
        """Do nothing: `Link` closes what it opened."""


def _connect(address: str) -> Any:
    with warnings.catch_warnings():  # of versions that differ: what matters of them is asked for
        warnings.simplefilter("ignore")
        return _Client(address, timeout=CONNECT_S, set_as_default=False, name="tagger")  # type: ignore[no-untyped-call]


def said(error: BaseException) -> str:
    """An exception in one line; what caused it says more, where it says anything."""
    for one in (error.__cause__, error):
        if one is not None and str(one):
            return f"{type(one).__name__}: {' '.join(str(one).split())[:200]}"
    return type(error).__name__


def _within(seconds: float, step: Callable[[], object]) -> None:
    """Do something that may hang, and go on without it if it does."""

    def quietly() -> None:
        with suppress(Exception, AsyncCancelledError):
            step()

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(seconds)
