"""The decision is pure arithmetic: properties, and the sentences people read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tagger.card import Calibration, DecisionRule, ModelCard, Weights
from tagger.decision import NO_AUDIO, chunk_probabilities, decide
from tagger.feature_config import FeatureConfig
from tagger.tracks import TrackAnalysis

GENRES = ("blues", "jazz", "metal", "rock")


def card(
    *,
    temperature: float = 1.0,
    threshold: float = 0.6,
    margin: float = 0.0,
    genres: tuple[str, ...] = GENRES,
) -> ModelCard:
    return ModelCard(
        name="toy",
        version="1",
        genres=genres,
        outputs="logits",
        features=FeatureConfig(),
        weights=Weights("model.tflite", "0" * 64, 1),
        calibration=Calibration(temperature),
        decision=DecisionRule(threshold, margin),
        metrics={},
        training={},
        licence="none",
    )


def analysis(logits: Any, abstain: str = "") -> TrackAnalysis:
    activations = np.asarray(logits, dtype=np.float16)
    return TrackAnalysis(
        activations=activations,
        embedding=np.zeros(3, dtype=np.float32),
        duration_s=30.0,
        analysed_s=30.0,
        abstain=abstain,
    )


LOGITS = arrays(
    np.float16,
    st.tuples(st.integers(1, 12), st.just(len(GENRES))),
    elements=st.floats(-60, 60, width=16),
)
UNIT = st.floats(0, 1)


@given(LOGITS, st.floats(0.05, 20), UNIT, UNIT)
def test_probabilities_sum_to_one_and_are_sorted(
    logits: Any, temperature: float, threshold: float, margin: float
) -> None:
    estimate = decide(analysis(logits), card(temperature=temperature), threshold=threshold, margin=margin)
    values = list(estimate.probabilities.values())
    assert sum(values) == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert set(estimate.probabilities) == set(GENRES)
    assert estimate.confidence == values[0]
    if estimate.genre is not None:
        assert estimate.genre == next(iter(estimate.probabilities))
        assert estimate.confidence >= threshold
        assert values[0] - values[1] >= margin
        assert estimate.reason == ""
    else:
        assert estimate.reason


@given(LOGITS, st.permutations(range(len(GENRES))))
def test_order_of_genres_does_not_matter(logits: Any, order: list[int]) -> None:
    one = decide(analysis(logits), card())
    other = decide(analysis(logits[:, order]), card(genres=tuple(GENRES[i] for i in order)))
    assert other.probabilities == pytest.approx(dict(one.probabilities))
    lead = list(one.probabilities.values())
    if lead[0] - lead[1] > 1e-9 and abs(lead[0] - 0.6) > 1e-9:  # ties go by the card's order
        assert other.genre == one.genre


@given(LOGITS, st.permutations(range(12)))
def test_order_of_chunks_does_not_matter(logits: Any, order: list[int]) -> None:
    shuffled = logits[[i for i in order if i < len(logits)]]
    one, other = decide(analysis(logits), card()), decide(analysis(shuffled), card())
    assert other.probabilities == pytest.approx(dict(one.probabilities))


@given(LOGITS, UNIT, UNIT)
def test_a_higher_threshold_never_gives_more(logits: Any, a: float, b: float) -> None:
    low, high = sorted((a, b))
    heard = analysis(logits)
    strict, lenient = decide(heard, card(), threshold=high), decide(heard, card(), threshold=low)
    assert strict.genre in (lenient.genre, None)
    strict, lenient = decide(heard, card(), margin=high), decide(heard, card(), margin=low)
    assert strict.genre in (lenient.genre, None)


@given(LOGITS, st.floats(0.05, 20))
def test_temperature_keeps_the_best_of_one_chunk(logits: Any, temperature: float) -> None:
    heard = analysis(logits[:1])
    plain, warm = decide(heard, card()), decide(heard, card(temperature=temperature))
    best = next(iter(plain.probabilities))
    assert warm.probabilities[best] == pytest.approx(max(warm.probabilities.values()))


@given(LOGITS)
def test_an_abstention_wins(logits: Any) -> None:
    estimate = decide(analysis(logits, abstain="the track is silent"), card(), threshold=0.0, margin=0.0)
    assert estimate.genre is None
    assert estimate.reason == "the track is silent"


@pytest.mark.parametrize("abstain", ["", "less than 0.5 s of sound"])
def test_no_audio(abstain: str) -> None:
    heard = analysis(np.empty((0, 0)), abstain=abstain)
    estimate = decide(heard, card(), threshold=0.0)
    assert estimate.genre is None
    assert estimate.confidence == 0
    assert estimate.probabilities == {}
    assert estimate.reason == (abstain or NO_AUDIO)
    assert chunk_probabilities(heard, card()).shape == (0, len(GENRES))


def log(p: list[float]) -> list[list[float]]:
    return [list(np.log(p))]


@pytest.mark.parametrize(
    ("p", "threshold", "margin", "genre", "reason"),
    [
        ([0.2, 0.09, 0.3, 0.41], 0.6, 0.0, None, "best guess rock at 0.41, below 0.60"),
        ([0.02, 0.03, 0.05, 0.9], 0.6, 0.0, "rock", ""),
        ([0.02, 0.03, 0.44, 0.51], 0.4, 0.1, None, "rock at 0.51 leads metal by 0.07, less than 0.10"),
        ([0.1, 0.1, 0.202, 0.598], 0.6, 0.0, None, "best guess rock at 0.598, below 0.60"),
    ],
)
def test_the_reason_in_plain_words(
    p: list[float], threshold: float, margin: float, genre: str | None, reason: str
) -> None:
    estimate = decide(analysis(log(p)), card(), threshold=threshold, margin=margin)
    assert (estimate.genre, estimate.reason) == (genre, reason)


def test_thresholds_come_from_the_card_unless_given() -> None:
    heard = analysis(log([0.1, 0.1, 0.1, 0.7]))
    assert decide(heard, card(threshold=0.8)).genre is None
    assert decide(heard, card(threshold=0.6)).genre == "rock"
    assert decide(heard, card(threshold=0.8), threshold=0.5).genre == "rock"
    assert decide(heard, card(threshold=0.6), threshold=0.75).genre is None
    assert decide(heard, card(threshold=0.6, margin=0.65)).genre is None
    assert decide(heard, card(threshold=0.6, margin=0.65), margin=0.0).genre == "rock"


def test_the_mean_is_over_probabilities_not_logits() -> None:
    # one very loud chunk must not outvote three
    heard = analysis([[0, 0, 0, 50], [4, 0, 0, 0], [4, 0, 0, 0], [4, 0, 0, 0]])
    estimate = decide(heard, card(threshold=0.5))
    assert estimate.genre == "blues"
    np.testing.assert_allclose(chunk_probabilities(heard, card()).sum(axis=1), 1)


def test_an_analysis_of_another_model_is_a_bug() -> None:
    with pytest.raises(ValueError, match="3 genres does not fit toy@1's 4"):
        decide(analysis([[1, 2, 3]]), card())
