"""Rows of the database as frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tagger.store.columns import edit_from_json, names_from_json, state_from_json
from tagger.tracks import GenreEstimate, GenreState, Status, TagEdit

RunKind = Literal["run", "scan", "write", "undo"]
RunState = Literal["running", "done", "interrupted", "failed"]
EditState = Literal["intended", "done", "abandoned", "superseded", "undone"]
LabelSource = Literal["user", "import", "tags"]
PERSONS = "('user', 'import')"
"""Sources of labels that are a person's word, as SQL has a list."""


@dataclass(frozen=True, slots=True)
class TrackRow:
    """A track as the database knows it. Columns of the table `tracks` without `display`."""

    id: int
    path: bytes
    root: bytes
    size_bytes: int
    mtime_ns: int
    digest: bytes | None
    """Of the coded audio; None where it was never read completely."""
    container: str
    title: str
    artist: str
    album: str
    year: int | None
    note: str
    file_genres: tuple[str, ...]
    """Readable genres in the file when it was last read."""
    file_state: GenreState | None
    """The raw genre field; None where the tags could not be read."""
    model_id: str | None
    """Whose analysis and estimate these are; None without a valid analysis of this very audio."""
    genre: str | None
    """The model's label; None where it abstains."""
    confidence: float | None
    probabilities: Mapping[str, float]
    estimate_reason: str
    duration_s: float | None
    analysed_s: float | None
    n_chunks: int | None
    short: bool
    abstain: str
    status: Status | None
    """Of the last run that had something to do; None before the first."""
    reason: str
    settings_key: str
    """Hash of the settings under which `status` was decided."""
    first_seen_ns: int
    listened_ns: int | None
    updated_ns: int
    missing_since_ns: int | None
    run_id: int | None
    """The last run that had something to do with it."""
    tempo_bpm: float | None = None
    tempo_strength: float | None = None
    """None where the tempo was never measured: by an earlier version of this program."""
    loudness_lufs: float | None = None
    loudness_range_lu: float | None = None

    @property
    def estimate(self) -> GenreEstimate | None:
        """The stored decision, None without an analysis."""
        if self.model_id is None:
            return None
        return GenreEstimate(self.genre, self.confidence or 0.0, self.probabilities, self.estimate_reason)


TRACK_COLUMNS = ", ".join(f"tracks.{name}" for name in TrackRow.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of the program."""

    id: int
    kind: str
    state: RunState
    started_ns: int
    ended_ns: int | None
    exit_code: int | None
    version: str
    model_id: str | None
    options: Mapping[str, Any]
    counts: Mapping[str, int]
    tracks_per_s: float | None

    @property
    def ended(self) -> str:
        """The state in a word: ``"limited"`` for a run that stopped at its time limit, which is recorded as
        interrupted with the exit code of one that was not."""
        limited = self.state == "interrupted" and self.exit_code in (0, 1)
        return "limited" if limited else self.state


RUN_COLUMNS = ", ".join(f"runs.{name}" for name in RunRow.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class EditRow:
    """One change of a file's genre field, intended or done."""

    id: int
    run_id: int
    track_id: int | None
    path: bytes
    """Where the file was at the time."""
    track_path: bytes | None
    """Where it is now, as far as is known; None once the track was forgotten."""
    edit: TagEdit
    state: EditState
    undoes: int | None
    size_before_bytes: int
    mtime_before_ns: int
    size_after_bytes: int | None
    mtime_after_ns: int | None
    intended_ns: int
    settled_ns: int | None

    @property
    def now_at(self) -> bytes:
        """Where the file is, as far as is known."""
        return self.track_path or self.path


EDIT_COLUMNS = (
    "edits.id, edits.run_id, edits.track_id, edits.path, tracks.path, edits.before, edits.after, "
    "edits.state, edits.undoes, edits.size_before_bytes, edits.mtime_before_ns, edits.size_after_bytes, "
    "edits.mtime_after_ns, edits.intended_ns, edits.settled_ns"
)


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How one track ended one run. Tracks that ended it `unchanged` have none."""

    run_id: int
    track_id: int
    path: bytes
    status: Status
    reason: str
    genre: str | None
    """The name written or that would have been written."""
    confidence: float | None
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A genre somebody, or a file's own tag, says a track has."""

    track_id: int | None
    path: bytes
    genre: str
    source: LabelSource
    at_ns: int


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Tracks that failed for one reason."""

    status: Status
    reason: str
    n: int
    paths: tuple[bytes, ...]
    """The first of them."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The library in figures; missing tracks count in `n_missing` alone."""

    n_tracks: int
    n_missing: int
    n_stale: int
    """Analysed with another model than the one asked about (0 where none was)."""
    by_status: Mapping[str, int] = field(default_factory=dict)
    """Most first; tracks no run has finished under an empty name."""
    by_genre: Mapping[str, int] = field(default_factory=dict)
    """Labels, most first; tracks without an estimate or with an abstention are left out."""
    by_model: Mapping[str, int] = field(default_factory=dict)
    last_run: RunRow | None = None


_GENRES, _STATE, _PROBABILITIES, _SHORT, _STATUS = (
    list(TrackRow.__dataclass_fields__).index(name)
    for name in ("file_genres", "file_state", "probabilities", "short", "status")
)


def track_row(row: Sequence[Any]) -> TrackRow:
    """Make a row of `TRACK_COLUMNS` a `TrackRow`."""
    values = list(row)
    values[_GENRES] = names_from_json(values[_GENRES])
    values[_STATE] = None if values[_STATE] is None else state_from_json(values[_STATE])
    values[_PROBABILITIES] = json.loads(values[_PROBABILITIES])
    values[_SHORT] = bool(values[_SHORT])
    values[_STATUS] = None if values[_STATUS] is None else Status(values[_STATUS])
    return TrackRow(*values)


def run_row(row: Sequence[Any]) -> RunRow:
    """Make a row of `RUN_COLUMNS` a `RunRow`."""
    values = list(row)
    values[8:10] = json.loads(values[8]), json.loads(values[9])
    return RunRow(*values)


def edit_row(row: Sequence[Any]) -> EditRow:
    """Make a row of `EDIT_COLUMNS` an `EditRow`."""
    values = list(row)
    values[5:7] = [edit_from_json(values[5], values[6])]
    return EditRow(*values)


def outcome_row(row: Sequence[Any]) -> OutcomeRow:
    """Make a row of columns named as `OutcomeRow`'s one."""
    values = list(row)
    values[3] = Status(values[3])
    values[7:9] = names_from_json(values[7]), names_from_json(values[8])
    return OutcomeRow(*values)
