"""From a track's activations to a genre, or to a reasoned silence. Pure: no files, no model.

The logits of each chunk are divided by the card's temperature and softmaxed, the probabilities averaged over
the track. The best genre is given only from the threshold on and with the margin over the second; where it is
not, a genre above it may be, which has the probability of all that are below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard
from tagger.learning.hierarchy import ancestors, covers
from tagger.tracks import GenreEstimate, TrackAnalysis

NO_AUDIO = "no audio to listen to"
NO_PARENTS: Mapping[str, str] = MappingProxyType({})


def chunk_probabilities(analysis: TrackAnalysis, card: ModelCard) -> NDArray[np.float64]:
    """Calibrated probabilities of each chunk.

    Parameters
    ----------
    analysis : TrackAnalysis
    card : ModelCard
        Of the model that made the analysis.

    Returns
    -------
    (n_chunks, n_genres) float64
        Rows sum to 1, in time order, the genres in the card's order.

    Raises
    ------
    ValueError
        The analysis is of a model with another number of genres.
    """
    logits = np.asarray(analysis.activations, dtype=np.float64)
    if not len(logits):
        return np.empty((0, len(card.genres)))
    if logits.shape[1] != len(card.genres):
        raise ValueError(
            f"an analysis of {logits.shape[1]} genres does not fit {card.model_id}'s {len(card.genres)}"
        )
    scaled = logits / card.calibration.temperature
    e = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def decide(
    analysis: TrackAnalysis,
    card: ModelCard,
    *,
    threshold: float | None = None,
    margin: float | None = None,
    parents: Mapping[str, str] = NO_PARENTS,
) -> GenreEstimate:
    """The genre of a track, or none with the reason why not.

    Parameters
    ----------
    analysis : TrackAnalysis
    card : ModelCard
        Of the model that made the analysis.
    threshold : float or None
        Least confidence, 0-1; None: the card's.
    margin : float or None
        Least lead over the second genre, 0-1; None: the card's.
    parents : mapping
        The genre above a genre, where that may be given in its place.

    Returns
    -------
    GenreEstimate
        With all probabilities, also where no genre is given; `reason` is empty where one is.
    """
    threshold = card.decision.threshold if threshold is None else threshold
    margin = card.decision.margin if margin is None else margin
    chunks = chunk_probabilities(analysis, card)
    if not len(chunks):
        return GenreEstimate(genre=None, confidence=0.0, reason=analysis.abstain or NO_AUDIO)
    return choose(
        card.genres,
        chunks.mean(axis=0),
        threshold=threshold,
        margin=margin,
        abstain=analysis.abstain,
        parents=parents,
    )


def choose(
    genres: Sequence[str],
    probabilities: NDArray[np.float64],
    *,
    threshold: float,
    margin: float,
    abstain: str = "",
    parents: Mapping[str, str] = NO_PARENTS,
) -> GenreEstimate:
    """The most probable genre where it may be given.

    Parameters
    ----------
    genres : sequence of str
        At least two labels.
    probabilities : (n_genres,) float64
        Calibrated.
    threshold, margin : float
        Least confidence, and least lead over the second, 0-1.
    abstain : str
        Why none may be given whatever the probabilities; empty where one may.
    parents : mapping
        The genre above a genre. Where the most probable one may not be given, the nearest above it may that
        passes the same limits with the probability of all genres below it (and its own, if it is one of
        `genres`).
    """
    order = np.argsort(-probabilities, kind="stable")  # ties: the order of the genres
    named = {genres[i]: float(probabilities[i]) for i in order}
    best, second = genres[order[0]], genres[order[1]]
    confidence = float(probabilities[order[0]])
    lead = float(probabilities[order[0]] - probabilities[order[1]])
    reason, genre = "", None
    if abstain:
        reason = abstain
    elif confidence < threshold:
        reason = f"best guess {best} at {_shown(confidence, threshold)}, below {threshold:.2f}"
    elif lead < margin:
        reason = (
            f"{best} at {confidence:.2f} leads {second} by {_shown(lead, margin)}, less than {margin:.2f}"
        )
    else:
        genre = best
    if genre is None and not abstain and parents:
        for parent in ancestors(best, parents):
            below = [label for label in named if covers(parent, label, parents)]
            share = sum(named[label] for label in below)
            rival = max((p for label, p in named.items() if label not in below), default=0.0)
            if share >= threshold and share - rival >= margin:
                label = next((label for label in below if covers(label, parent, NO_PARENTS)), parent)
                return GenreEstimate(genre=label, confidence=min(share, 1.0), probabilities=named)
    return GenreEstimate(genre=genre, confidence=confidence, probabilities=named, reason=reason)


def _shown(value: float, limit: float) -> str:
    """`value` with two decimals, or as many as it takes to look below `limit`."""
    digits = 2
    while digits < 6 and round(value, digits) >= round(limit, 2):
        digits += 1
    return f"{value:.{digits}f}"
