"""Learning genres from embeddings: folds that keep artists together, the fit, the verdict, the abstention."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagger.bundle import shipped_model_dir, shipped_models
from tagger.card import ModelCard
from tagger.classify import analyse
from tagger.errors import ModelError
from tagger.learning.fitting import Examples, fit, learn, named_out_of_fold, precision_threshold
from tagger.learning.folds import folds
from tagger.learning.heads import STALE, Head, distance, judge
from tagger.learning.lessons import Lessons, Whose
from tagger.learning.reference import REFERENCE_FILE, Reference, read_reference
from tagger.learning.teach import teach
from tagger.learning.verdict import Report
from tagger.model import load_model
from tagger.pooling import EMPHASIS, N_FLUCTUATION, emphasis, pooled_dims
from tagger.tracks import TrackAnalysis
from tests import media
from tests.heads_made import babble, base, heard, sounds

GROUPS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=80)


@given(GROUPS, st.integers(2, 6), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_no_artist_is_on_both_sides_of_a_fold(tracks: list[tuple[int, int]], n_folds: int, seed: int) -> None:
    group = np.array([artist for artist, _ in tracks], dtype=np.uint64)
    fold = folds(group, np.array([genre for _, genre in tracks]), n_folds, seed)
    assert set(fold.tolist()) <= set(range(n_folds))
    for artist in np.unique(group):
        assert len(set(fold[group == artist].tolist())) == 1


def test_genres_are_spread_over_the_folds() -> None:
    genre = np.repeat([0, 1, 2], [50, 25, 10])
    fold = folds(np.arange(85, dtype=np.uint64), genre, 5)
    for kind, each in ((0, 10), (1, 5), (2, 2)):
        assert np.bincount(fold[genre == kind], minlength=5).tolist() == [each] * 5


def made(n_each: int = 12, *, gap: float = 3.0, seed: int = 0) -> Examples:
    """Three genres in ten dimensions, two tracks an artist."""
    rng = np.random.default_rng(seed)
    genre = np.repeat(np.arange(3), n_each)
    x = rng.normal(0, 1, (len(genre), 10))
    x[np.arange(len(genre)), genre] += gap
    return Examples(
        x.astype(np.float32), np.zeros((len(genre), 0)), genre,
        (np.arange(len(genre)) // 2).astype(np.uint64),
        np.ones(len(genre), dtype=np.bool_), ("a", "b", "c"),
    )  # fmt: skip


def test_what_differs_is_learnt_and_what_does_not_is_not() -> None:
    clear, noise = learn(made(gap=4.0)), learn(made(gap=0.0, n_each=40))
    truth = made().genre
    assert (clear.probabilities.argmax(axis=1) == truth).mean() > 0.9
    chance = (noise.probabilities.argmax(axis=1) == made(n_each=40).genre).mean()
    assert 0.15 < chance < 0.52


def test_what_is_emphasised_is_drawn_on_more_and_one_for_all_changes_nothing() -> None:
    examples = made()
    x = examples.embedding.copy()
    x[:, 9] = x[:, 0]  # says the same as the first
    same = replace(examples, embedding=x)
    alike = np.ones(10)
    np.testing.assert_array_equal(fit(same, alike).weights, fit(same).weights)
    alike[9] = 2.0
    weights = np.abs(fit(same, alike).weights)
    assert (weights[9] > 3 * weights[0]).all()  # four times: a penalty on the square
    np.testing.assert_allclose(fit(same).weights[9], fit(same).weights[0], atol=1e-4)


def test_each_part_of_an_embedding_has_its_emphasis() -> None:
    weights = emphasis(pooled_dims(256))
    assert len(weights) == pooled_dims(256)
    assert (weights[:256] == EMPHASIS[0]).all() and (weights[256:512] == EMPHASIS[1]).all()
    assert (weights[512:] == EMPHASIS[2]).all() and len(weights[512:]) == N_FLUCTUATION


def test_words_out_of_fold_are_those_of_a_fit_without_the_artist() -> None:
    examples = made()
    learnt = learn(examples)
    held = learnt.fold == 2
    alone = fit(examples.take(~held)).logits(examples.embedding[held]) / learnt.temperature
    e = np.exp(alone - alone.max(axis=1, keepdims=True))
    np.testing.assert_allclose(learnt.probabilities[held], e / e.sum(axis=1, keepdims=True), atol=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_threshold_keeps_its_precision(tracks: list[tuple[float, bool]]) -> None:
    confidence = np.array([c for c, _ in tracks])
    right = np.array([r for _, r in tracks])
    threshold = precision_threshold(confidence, right)
    above = confidence > threshold  # tracks exactly at it may tie
    if threshold < 1 and above.any():
        assert right[confidence >= threshold].any()
        order = np.argsort(-confidence, kind="stable")
        assert any(right[order[:n]].mean() >= 0.9 for n in range(int(above.sum()), len(order) + 1) if n)


def test_a_track_is_named_under_the_threshold_of_the_others() -> None:
    confidence, right = np.array([0.9, 0.8, 0.3, 0.9, 0.8, 0.3]), np.array([True, True, False] * 2)
    named = named_out_of_fold(confidence, right, [0, 0, 0, 1, 1, 1])
    assert named.tolist() == [True, True, False] * 2


# ---- heads on a shipped model ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gtzan() -> tuple[ModelCard, Reference]:
    return base()


def lessons_of(
    card: ModelCard, parts: dict[str, tuple[NDArray[np.float32], str]], *, artists: int = 2
) -> Lessons:
    """So many tracks an artist of each genre: embeddings, and what the base model takes them for."""
    embedding = np.concatenate([x for x, _ in parts.values()])
    genre = [name for name, (x, _) in parts.items() for _ in x]
    guess = [card.genres.index(g) for x, g in parts.values() for _ in x]
    probabilities = np.full((len(guess), len(card.genres)), 0.02)
    probabilities[np.arange(len(guess)), guess] = 1 - 0.02 * (len(card.genres) - 1)
    n = len(genre)
    return Lessons(
        embedding, probabilities, tuple(genre), (np.arange(n) // artists + 10**6).astype(np.uint64),
        tuple(Whose("", "", b"/%d" % i, f"{i:032x}") for i in range(n)), (), 0, 0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def zouk(gtzan: tuple[ModelCard, Reference]) -> tuple[Head, Report, Lessons]:
    card, reference = gtzan
    lessons = lessons_of(card, {"Zouk": (sounds(reference, 20, seed=5, strange=2.5), "reggae")})
    return (*teach(lessons, card, reference, None, name="mine"), lessons)


def test_a_genre_is_added_and_the_old_ones_stay(
    gtzan: tuple[ModelCard, Reference], zouk: tuple[Head, Report, Lessons]
) -> None:
    card, reference = gtzan
    head, report, _ = zouk
    assert head.card.genres == (*card.genres, "Zouk")
    assert report.adopt, report.verdict
    assert (report.accuracy, report.in_use_accuracy) == (pytest.approx(1, abs=0.1), 0)
    assert report.old_lost <= 0.02
    p = head.probabilities(reference.embedding, reference.probabilities)
    was = reference.probabilities.argmax(axis=1)
    assert (p.argmax(axis=1) == was).mean() > 0.97
    new = sounds(reference, 50, seed=5, strange=2.5)
    said = head.probabilities(new, np.full((50, len(card.genres)), 1 / len(card.genres))).argmax(axis=1)
    assert (said == len(card.genres)).mean() > 0.85


def test_labels_at_random_are_not_adopted(gtzan: tuple[ModelCard, Reference]) -> None:
    card, reference = gtzan
    x = sounds(reference, 60, seed=1, strange=0.0)
    lessons = lessons_of(
        card, {"Heads": (x[::2], "rock"), "Tails": (x[1::2], "rock"), "rock": (x[:20], "rock")}
    )
    _, report = teach(dataclasses.replace(lessons, genre=lessons.genre), card, reference, None, name="mine")
    assert report.old_lost <= 0.02
    few = lessons_of(card, {"rock": (x[:10], "rock"), "jazz": (x[10:20], "jazz")})
    _, report = teach(few, card, reference, None, name="mine")
    assert not report.adopt
    assert card.model_id in report.verdict


def test_the_same_labels_again_are_no_better(
    gtzan: tuple[ModelCard, Reference], zouk: tuple[Head, Report, Lessons]
) -> None:
    """Of tracks it learnt from, a head in use is held to what it said while they were held out."""
    card, reference = gtzan
    head, report, lessons = zouk
    _, again = teach(lessons, card, reference, head, name="mine")
    assert again.in_use_accuracy == report.accuracy
    assert (again.n_better, again.n_worse) == (0, 0)
    assert not again.adopt, "nothing new was learnt"


def test_only_mine_forgets_the_models_genres(gtzan: tuple[ModelCard, Reference]) -> None:
    card, reference = gtzan
    parts = {
        "Zouk": (sounds(reference, 12, seed=5, strange=2.5), "reggae"),
        "rock": (sounds(reference, 12, seed=6, strange=2.5), "rock"),
    }
    head, report = teach(lessons_of(card, parts), card, reference, None, name="mine", only_mine=True)
    assert head.card.genres == ("Zouk", "rock")
    assert (head.card.n_kept, report.n_old, report.old_lost) == (0, 0, 0.0)


def test_one_artist_or_one_genre_is_too_little(gtzan: tuple[ModelCard, Reference]) -> None:
    card, reference = gtzan
    part = {"Zouk": (sounds(reference, 6, seed=5, strange=2.5), "reggae")}
    with pytest.raises(ModelError, match="too little to learn from"):
        teach(lessons_of(card, part, artists=6), card, reference, None, name="mine")
    with pytest.raises(ModelError, match="too little to learn from"):
        teach(lessons_of(card, part), card, reference, None, name="mine", only_mine=True)


def test_without_a_reference_the_models_genres_cannot_be_kept(gtzan: tuple[ModelCard, Reference]) -> None:
    card, reference = gtzan
    lessons = lessons_of(card, {"Zouk": (sounds(reference, 12, seed=5, strange=2.5), "reggae")})
    with pytest.raises(ModelError, match="learn yours alone with --only-mine"):
        teach(lessons, card, None, None, name="mine")


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_come_with_a_reference(name: str) -> None:
    directory = shipped_model_dir(name)
    model = load_model(directory)
    reference = read_reference(directory, model.card)
    assert reference is not None, f"python -m training reference RECIPE {directory} --data DATA makes it"
    assert reference.embedding.shape[1] == pooled_dims(model.n_dims)
    assert set(reference.genre.tolist()) == set(range(len(model.card.genres)))
    assert len(reference.nonmusic) > 100
    assert len(np.unique(reference.artist)) > 100
    assert (directory / REFERENCE_FILE).stat().st_size < 900_000
    right = reference.probabilities.argmax(axis=1) == reference.genre
    assert right.mean() > 0.7, "it is not what this model says"


def test_what_is_unlike_all_music_learnt_from_gets_no_genre(
    gtzan: tuple[ModelCard, Reference], zouk: tuple[Head, Report, Lessons]
) -> None:
    card, reference = gtzan
    head, _, lessons = zouk
    known = judge(heard(lessons.embedding[0], len(card.genres)), card, head, None, threshold=0.0, margin=0.0)
    assert known.genre == "Zouk"
    stranger = -sounds(reference, 1, seed=9, strange=6.0)[0]
    estimate = judge(heard(stranger, len(card.genres)), card, head, None, threshold=0.0, margin=0.0)
    assert estimate.genre is None
    assert "unlike the music that mine@0 was learnt from" in estimate.reason
    assert sum(estimate.probabilities.values()) == pytest.approx(1)


def test_a_genre_of_noises_is_a_persons_right(gtzan: tuple[ModelCard, Reference]) -> None:
    """Comedy, field recordings: what sounds like nothing to the base model may be a genre of theirs."""
    card, reference = gtzan
    noises = {"Field": (reference.nonmusic[::2][:40], "rock")}
    music = {"Zouk": (sounds(reference, 20, seed=5, strange=1.0), "reggae")}
    with_noises, _ = teach(lessons_of(card, noises | music), card, reference, None, name="mine")
    assert len(with_noises.nonmusic) == 0
    other = judge(
        heard(reference.nonmusic[1], len(card.genres)), card, with_noises, None, threshold=0.0, margin=0.0
    )
    assert "speech or noise" not in other.reason
    without, _ = teach(lessons_of(card, music), card, reference, None, name="mine")
    assert len(without.nonmusic) == len(reference.nonmusic)


def test_a_reference_of_another_length_serves_nobody(gtzan: tuple[ModelCard, Reference]) -> None:
    card, reference = gtzan
    old = replace(reference, embedding=reference.embedding[:, :240], nonmusic=reference.nonmusic[:, :240])
    x = sounds(reference, 40, seed=1, strange=2.0)
    lessons = lessons_of(card, {"A": (x[:20], "rock"), "B": (-x[20:], "rock")})
    head, _ = teach(lessons, card, old, None, name="mine", only_mine=True)
    assert head.nonmusic.shape == (0, reference.embedding.shape[1])


def noise_and_talk() -> dict[str, NDArray[np.float64]]:
    sr, rng = 22050, np.random.default_rng(0)
    t = np.arange(30 * sr) / sr
    made = {f"babble {seed}": babble(30, sr, seed=seed) for seed in range(8)}
    return made | {
        "noise": 0.1 * rng.normal(0, 1, len(t)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "clicks": 0.9 * (np.arange(len(t)) % (sr // 2) == 0),
    }


def test_noise_is_nobodys_genre(tmp_path: Path) -> None:
    """Even where any confidence would do: it is unlike music, or nearer to the speech and noises learnt."""
    directory = shipped_model_dir()
    model = load_model(directory)
    reference = read_reference(directory, model.card)
    assert reference is not None
    lessons = lessons_of(model.card, {"Zouk": (sounds(reference, 20, seed=5, strange=1.0), "reggae")})
    head, _ = teach(lessons, model.card, reference, None, name="mine")
    named = set()
    for name, signal in noise_and_talk().items():
        path = media.make(tmp_path / "x.wav", "wav", sr=22050, channels=1, signal=signal)
        estimate = judge(analyse(path, model), model.card, head, None, threshold=0.0, margin=0.0)
        if estimate.genre is not None:
            named.add(name)
    assert not named


def test_silence_stays_silence(
    gtzan: tuple[ModelCard, Reference], zouk: tuple[Head, Report, Lessons]
) -> None:
    silent = TrackAnalysis(
        np.empty((0, 10), np.float16), np.empty(0, np.float32), 9.0, 9.0, abstain="silence"
    )
    assert judge(silent, gtzan[0], zouk[0], None).reason == "silence"


def test_an_embedding_of_an_earlier_version_says_what_to_do(
    gtzan: tuple[ModelCard, Reference], zouk: tuple[Head, Report, Lessons]
) -> None:
    estimate = judge(heard(np.zeros(96, np.float32), 10), gtzan[0], zouk[0], None)
    assert (estimate.genre, estimate.reason) == (None, STALE)
    assert "--stale" in STALE


def test_a_held_out_genre_is_strange_more_often_than_the_known(gtzan: tuple[ModelCard, Reference]) -> None:
    """Each genre in turn is left out of the learning: its tracks are farther from the rest than these are."""
    _, reference = gtzan
    ranks = []
    for genre in range(10):
        kept = reference.genre != genre
        examples = Examples(
            reference.embedding[kept], np.zeros((kept.sum(), 0)), reference.genre[kept],
            reference.artist[kept], np.ones(kept.sum(), np.bool_), tuple("abcdefghij"),
        )  # fmt: skip
        fold = folds(examples.group, examples.genre, 2)
        layer = fit(examples.take(fold == 0))
        known = distance(layer.standardised(examples.embedding[fold == 1]), layer.memory)
        strange = distance(layer.standardised(reference.embedding[~kept]), layer.memory)
        ranks.append(float((known[:, None] < strange[None, :]).mean()))
    assert np.mean(ranks) > 0.75, ranks


def test_a_damaged_reference_is_refused(gtzan: tuple[ModelCard, Reference], tmp_path: Path) -> None:
    card, _ = gtzan
    with pytest.raises(ModelError, match="cannot be read"):
        read_reference(tmp_path, card)
    (tmp_path / REFERENCE_FILE).write_bytes(b"something else")
    with pytest.raises(ModelError, match="not the one its card names"):
        read_reference(tmp_path, card)
    assert read_reference(tmp_path, dataclasses.replace(card, training={})) is None
