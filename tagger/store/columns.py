"""How values become columns of the database and come back.

What comes out of files may hold anything: lone surrogates, NULs, years beyond 64 bits. `plain` makes
every value one that SQLite stores faithfully or a person can still read; paths and genre states come
back exactly.
"""

from __future__ import annotations

import json
import math
import numbers
from typing import TYPE_CHECKING

from tagger.tracks import (
    ExtraChange,
    ExtraTag,
    FileTags,
    GenreEstimate,
    GenreState,
    TagEdit,
    TrackAnalysis,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = None | int | float | str | bytes
MEASURES = ("tempo_bpm", "tempo_strength", "loudness_lufs", "loudness_range_lu")
"""Columns of `tracks` named as the fields of `TrackAnalysis` that they hold."""
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def plain(value: object) -> Value:
    """Make a value one that SQLite stores as what it is.

    Numbers of numpy become numbers of Python (SQLite would store them as BLOBs), integers are held within
    64 bits, a float that is not finite becomes None, and text loses what cannot be stored: lone surrogates
    and NULs become readable escapes.

    Raises
    ------
    TypeError
        Anything else, an array for one.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "\\x00")
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, bytes):
        return value
    if isinstance(value, numbers.Integral):  # bool and np.int64 are
        return min(max(int(value), _LOWEST), _HIGHEST)
    if isinstance(value, numbers.Real):  # np.float16 is
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"a {type(value).__name__} cannot be stored in a column")


def to_json(value: object) -> str:
    """JSON in ASCII: any text comes back exactly, lone surrogates and NULs too."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=plain)


def state_to_json(state: GenreState) -> str:
    """Genre state as JSON; `state_from_json` gives back an equal one."""
    return to_json([list(state.values), state.id3v1])


def state_from_json(text: str) -> GenreState:
    """Genre state from `state_to_json`, or from either half of `edit_to_json`."""
    values, id3v1, *_ = json.loads(text)
    return GenreState(tuple(values), id3v1)


def edit_to_json(edit: TagEdit) -> tuple[str, str]:
    """What was before and after an edit: states as JSON, with the extra fields behind, if any change."""
    if not edit.extras:
        return state_to_json(edit.before), state_to_json(edit.after)
    halves = (
        (edit.before, {extra.tag.value: extra.before for extra in edit.extras}),
        (edit.after, {extra.tag.value: extra.after for extra in edit.extras}),
    )
    before, after = (to_json([list(state.values), state.id3v1, extras]) for state, extras in halves)
    return before, after


def edit_from_json(before: str, after: str) -> TagEdit:
    """An edit from `edit_to_json`."""
    halves = [json.loads(text) for text in (before, after)]
    then, now = (dict(*half[2:]) for half in halves)
    extras = [ExtraChange(ExtraTag(tag), tuple(then[tag]), tuple(now[tag])) for tag in then]
    states = [GenreState(tuple(half[0]), half[1]) for half in halves]
    return TagEdit(states[0], states[1], tuple(extras))


def names_from_json(text: str) -> tuple[str, ...]:
    """Strings from a JSON list."""
    return () if text == "[]" else tuple(json.loads(text))


def tag_fields(tags: FileTags) -> dict[str, object]:
    """Columns of `tracks` that come from a file's tags."""
    return {
        "container": tags.container,
        "title": tags.title,
        "artist": tags.artist,
        "album": tags.album,
        "year": tags.year,
        "note": tags.note,
        "file_genres": to_json(tags.genres),
        "file_state": state_to_json(tags.state),
    }


def analysis_fields(analysis: TrackAnalysis | None) -> dict[str, object]:
    """Columns of `tracks` that come from an analysis, cleared where there is none."""
    if analysis is None:
        nothing = {"duration_s": None, "analysed_s": None, "n_chunks": None, "short": False, "abstain": ""}
        return nothing | dict.fromkeys(MEASURES)
    measures = {name: getattr(analysis, name) for name in MEASURES}
    return measures | {
        "duration_s": analysis.duration_s,
        "analysed_s": analysis.analysed_s,
        "n_chunks": len(analysis.activations),
        "short": analysis.short,
        "abstain": analysis.abstain,
    }


def estimate_fields(estimate: GenreEstimate | None) -> dict[str, object]:
    """Columns of `tracks` that come from a decision, cleared where there is none."""
    if estimate is None:
        return {"genre": None, "confidence": None, "probabilities": "{}", "estimate_reason": ""}
    probabilities = {str(label): plain(p) or 0.0 for label, p in estimate.probabilities.items()}
    return {
        "genre": estimate.genre,
        "confidence": estimate.confidence,
        "probabilities": to_json(probabilities),
        "estimate_reason": estimate.reason,
    }


def arrays_to_blobs(analysis: TrackAnalysis) -> tuple[int, int, bytes, bytes]:
    """Arrays of an analysis as little-endian bytes.

    Returns
    -------
    n_chunks, n_genres : int
    activations : bytes
        float16, n_chunks × n_genres, row by row.
    embedding : bytes
        float32.
    """
    n_chunks, n_genres = analysis.activations.shape
    return (
        n_chunks,
        n_genres,
        analysis.activations.astype("<f2").tobytes(),
        analysis.embedding.astype("<f4").tobytes(),
    )


def activations_from_blob(blob: bytes, n_chunks: int, n_genres: int) -> NDArray[np.float16]:
    """Activations, (n_chunks, n_genres) float16, read-only."""
    import numpy as np

    return np.frombuffer(blob, dtype="<f2").astype(np.float16, copy=False).reshape(n_chunks, n_genres)


def embedding_from_blob(blob: bytes) -> NDArray[np.float32]:
    """Embedding, (n_dims,) float32, read-only."""
    import numpy as np

    return np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)
