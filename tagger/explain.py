"""Why a track has the genre it has, or none: everything that is known of it, gathered in one place.

What the database knows is taken from there; a file that it does not know, or that has changed since, is
listened to, and nothing is remembered of that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard
from tagger.classify import listen
from tagger.config import Config
from tagger.decision import chunk_probabilities
from tagger.errors import AudioError
from tagger.feature_config import FeatureConfig
from tagger.features import spread_segments
from tagger.files import no_such_file
from tagger.learning.headcard import judge_id
from tagger.learning.heads import Head, judge, memory_of
from tagger.learning.shelf import chosen_head, heads_dir
from tagger.measures import Measured
from tagger.plan import Plan, plan_edit, policy_of
from tagger.replace import FileStat
from tagger.store import Store
from tagger.store.recognition import WRITTEN_AGAIN
from tagger.store.rows import EditRow, LabelRow, TrackRow
from tagger.tracks import (
    MAX_LISTENED_S,
    FileTags,
    GenreEstimate,
    GenreState,
    ListenTask,
    TrackAnalysis,
    WriteMode,
)


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """What the model heard when."""

    genres: tuple[str, ...]
    starts_s: NDArray[np.float64]
    """(n_chunks,)"""
    exact: bool
    """False where silent parts were left out, so that the seconds are approximate."""
    in_part: bool
    """Whether only some segments of the track were listened to."""
    probabilities: NDArray[np.float64]
    """(n_chunks, n_genres), rows sum to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """All that is known of one track."""

    path: bytes
    row: TrackRow | None
    """None where the database does not know the file."""
    remembered: bool
    """Whether the estimate is from the database; else the file was listened to just now."""
    tags: FileTags | None
    """None where the tags cannot be read."""
    estimate: GenreEstimate | None
    """None where the file could not be heard: `row.reason` says why."""
    model_id: str | None
    duration_s: float | None
    threshold: float | None
    """Least confidence, 0-1; None where the model is not installed."""
    margin: float | None
    chunks: Chunks | None
    plan: Plan | None
    """What `tagger run` would make of it now, in the configured mode."""
    settled: bool
    """`tagger run` has decided on it under these settings, and does not again until something changes."""
    measured: Measured | None = None
    """Tempo and loudness; None where they were never measured."""
    edits: tuple[EditRow, ...] = ()
    """The latest first."""
    labels: tuple[LabelRow, ...] = ()


def explain(
    store: Store | None,
    path: bytes,
    config: Config,
    model_dir: Path,
    card_of: Callable[[str], ModelCard | None],
) -> Explanation:
    """Gather what is known of a file.

    Parameters
    ----------
    store : Store or None
        None where there is no database yet.
    model_dir : Path
        Of the model to listen with.
    card_of : callable
        Card of the installed model of an id.

    Raises
    ------
    AudioError
        The database does not know the file, and it cannot be listened to.
    ModelError
        There is no such model.
    """
    row = None if store is None else store.find(path)
    if row is not None and (not _changed(row) or row.missing_since_ns is not None):
        return _remembered(store, row, config, card_of)  # type: ignore[arg-type]  # a row comes from a store
    if reason := no_such_file(path):
        raise AudioError(reason)
    from tagger.model import load_model

    card = load_model(model_dir).card
    heard = listen(ListenTask(path, str(model_dir), time_limit_s=config.track_limit))
    if heard.analysis is None or heard.tags is None:
        raise AudioError(heard.reason)
    head = chosen_head(heads_dir(config.db), card)[0]
    parents = config.parents if config.write_parents else {}
    limits = (config.threshold, config.margin)
    estimate = judge(
        heard.analysis, card, head, memory_of(model_dir, card, head), threshold=limits[0], margin=limits[1],
        parents=parents,
    )  # fmt: skip
    return Explanation(
        path=path,
        row=row,
        remembered=False,
        tags=heard.tags,
        estimate=estimate,
        model_id=card.model_id,
        duration_s=heard.analysis.duration_s,
        threshold=_threshold(config, card, head),
        margin=card.decision.margin if config.margin is None else config.margin,
        chunks=_chunks(heard.analysis, card),
        plan=plan_edit(heard.tags, estimate, policy_of(config), _own(store, row, config)),
        settled=False,
        measured=_measured(heard.analysis),
        edits=_edits(store, row),
        labels=_labels(store, row),
    )


def _threshold(config: Config, card: ModelCard, head: Head | None) -> float:
    """The user's, else that of who decides."""
    if config.threshold is not None:
        return config.threshold
    return card.decision.threshold if head is None else head.card.threshold


