"""From a collection's lessons to a head, its figures, and whether it may take the place of what is in use."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tagger.card import ModelCard
from tagger.errors import ModelError
from tagger.heads import Head, HeadCard
from tagger.learn import MOST_LOST, Examples, Learnt, learn, lost, named_out_of_fold, precision_threshold
from tagger.lessons import Lessons
from tagger.reference import Reference

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


def teach(
    lessons: Lessons,
    card: ModelCard,
    reference: Reference | None,
    in_use: Head | None,
    *,
    name: str,
    only_mine: bool = False,
) -> tuple[Head, Report]:
    """Learn a head.

    Parameters
    ----------
    lessons : Lessons
    card : ModelCard
        Of the base model.
    reference : Reference or None
        Of the base model: with it, the head keeps the base model's genres beside those of the lessons.
    in_use : Head or None
        What it is compared with, in place of the base model.
    name : str
        Of the head. Its version is 0 until it is saved.
    only_mine : bool
        Know the genres of the lessons alone.

    Raises
    ------
    ModelError
        The lessons are too few to learn from, or there is no reference to keep the base model's genres by.
    """
    if reference is None and not only_mine:
        raise ModelError(
            f"{card.model_id} comes without a reference of the music it learnt from, so a head cannot keep "
            "its genres: learn yours alone with --only-mine."
        )
    mine = list(dict.fromkeys(lessons.genre))
    kept = [] if only_mine or reference is None else list(card.genres)
    if kept and lessons.embedding.shape[1:] != (reference.embedding.shape[1],):  # type: ignore[union-attr]
        raise ModelError(f"the reference of {card.model_id} is of another version; install the model again")
    genres = (*kept, *(genre for genre in mine if genre not in kept))
    if not mine or len(genres) < 2 or len(set(lessons.group.tolist())) < 2:
        raise ModelError(
            "There is too little to learn from: it takes a genre with tracks by two artists, and with "
            "--only-mine two genres; `tagger correct` and the dashboard's Review page say what tracks are, "
            "and --from-tags reads it from the files."
        )
    places = np.arange(len(kept), dtype=np.int64)
    own = Examples(
        lessons.embedding,
        lessons.base[:, places],
        np.array([genres.index(genre) for genre in lessons.genre], dtype=np.int64),
        lessons.group,
        np.ones(len(lessons.genre), dtype=np.bool_),
        genres,
    )
    examples = own if not kept or reference is None else _with(own, reference)
    learnt = learn(examples)
    said = learnt.probabilities[examples.own].argmax(axis=1)
    rival, rival_said = _said_in_use(lessons, card, in_use, genres)
    former = None if in_use is None else sum(in_use.card.labels.values())
    report = _report(examples, learnt, rival, rival_said, card.decision.threshold, former)
    layer = learnt.layer
    counts = np.bincount(own.genre, minlength=len(genres))
    head = Head(
        card=HeadCard(
            name=name,
            version=0,
            genres=genres,
            n_kept=len(kept),
            base=card.model_id,
            base_sha256=card.weights.sha256,
            n_dims=own.embedding.shape[1],
            temperature=learnt.temperature,
            threshold=report.threshold,
            blend=learnt.blend,
            farthest=learnt.farthest,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            sha256="",
            labels={genre: int(n) for genre, n in zip(genres, counts, strict=True) if n},
            metrics=report.as_dict(),
        ),
        mean=layer.mean.astype(np.float32),
        scale=layer.scale.astype(np.float32),
        weights=layer.weights.astype(np.float32),
        bias=layer.bias.astype(np.float32),
        kept=places,
        memory=layer.memory.astype(np.float32),
        digests=np.array([digest.encode() for digest in lessons.digest], dtype="S32"),
        said=said,
    )
    return head, report


def _with(own: Examples, reference: Reference) -> Examples:
    """The person's tracks, then the reference's."""
    n = len(reference.genre)
    return Examples(
        np.concatenate([own.embedding, reference.embedding]),
        np.concatenate([own.kept, reference.probabilities]),
        np.concatenate([own.genre, reference.genre]),
        np.concatenate([own.group, reference.artist]),
        np.concatenate([own.own, np.zeros(n, dtype=np.bool_)]),
        own.genres,
    )


def _said_in_use(
    lessons: Lessons, card: ModelCard, in_use: Head | None, genres: Sequence[str]
) -> tuple[str, NDArray[np.int64]]:
    """Who is in use, and its best guess for each of the lessons' tracks, -1 for another genre.

    Of the tracks a head has learnt from it is what it said while they were held out.
    """
    place = {genre: i for i, genre in enumerate(genres)}
    if in_use is None:
        names: Sequence[str] = card.genres
        best = lessons.base.argmax(axis=1)
        title = card.model_id
    else:
        names, title = in_use.card.genres, in_use.card.head_id
        best = in_use.probabilities(lessons.embedding, lessons.base).argmax(axis=1)
        held_out: Mapping[str, int] = {
            digest.decode(): int(said)
            for digest, said in zip(in_use.digests.tolist(), in_use.said, strict=True)
            if digest
        }
        best = np.array([held_out.get(d, b) for d, b in zip(lessons.digest, best, strict=True)])
    return title, np.array([place.get(names[i], -1) for i in best], dtype=np.int64)


def _report(
    examples: Examples,
    learnt: Learnt,
    rival: str,
    rival_said: NDArray[np.int64],
    base_threshold: float,
    former: int | None,
) -> Report:
    """`former`: how many labels a head in use learnt from, None where the base model decides."""
    own = examples.own
    p, truth, fold = learnt.probabilities[own], examples.genre[own], learnt.fold[own]
    said, confidence = p.argmax(axis=1), p.max(axis=1)
    right = said == truth
    rival_right = rival_said == truth
    better, worse = int((right & ~rival_right).sum()), int((rival_right & ~right).sum())
    chance = float(binomtest(better, better + worse, alternative="greater").pvalue) if better + worse else 1.0
    known = learnt.distance[own] <= learnt.farthest
    few = len(truth) < LEAST_FOR_THRESHOLD
    threshold, named = base_threshold, known.copy()
    if not few:
        threshold = precision_threshold(confidence, right)
        named &= named_out_of_fold(np.where(known, confidence, 0.0), right, fold)
    if few or examples.n_kept:  # of the genres that nobody labelled, the base model's threshold knows more
        threshold = max(threshold, base_threshold)
        named &= confidence >= base_threshold
    old_lost = lost(examples.take(~own), learnt.probabilities[~own].argmax(axis=1))
    more = None if former is None else len(truth) > former
    adopt, verdict = _verdict(rival, better, worse, chance, old_lost, more)
    genres = tuple(
        GenreScore(
            genre=name,
            n=int((truth == i).sum()),
            recall=float(right[truth == i].mean()),
            precision=float(right[said == i].mean()) if (said == i).any() else None,
            new=i >= examples.n_kept,
        )
        for i, name in enumerate(examples.genres)
        if (truth == i).any()
    )
    pairs: dict[tuple[str, str], int] = {}
    for t, s in zip(truth[~right], said[~right], strict=True):
        pair = (examples.genres[t], examples.genres[s])
        pairs[pair] = pairs.get(pair, 0) + 1
    confused = sorted(((*pair, n) for pair, n in pairs.items()), key=lambda row: (-row[2], row[:2]))
    return Report(
        n=len(truth),
        n_groups=len(np.unique(examples.group[own])),
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
        n_old=int((~own).sum()),
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
