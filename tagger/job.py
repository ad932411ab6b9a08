"""What a run is asked to do, how it ends, whom it tells, and the lock that keeps a second one out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from tagger.cluster.elsewhere import PathMap
from tagger.errors import LockedError, StoreError
from tagger.plan import WritePolicy
from tagger.profile import Profile
from tagger.tracks import MAX_LISTENED_S, Outcome, Status, display

if TYPE_CHECKING:  # whoever only asks for the lock need not wait for numpy
    from tagger.learning.heads import Head


@dataclass(frozen=True, slots=True)
class Cluster:
    """Other computers that listen for this one."""

    scheduler: str
    """Address of Dask's scheduler: ``"tcp://host:8786"``."""
    maps: tuple[PathMap, ...] = ()
    """Folders of this computer that have another path there."""
    nice: bool = False
    """The listening processes there have the least priority."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one run is asked to do."""

    roots: tuple[bytes, ...]
    model_dir: str
    policy: WritePolicy = field(default_factory=WritePolicy)
    jobs: int = 1
    """Processes that listen at once; with a cluster, 0 for all that it has."""
    cluster: Cluster | None = None
    """Where to listen, if not on this computer."""
    write: bool = True
    """False: listen and remember only."""
    dry_run: bool = False
    """Change neither files nor database; the store may be open read-only."""
    retry: bool = False
    """Listen again to files that failed before."""
    stale: bool = False
    """Listen again to what another model heard."""
    ignore: tuple[str, ...] = ()
    """gitignore patterns, relative to each root."""
    track_limit_s: float = 600.0
    """For one track."""
    time_limit_s: float | None = None
    """For the run: what is not begun by then is left to the next one."""
    n_segments: int = 0
    """How many segments of a track to listen to; 0 for all of them."""
    max_load: float | None = None
    """Begin no track while the load of the machine is above this."""
    preserve_mtime: bool = False
    hardlinks: bool = False
    """Write to files with several names too: the name written gets a file of its own."""
    head: Head | None = None
    """Who decides, from the embeddings, in place of the base model."""
    n_dims: int | None = None
    """Length of the embeddings this program makes; with `stale`, what has another is listened to again."""

    def wants_more(self, analysed_s: float | None, duration_s: float | None, segment_s: int) -> bool:
        """Whether a track of which so much was heard has clearly more of what this run asks for."""
        if analysed_s is None or duration_s is None:
            return False
        asked_s = self.n_segments * segment_s or MAX_LISTENED_S
        return analysed_s < min(duration_s, asked_s, MAX_LISTENED_S) - segment_s / 2

    def as_json(self) -> dict[str, object]:
        """What the database remembers of it, for people."""
        return {
            "roots": [display(root) for root in self.roots],
            "mode": self.policy.mode.value,
            "jobs": self.jobs,
            "scheduler": None if self.cluster is None else self.cluster.scheduler,
            "retry": self.retry,
            "stale": self.stale,
            "coverage": self.n_segments or "full",
            "head": None if self.head is None else self.head.card.head_id,
        }


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended. `run_id` is 0 after a dry run."""

    run_id: int
    counts: Mapping[Status, int]
    n_listened: int
    n_missing: int
    """Tracks of the database that are gone from the folders."""
    duration_s: float
    n_not_read: int = 0
    """Folders and files that were to be looked into, and could not be."""
    nothing_found: bool = False
    """None of the folders could be looked into."""
    profile: Profile | None = None
    """Where the time went."""
    stopped: bool = False
    """The time limit came before the end."""
    n_left: int = 0
    """Tracks a stopped run had found but not begun."""

    @property
    def n_failed(self) -> int:
        """Tracks the run could not do its job on."""
        return sum(n for status, n in self.counts.items() if status.is_failure)

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some tracks failed or a folder could not be read, 3 nothing could be done."""
        return 3 if self.nothing_found else int(self.n_failed > 0 or self.n_not_read > 0)


class Report(Protocol):
    """Where a run tells what happens: a terminal, JSON lines, a test."""

    def planned(self, n_found: int, n_to_listen: int) -> None:
        """All folders are walked; so many tracks were found, so many must be listened to."""

    def listened(self) -> None:
        """One of the tracks to listen to is done."""

    def outcome(self, outcome: Outcome) -> None:
        """A track has ended the run."""

    @property
    def wants_each(self) -> bool:
        """Whether to be told of each of the tracks with which there is nothing to do; else `unchanged` is."""

    def unchanged(self, n: int) -> None:
        """So many tracks have ended the run unchanged, each with the reason that is recorded of it."""

    def warn(self, message: str) -> None:
        """Something about no single track that a person should know."""


@dataclass(slots=True)
class Told:
    """A report that keeps what it is told, for who shows it later."""

    outcomes: list[Outcome] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    wants_each: bool = True

    def unchanged(self, n: int) -> None:
        """It is told of each."""

    def planned(self, n_found: int, n_to_listen: int) -> None:
        """Nothing to show before it is done."""

    def listened(self) -> None:
        """Nothing to show before it is done."""

    def outcome(self, outcome: Outcome) -> None:
        """Keep it."""
        self.outcomes.append(outcome)

    def warn(self, message: str) -> None:
        """Keep it."""
        self.warnings.append(message)


@contextmanager
def run_lock(database: Path) -> Iterator[None]:
    """Hold the database against a second run. The lock dies with the process, however it dies.

    Raises
    ------
    LockedError
        Another run holds it.
    StoreError
        The folder of the database cannot be made or written.
    """
    lock = FileLock(f"{database}.lock")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(f"Another run is using {database}; try again when it has finished.") from None
    except OSError as error:
        raise StoreError(
            f"The folder of the database, {database.parent}, cannot be written: {error.strerror}."
        ) from error
    try:
        yield
    finally:
        lock.release()
