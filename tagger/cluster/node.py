"""What runs on a Dask worker: is this node fit to listen, and the listening, in a process beside the worker.

Nothing of this is heavy to import, and nothing of ours is left in the worker: each of its threads has an
`Ear`, whose process decodes, is limited in time and memory, and may die without the worker noticing more than
that. So Dask's worker lives on, its other tasks are not disturbed, and the culprit is known at once.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import tagger
from tagger.cluster.ear import DiedError, Ear
from tagger.errors import ClusterError, TaggerError
from tagger.guard import GRACE_S, Worker, crashed, guarded, timed_out
from tagger.tracks import Heard, ListenTask, display

PROOF_S = 120.0
"""Longest time to load the model for the first time."""

CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node must have for its word to be worth as much as the parent's own."""

    card_digest: str
    """SHA-256 of the model's card, which holds that of the weights and the features' fingerprint."""
    model_dir: str
    """The model's folder as the node would have it, if it has it."""
    model_id: str
    nice: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """One task for a node. The path of the task is the node's."""

    run: str
    worker: Worker
    task: ListenTask
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node says to an order: a report, or why it is not fit to make one."""

    node: str
    heard: Heard | None = None
    unfit: str = ""


@cache
def describe() -> str:
    """The version of this program."""
    return tagger.__version__


def carry_out(errand: str, version: str, asked: bytes) -> bytes:
    """What a node is asked for, and its `Answer`, both pickled: another version may not understand them.

    Parameters
    ----------
    errand
        ``"hear"`` with an `Order`; or ``"inspect"`` with a `Wanted` and a path, which may be empty: whether
        this node has the same version and the same model, which loads there, and sees that file.
    version
        Of who asks.
    """
    name = f"{socket.gethostname()} (process {os.getpid()})"
    if version != describe():
        return pickle.dumps(Answer(name, unfit=f"has tagger {describe()}, and this computer {version}"))
    heard = None
    try:
        if errand == "hear":
            heard = _hear(pickle.loads(asked))
        else:
            _inspect(*pickle.loads(asked))
    except TaggerError as error:
        return pickle.dumps(Answer(name, unfit=str(error)))
    except Exception as error:  # one node's trouble must not be every track's
        return pickle.dumps(Answer(name, unfit=f"cannot listen: {type(error).__name__}: {error}"))
    return pickle.dumps(Answer(name, heard))


def leave(run: str) -> None:
    """The run is over: end its processes, whatever they do. Dask's own loop calls this: no waiting."""
    with _lock:
        _left.append(run)
        ears = [_ears.pop(key) for key in list(_ears) if key[1] == run]
    for ear in ears:
        threading.Thread(target=ear.close, daemon=True).start()


_lock = threading.Lock()
_ears: dict[tuple[int, str], Ear] = {}
"""The process of each thread of this worker, for each run."""
_left: deque[str] = deque(maxlen=100)
"""Runs that are over: a task of theirs that was called back too late starts no process any more."""
_proven: set[Wanted] = set()
"""What was tried here and works."""


def _inspect(wanted: Wanted, path: bytes) -> None:
    ear = Ear(nice=wanted.nice)
    try:
        _prove(ear, wanted)
    finally:
        ear.close()
    if path:
        try:
            with Path(os.fsdecode(path)).open("rb"):
                return
        except OSError as error:
            raise unseen(path, error.strerror or "it cannot be opened") from error


def unseen(path: bytes, why: str) -> ClusterError:
    """The sentence on a node that has not the files that the parent has."""
    return ClusterError(
        f"does not see {display(path)} ({why}): mount the music there, or say --map HERE=THERE where it has "
        "another path"
    )


def _hear(order: Order) -> Heard:
    task = order.task
    with _lock:
        if order.run in _left:
            raise ClusterError("has been told that the run is over")
        ear = _ears.setdefault((threading.get_ident(), order.run), Ear(nice=order.wanted.nice))
    model_dir = _prove(ear, order.wanted)
    try:
        # The process has a watchdog of its own, which comes first unless the process cannot even keep time.
        limit_s = task.time_limit_s + 2 * GRACE_S
        heard: Heard = ear.ask(guarded, order.worker, replace(task, model_dir=model_dir), limit_s=limit_s)
        return heard
    except DiedError as died:
        return timed_out(task) if died.after_s >= task.time_limit_s else crashed(task, died.how)


def _prove(ear: Ear, wanted: Wanted) -> str:
    """The model's folder here, once it has been loaded in a process like those that listen.

    Raises
    ------
    ClusterError
        There is no such model here, or something it needs is missing.
    """
    model_dir = _model_dir(wanted)
    if wanted not in _proven:
        try:
            trouble = ear.ask(try_model, model_dir, limit_s=PROOF_S)
        except DiedError as died:
            trouble = str(died)
        if trouble:
            raise ClusterError(f"cannot listen: {trouble}")
        _proven.add(wanted)
    return model_dir


def _model_dir(wanted: Wanted) -> str:
    """Where the model with that very card is on this node: where the parent says, or among those shipped."""
    shipped = sorted(Path(tagger.__file__).parent.glob(f"models/*/{CARD_FILE}"))
    for card in (Path(wanted.model_dir) / CARD_FILE, *shipped):
        with suppress(OSError):
            if card_digest(card) == wanted.card_digest:
                return str(card.parent)
    raise ClusterError(
        f"has no model {wanted.model_id} that is the same as here: install the same tagger there, or have "
        "the model's folder on the shared disk"
    )


def card_digest(card: Path) -> str:
    """SHA-256 of a card: it names a model completely."""
    return hashlib.sha256(card.read_bytes()).hexdigest()


def try_model(model_dir: str) -> str:
    """In a listening process: import what listening takes, load the model. What is wrong, or nothing."""
    try:
        import tagger.audio
        import tagger.formats.digest
        import tagger.tags  # noqa: F401
        from tagger.model import load_model

        load_model(model_dir)
    except (ImportError, OSError, TaggerError) as error:
        return str(error)
    return ""