def _remembered(
    store: Store, row: TrackRow, config: Config, card_of: Callable[[str], ModelCard | None]
) -> Explanation:
    card = None if row.model_id is None else card_of(row.model_id)
    analysis = store.analysis(row.id)
    tags = None
    if row.file_state is not None:
        tags = FileTags(
            row.container,
            row.file_state,
            row.file_genres,
            row.title,
            row.artist,
            row.album,
            row.year,
            row.note,
        )
    plan = None
    if row.estimate is not None and tags is not None:
        plan = plan_edit(tags, row.estimate, policy_of(config), _own(store, row, config))
    head = None if card is None else chosen_head(heads_dir(config.db), card)[0]
    who = row.model_id or "" if card is None else judge_id(card, None if head is None else head.card)
    key = policy_of(config).key(who)
    settled = row.settings_key == key and row.status not in WRITTEN_AGAIN
    return Explanation(
        path=row.path,
        row=row,
        remembered=True,
        tags=tags,
        estimate=row.estimate,
        model_id=row.model_id,
        duration_s=row.duration_s,
        threshold=config.threshold if card is None else _threshold(config, card, head),
        margin=config.margin if config.margin is not None or card is None else card.decision.margin,
        chunks=None if analysis is None or card is None else _chunks(analysis, card),
        plan=plan,
        settled=settled,
        measured=_measured(row),
        edits=_edits(store, row),
        labels=_labels(store, row),
    )


def _measured(found: TrackAnalysis | TrackRow) -> Measured | None:
    if found.tempo_strength is None:
        return None
    return Measured(found.tempo_bpm, found.tempo_strength, found.loudness_lufs, found.loudness_range_lu)


def _changed(row: TrackRow) -> bool:
    try:
        return FileStat.of(row.path) != FileStat(row.size_bytes, row.mtime_ns)
    except OSError:
        return False


def _own(store: Store | None, row: TrackRow | None, config: Config) -> GenreState | None:
    if store is None or row is None or config.mode is not WriteMode.OWN:
        return None
    return store.last_own_state(row.id)


def _edits(store: Store | None, row: TrackRow | None) -> tuple[EditRow, ...]:
    return () if store is None or row is None else tuple(store.edits_of_track(row.id))


def _labels(store: Store | None, row: TrackRow | None) -> tuple[LabelRow, ...]:
    return () if store is None or row is None else tuple(store.labels_of(row.id))


def _chunks(analysis: TrackAnalysis, card: ModelCard) -> Chunks | None:
    if not len(analysis.activations) or analysis.activations.shape[1] != len(card.genres):
        return None
    starts, exact = chunk_starts(
        len(analysis.activations), analysis.analysed_s, card.features, duration_s=analysis.duration_s
    )
    in_part = heard_in_part(analysis.analysed_s, analysis.duration_s, card.features)
    return Chunks(card.genres, starts, exact, in_part, chunk_probabilities(analysis, card))


def chunk_starts(
    n_chunks: int, analysed_s: float, config: FeatureConfig, *, duration_s: float = 0.0
) -> tuple[NDArray[np.float64], bool]:
    """Where the chunks of a track begin.

    Parameters
    ----------
    n_chunks : int
    analysed_s : float
        How much was listened to.
    config : FeatureConfig
    duration_s : float
        Of the whole track; where whole segments short of that were heard, they were spread over it.

    Returns
    -------
    starts : (n_chunks,) float64
        Seconds.
    exact : bool
        False where silent segments were left out: the chunks are then spread evenly over what was heard.
    """
    hop_s = config.chunk_hop_frames * config.hop_length / config.sr
    starts: list[float] = []
    for begin, length_s in _heard_segments(analysed_s, max(duration_s, analysed_s), config):
        n_frames = 1 + int(length_s * config.sr) // config.hop_length
        n = (
            (n_frames - config.chunk_frames) // config.chunk_hop_frames + 1
            if n_frames >= config.chunk_frames
            else 0
        )
        starts += [begin + i * hop_s for i in range(n)]
    if len(starts) == n_chunks:
        return np.array(starts), True
    if n_chunks == 1 and not starts:  # shorter than a chunk: padded to one
        return np.zeros(1), True
    return np.linspace(0, max(analysed_s - config.chunk_s, 0), n_chunks), False


def heard_in_part(analysed_s: float, duration_s: float, config: FeatureConfig) -> bool:
    """Whether only some segments of a track were listened to (``--coverage N``)."""
    n, rest = divmod(analysed_s, config.segment_s)
    return rest == 0 and 0 < n < duration_s // config.segment_s and analysed_s < MAX_LISTENED_S


def _heard_segments(analysed_s: float, duration_s: float, config: FeatureConfig) -> list[tuple[float, float]]:
    """Begin and length of each segment heard, in seconds."""
    segment_s = float(config.segment_s)
    if heard_in_part(analysed_s, duration_s, config):
        places = spread_segments(int(duration_s // segment_s), int(analysed_s // segment_s))
        return [(place * segment_s, segment_s) for place in places]
    n = int(np.ceil(analysed_s / segment_s))
    return [(i * segment_s, min(segment_s, analysed_s - i * segment_s)) for i in range(n)]
