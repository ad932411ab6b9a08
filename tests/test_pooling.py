"""The one vector a track is remembered by."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger.feature_config import FeatureConfig
from tagger.features import normalise
from tagger.pooling import (
    FLUCTUATION_BANDS,
    FLUCTUATION_HZ,
    N_FLUCTUATION,
    fluctuation,
    pool,
    pooled_dims,
)

CONFIG = FeatureConfig()


def pulsing(hz: float, seconds: float) -> np.ndarray:
    """A spectrogram whose lowest eighth swells `hz` times a second."""
    n = int(seconds * CONFIG.sr / CONFIG.hop_length)
    t = np.arange(n) * CONFIG.hop_length / CONFIG.sr
    mel = np.random.default_rng(0).normal(0, 0.1, (n, 128)).astype(np.float32)
    mel[:, :16] += np.cos(2 * np.pi * hz * t)[:, None]
    return normalise(mel)


@pytest.mark.parametrize("seconds", [4.1, 11.0, 30.0])
@pytest.mark.parametrize("hz", [0.5, 1.25, 2.0, 3.0, 3.75, 4.5])
def test_a_pulse_stands_out_at_its_speed_and_place(hz: float, seconds: float) -> None:
    found = fluctuation(pulsing(hz, seconds), CONFIG).reshape(-1, FLUCTUATION_BANDS)
    speed = np.searchsorted(FLUCTUATION_HZ, hz) - 1
    assert np.unravel_index(found.argmax(), found.shape) == (speed, 0)


def test_stillness_does_not_fluctuate() -> None:
    np.testing.assert_array_equal(
        fluctuation(np.ones((60, 128), np.float32), CONFIG), np.zeros(N_FLUCTUATION)
    )


def test_a_short_piece_and_a_long_one_of_the_same_sound_are_alike() -> None:
    rng = np.random.default_rng(1)
    noise = normalise(rng.normal(0, 1, (387, 128)).astype(np.float32))
    np.testing.assert_allclose(fluctuation(noise[:104], CONFIG), fluctuation(noise, CONFIG), atol=0.35)


@given(st.lists(st.integers(1, 13), min_size=1, max_size=4), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_every_chunk_counts_the_same(n_chunks: list[int], n_dims: int) -> None:
    rng = np.random.default_rng(sum(n_chunks))
    embeddings = rng.normal(0, 1, (sum(n_chunks), n_dims)).astype(np.float32)
    pulses = [rng.normal(0, 1, N_FLUCTUATION).astype(np.float32) for _ in n_chunks]
    pooled = pool(embeddings, pulses, n_chunks)
    assert pooled.shape == (pooled_dims(n_dims),)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled[:n_dims], embeddings.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(pooled[n_dims : 2 * n_dims], embeddings.std(axis=0), atol=1e-5)
    each = np.repeat(np.stack(pulses), n_chunks, axis=0)
    np.testing.assert_allclose(pooled[2 * n_dims :], each.mean(axis=0), atol=1e-5)


def test_a_mix_of_hours_is_pooled_in_little_memory() -> None:
    """In double precision all at once it was several times what the chunks themselves take."""
    chunks = np.random.default_rng(0).random((5400, 256), dtype=np.float32)  # three hours: 5.5 MB
    tracemalloc.start()
    try:
        pool(chunks, [np.zeros(N_FLUCTUATION, np.float32)], [len(chunks)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < chunks.nbytes
