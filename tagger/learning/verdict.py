"""Figures of what was learnt from a person's labels, and whether it may take the place of what is in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tagger.learning.fitting import MOST_LOST, named_out_of_fold, precision_threshold

CHANCE = 0.05
"""What takes a base model's place must be better by more than chance would give more often than this."""
LEAST_FOR_THRESHOLD = 30
"""From fewer words a threshold says little: then the base model's is kept."""


@dataclass(frozen=True, slots=True)
class GenreScore:
    """How a genre fared on the person's own labels, out of fold and when forced to guess."""

    genre: str
    n: int
    recall: float
    precision: float | None
    """None where it was never said."""
    new: bool
    """The base model does not know it."""


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of a head on the person's own labels, each track judged while its artist was held out."""

    n: int
    n_groups: int
    accuracy: float
    in_use: str
    """What it was compared with: a head's id, or the base model's."""
    in_use_accuracy: float
    n_better: int
    """Tracks that the new one gets right and what is in use does not."""
    n_worse: int
    chance: float
    """How often at least so many of the differing tracks would be better by chance (one-sided sign test)."""
    calibration_error: float
    """Mean difference between confidence and share right, over ten equal bins."""
    threshold: float
    coverage: float
    """Share of the tracks that get a name: of many, under a threshold set on other artists for a precision of
    0.90; of few, under the base model's."""
    precision: float | None
    """Share of these that are right; None where none is named."""
    n_old: int
    """Tracks of the base model's reference that were held out as well."""
    old_lost: float
    """Share of the base model's own music that it got right and the new genres took away."""
    genres: tuple[GenreScore, ...]
    confused: tuple[tuple[str, str, int], ...]
    """Reference, said, tracks: the most frequent first."""
    adopt: bool
    verdict: str

    def as_dict(self) -> dict[str, object]:
        """For a card and for `--json`."""
        return asdict(self)


def judged(
    names: Sequence[str],
    n_kept: int,
    truth: NDArray[np.int64],
    group: NDArray[np.uint64],
    *,
    probabilities: NDArray[np.float64],
    fold: NDArray[np.int64],
    known: NDArray[np.bool_],
    rival: str,
    rival_said: NDArray[np.int64],
    least_threshold: float,
    few_threshold: float,
    n_old: int,
    old_lost: float,
    former: int | None,
) -> Report:
    """Figures and verdict from what was said of a person's tracks while their artists were held out.

    Parameters
    ----------
    names : sequence of str
        The genres, the base model's `n_kept` first.
    truth, group : (n,)
        What the person said, as an index into `names`; what must stay together.
    probabilities : (n, n_genres) float64
    fold : (n,) int64
        In which part a track was held out.
    known : (n,) bool
        False where the music is too strange for any name.
    rival, rival_said : str, (n,) int64
        What is in use, and its best guesses (-1 for a genre that is not among `names`).
    least_threshold, few_threshold : float
        No threshold below the first; the second is used where there are too few labels to set one by.
    n_old, old_lost : int, float
        Tracks of the base model's own music, and the share of them that the new genres took away.
    former : int or None
        How many labels a head in use learnt from, None where the base model decides.
    """
    said, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = said == truth
    rival_right = rival_said == truth
    better, worse = int((right & ~rival_right).sum()), int((rival_right & ~right).sum())
    chance = float(binomtest(better, better + worse, alternative="greater").pvalue) if better + worse else 1.0
    if len(truth) < LEAST_FOR_THRESHOLD:
        threshold = max(few_threshold, least_threshold)
        named = known & (confidence >= threshold)
    else:
        threshold = max(precision_threshold(confidence, right), least_threshold)
        named = known & named_out_of_fold(np.where(known, confidence, 0.0), right, fold)
        named &= confidence >= least_threshold
    more = None if former is None else len(truth) > former
    adopt, verdict = _verdict(rival, better, worse, chance, old_lost, more)
    genres = tuple(
        GenreScore(
            genre=name,
            n=int((truth == i).sum()),
            recall=float(right[truth == i].mean()),
            precision=float(right[said == i].mean()) if (said == i).any() else None,
            new=i >= n_kept,
        )
        for i, name in enumerate(names)
        if (truth == i).any()
    )
    pairs: dict[tuple[str, str], int] = {}
    for t, s in zip(truth[~right], said[~right], strict=True):
        pair = (names[t], names[s])
        pairs[pair] = pairs.get(pair, 0) + 1
    confused = sorted(((*pair, n) for pair, n in pairs.items()), key=lambda row: (-row[2], row[:2]))
    return Report(
        n=len(truth),
        n_groups=len(np.unique(group)),
        accuracy=float(right.mean()),
        in_use=rival,
        in_use_accuracy=float(rival_right.mean()),
        n_better=better,
        n_worse=worse,
        chance=chance,
        calibration_error=_calibration_error(confidence, right),
        threshold=float(threshold),
        coverage=float(named.mean()),
        precision=float(right[named].mean()) if named.any() else None,
        n_old=n_old,
        old_lost=old_lost,
        genres=genres,
        confused=tuple(confused),
        adopt=adopt,
        verdict=verdict,
    )


def _verdict(
    rival: str, better: int, worse: int, chance: float, old_lost: float, more: bool | None
) -> tuple[bool, str]:
    """`more`: it learnt from more labels than the head in use; None where the base model decides."""
    counted = f"{better} tracks right that {rival} gets wrong, {worse} the other way round"
    if better < worse or (better == worse and not more):
        return False, f"It does not beat {rival} on your labels: {counted}."
    if more is None and chance >= CHANCE:
        return False, f"It may beat {rival} by chance alone: {counted}. More labels would tell."
    if old_lost > 2 * MOST_LOST:
        return False, f"It takes {old_lost:.0%} of the base model's own music away from its genres."
    if better > worse:
        return True, f"It beats {rival} on your labels: {counted}."
    return True, f"It is as good as {rival} on your labels, and has learnt from more: {counted}."


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))
