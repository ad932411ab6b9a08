"""From a collection's lessons to a head and its figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard
from tagger.errors import ModelError
from tagger.learning.fitting import Examples, Learnt, learn, lost
from tagger.learning.headcard import HeadCard
from tagger.learning.heads import Head
from tagger.learning.lessons import Lessons
from tagger.learning.reference import Reference
from tagger.learning.verdict import Report, judged
from tagger.pooling import emphasis


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
    nonmusic = _nonmusic(own, reference)
    learnt = learn(examples, nonmusic, emphasis=emphasis(own.embedding.shape[1]))
    if _means_nonmusic(examples, learnt):
        nonmusic = nonmusic[:0]
        learnt = replace(learnt, noise_distance=np.full_like(learnt.noise_distance, np.inf))
    said = learnt.probabilities[examples.own].argmax(axis=1)
    rival, rival_said = said_in_use(lessons, card, in_use, genres)
    former = None if in_use is None else sum(in_use.card.labels.values())
    layer = learnt.layer
    report = _report(examples, learnt, rival, rival_said, card.decision.threshold, former)
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
        nonmusic=layer.standardised(nonmusic).astype(np.float32),
        digests=np.array([one.digest.encode() for one in lessons.whose], dtype="S32"),
        said=said,
    )
    return head, report


def _nonmusic(own: Examples, reference: Reference | None) -> NDArray[np.float32]:
    """Speech and noises as far as the base model has some in embeddings of the same kind."""
    if reference is None or reference.nonmusic.shape[1] != own.embedding.shape[1]:
        return own.embedding[:0]
    return reference.nonmusic


def _means_nonmusic(examples: Examples, learnt: Learnt) -> bool:
    """Whether a genre of the person's is mostly speech or noise itself: comedy, field recordings."""
    nearer = learnt.distance > learnt.noise_distance
    own = examples.own
    return any(nearer[own & (examples.genre == g)].mean() > 0.5 for g in np.unique(examples.genre[own]))


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


def said_in_use(
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
        best = np.array([held_out.get(one.digest, b) for one, b in zip(lessons.whose, best, strict=True)])
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
    away = learnt.distance[own]
    return judged(
        examples.genres,
        examples.n_kept,
        examples.genre[own],
        examples.group[own],
        probabilities=learnt.probabilities[own],
        fold=learnt.fold[own],
        known=(away <= learnt.farthest) & (away <= learnt.noise_distance[own]),
        rival=rival,
        rival_said=rival_said,
        # of the genres that nobody labelled, the base model's threshold knows more
        least_threshold=base_threshold if examples.n_kept else 0.0,
        few_threshold=base_threshold,
        n_old=int((~own).sum()),
        old_lost=lost(examples.take(~own), learnt.probabilities[~own].argmax(axis=1)),
        former=former,
    )
