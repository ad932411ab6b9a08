"""The values that cross module borders, all frozen. Imports nothing of ours.

Conventions: a path is `bytes`, exactly as the file system has it, absolute; `display` makes it
printable. Times are in seconds (`_s`) or nanoseconds since the epoch (`_ns`). Activations and
embeddings are numpy arrays of the stated shape and dtype and are not to be modified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # keep numpy out of `tagger --help`
    import numpy as np
    from numpy.typing import NDArray


MAX_LISTENED_S = 3 * 3600.0
"""Of a longer track (a day of radio), the first three hours are analysed."""


class Status(StrEnum):
    """What became of a track in a run: exactly one of these, always with a reason."""

    TAGGED = "tagged"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    UNCERTAIN = "uncertain"
    UNREADABLE = "unreadable"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    REFUSED = "refused"
    CHANGED_MEANWHILE = "changed_meanwhile"
    FAILED = "failed"

    @property
    def is_failure(self) -> bool:
        """True where the run could not do its job on the track: the run then exits 1."""
        return self in FAILURES


FAILURES = frozenset(
    {
        Status.UNREADABLE,
        Status.TIMED_OUT,
        Status.CRASHED,
        Status.REFUSED,
        Status.CHANGED_MEANWHILE,
        Status.FAILED,
    }
)


class WriteMode(StrEnum):
    """Which files may get a genre."""

    MISSING = "missing"
    """Only files without a genre (the default)."""
    APPEND = "append"
    """Add the genre to those the file has, unless it is among them."""
    OVERWRITE = "overwrite"
    """Replace whatever the file has."""
    OWN = "own"
    """Files without a genre, and values this tool wrote and nobody changed since."""


class ExtraTag(StrEnum):
    """A field beside the genre that is written with it where somebody asks for it (`tagger.extras`)."""

    CONFIDENCE = "confidence"
    """How sure the model is of the genre."""
    MODEL = "model"
    """Who heard it."""
    VERSION = "version"
    """Of this program."""
    TEMPO = "tempo"
    """Beats a minute, in the field that other programs have for it."""


def display(path: bytes) -> str:
    """Printable form of a path: bytes that are not UTF-8 and control characters shown as ``\\xNN``."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class Track(NamedTuple):
    """A regular file that may hold music, as the scan found it.

    No dataclass: of these a run makes one for every file of a collection, in half the time.
    """

    path: bytes
    root: bytes
    """The scanned folder it was found under (or the file's own folder when a file was named)."""
    size_bytes: int
    mtime_ns: int
    n_links: int = 1


IGNR = "IGNR:"
"""How the genre in a RIFF INFO list stands among the values of a `GenreState`: before those of ID3."""

ONLY_ID3V1 = "ID3v1:"
"""How the genre of a file whose only tag is ID3v1 stands there: its name, or nothing for none."""


@dataclass(frozen=True, slots=True)
class GenreState:
    """The genre field exactly as a file stores it, enough to restore it.

    `values` are the raw stored strings in order (``"(17)"`` stays ``"(17)"``), empty where the field is
    absent; `id3v1` is the genre byte of a trailing ID3v1 tag (0-255), None where there is no such tag. Where
    that is the only tag, ``"ID3v1:Rock"`` is the only value.
    """

    values: tuple[str, ...] = ()
    id3v1: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The values without the marks of special places, each once: to be shown or compared."""
        plain = (value.removeprefix(IGNR).removeprefix(ONLY_ID3V1) for value in self.values)
        return tuple(dict.fromkeys(name for name in plain if name))


@dataclass(frozen=True, slots=True)
class ExtraChange:
    """One change of an extra field, along with the genre: its values, none where it is not there."""

    tag: ExtraTag
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TagEdit:
    """One change of a file's genre field, and of the extra fields that go with it."""

    before: GenreState
    after: GenreState
    extras: tuple[ExtraChange, ...] = ()
    """Extra fields that are not named stay as they are."""

    def is_to_come(self, tags: FileTags) -> bool:
        """Whether a file holds all that it is to hold before."""
        found = tags.extras or {}
        return tags.state == self.before and all(found.get(e.tag, ()) == e.before for e in self.extras)

    def is_done(self, tags: FileTags) -> bool:
        """Whether a file holds all that it is to hold afterwards."""
        found = tags.extras or {}
        return tags.state == self.after and all(found.get(e.tag, ()) == e.after for e in self.extras)


@dataclass(frozen=True, slots=True)
class FileTags:
    """What a file says about itself. Strings are empty and `year` None where it says nothing."""

    container: str
    """Name of the row in the table of containers: ``"mp3"``, ``"flac"``, ``"ogg-vorbis"``, ``"mp4"``…"""
    state: GenreState
    genres: tuple[str, ...] = ()
    """Readable genre names (``"(17)"`` is ``"Rock"``); a lone ID3v1 genre counts."""
    title: str = ""
    artist: str = ""
    album: str = ""
    year: int | None = None
    note: str = ""
    """Something a person should know: ``"an APEv2 tag says 'Pop' beside ID3's 'Rock'"``."""
    extras: Mapping[ExtraTag, tuple[str, ...] | None] | None = None
    """Values of the extra fields that are there; None for one that must be left alone, as it could not be
    restored. None at all where it is not known: the database does not remember them."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackAnalysis:
    """What the model heard.

    `activations`: (n_chunks, n_genres) float16, the logits of each chunk in time order, the genres in the
    order of the model card. float16 is their one precision, in memory and in the database, so that a decision
    taken again from the database is the same. `embedding`: (n_dims,) float32, pooled over the chunks by
    `tagger.pooling`: of twice the network's own length and the fluctuation.
    `abstain`: why no genre may be given whatever the activations say (silence, no audio), else empty.
    Without audio both arrays have no rows (n_chunks 0, n_dims 0).
    """

    activations: NDArray[np.float16]
    embedding: NDArray[np.float32]
    duration_s: float
    analysed_s: float
    short: bool = False
    """Under one chunk long: padded."""
    abstain: str = ""
    tempo_bpm: float | None = None
    """Beats a minute of the whole track (`tagger.rhythm`); None where no beat is heard, or it was heard by a
    version of this program that did not measure it, as the rest below."""
    tempo_strength: float | None = None
    """How plainly the beat is heard, 0-1; None where it was not measured."""
    loudness_lufs: float | None = None
    """Estimate of the integrated loudness of EBU R128 (`tagger.loudness`), from the mono mix; None for
    silence."""
    loudness_range_lu: float | None = None
    """Its range, after EBU Tech 3342: how far the loud parts are above the quiet ones."""


@dataclass(frozen=True, slots=True)
class GenreEstimate:
    """The decision for one track. `genre` is None when the model abstains, and `reason` says why. It is the
    first of `probabilities`, or one above that in the user's hierarchy."""

    genre: str | None
    confidence: float
    """Calibrated probability of `genre`, 0-1; without one, of the first of `probabilities`."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    """Label to calibrated probability, most probable first; sums to 1 (empty without audio)."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ListenTask:
    """What a worker is asked to do with one file."""

    path: bytes
    model_dir: str
    known_digests: frozenset[bytes] = frozenset()
    """Digests of coded audio already analysed with this model: such a file is not listened to again."""
    time_limit_s: float = 600.0
    n_segments: int = 0
    """How many segments of the track to listen to; 0 for all."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A worker's report on one file. Exactly one of: `failure` set; `analysis` set; neither, when the digest
    was among the known ones."""

    path: bytes
    size_bytes: int = 0
    mtime_ns: int = 0
    digest: bytes | None = None
    """16 bytes over the coded audio, independent of the tags."""
    tags: FileTags | None = None
    analysis: TrackAnalysis | None = None
    failure: Status | None = None
    reason: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Time spent by part: ``decode``, ``resample``, ``mel``, ``measures``, ``cnn``, ``tags``, ``digest``,
    ``model``."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one track ended a run."""

    path: bytes
    status: Status
    reason: str
    genre: str | None = None
    """The name written or that would be written; for `uncertain`, None."""
    confidence: float | None = None
    genres: Mapping[str, float] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
