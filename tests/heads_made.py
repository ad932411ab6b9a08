"""Heads and collections made by code: embeddings near those of real music, artists with names, no audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from tagger.bundle import shipped_model_dir
from tagger.card import ModelCard, read_card
from tagger.decision import decide
from tagger.learning.headcard import HeadCard
from tagger.learning.heads import Head
from tagger.learning.reference import Reference, read_reference
from tagger.store import Store
from tagger.tracks import FileTags, GenreState, Heard, Outcome, Status, Track, TrackAnalysis

BASE = "gtzan"


def base() -> tuple[ModelCard, Reference]:
    """A shipped model's card, and what it remembers of the music it learnt from."""
    card = read_card(shipped_model_dir(BASE))
    reference = read_reference(shipped_model_dir(BASE), card)
    assert reference is not None
    return card, reference


def sounds(reference: Reference, n: int, *, seed: int, strange: float) -> NDArray[np.float32]:
    """Embeddings (n, n_dims) of a genre of its own: real ones, mixed, moved a way that is the seed's."""
    rng = np.random.default_rng(seed)
    spread = reference.embedding.std(axis=0)
    way = rng.normal(0, 1, reference.embedding.shape[1]) * spread * strange
    pick = rng.integers(0, len(reference.embedding), (n, 2))
    return (reference.embedding[pick].mean(axis=1) + way).astype(np.float32)


def collection(
    path: Path,
    card: ModelCard,
    tracks: Sequence[tuple[str, str, NDArray[np.float32], tuple[str, ...]]],
) -> list[int]:
    """A database of tracks heard by `card`'s model: artist, the model's best guess, embedding, genres in the
    file. Their ids."""
    ids = []
    with Store.open(path) as store:
        run_id = store.begin_run("scan", model_id=card.model_id, options={}, version="1")
        for number, (artist, guess, embedding, genres) in enumerate(tracks):
            logits = np.zeros((3, len(card.genres)), dtype=np.float16)
            logits[:, card.genres.index(guess)] = 4
            analysis = TrackAnalysis(logits, embedding, 30.0, 30.0)
            track = Track(f"/music/{number:04d}.mp3".encode(), b"/music", 1000 + number, 1)
            tags = FileTags("mp3", GenreState(genres), genres, artist=artist)
            heard = Heard(
                track.path, track.size_bytes, 1, number.to_bytes(16, "big"), tags, analysis
            )  # fmt: skip
            estimate = decide(analysis, card)
            track_id = store.record_heard(run_id, track, heard, model_id=card.model_id, estimate=estimate)
            store.set_outcome(
                run_id, track_id, Outcome(track.path, Status.UNCHANGED, ""), settings_key="made"
            )
            ids.append(track_id)
        store.finish_run(run_id, state="done", exit_code=0, counts={}, tracks_per_s=1.0)
    return ids


def head_that_says(genre: str, card: ModelCard, n_dims: int, *, name: str = "mine") -> Head:
    """A head of two genres that always says the first."""
    return Head(
        card=HeadCard(
            name=name, version=0, genres=(genre, "Nothing"), n_kept=0, base=card.model_id,
            base_sha256=card.weights.sha256, n_dims=n_dims, temperature=1.0, threshold=0.5, blend=0.0,
            farthest=1e6, created="2026-01-01T00:00:00Z", sha256="", labels={genre: 2}, metrics={},
        ),
        mean=np.zeros(n_dims, np.float32), scale=np.ones(n_dims, np.float32),
        weights=np.zeros((n_dims, 2), np.float32), bias=np.array([5, -5], np.float32),
        kept=np.zeros(0, np.int64), memory=np.eye(2, n_dims, dtype=np.float32),
        nonmusic=np.zeros((0, n_dims), np.float32),
        digests=np.array([b"00"], dtype="S32"), said=np.zeros(1, np.int64),
    )  # fmt: skip


def heard(embedding: NDArray[np.float32], n_genres: int) -> TrackAnalysis:
    """What a model that cannot tell its genres apart says of a track with this embedding."""
    return TrackAnalysis(np.zeros((14, n_genres), np.float16), embedding, 30.0, 30.0)


def babble(seconds: float, sr: int, *, seed: int) -> NDArray[np.float64]:
    """Something like speech: buzzing and hissing syllables through three formants, with pauses, mono."""
    rng = np.random.default_rng(seed)
    pitch_hz = rng.uniform(90, 220)
    parts: list[NDArray[np.float64]] = []
    while sum(map(len, parts)) < seconds * sr:
        n = int(rng.uniform(0.1, 0.3) * sr)
        if rng.random() < 0.2:
            parts.append(np.zeros(n))
            continue
        if rng.random() < 0.25:
            x = np.diff(rng.normal(0, 1, n + 1))
        else:
            bend = 1 + 0.15 * np.sin(np.linspace(0, 3, n) * rng.uniform(0.5, 2))
            cycles = np.floor(np.cumsum(pitch_hz * bend) / sr)
            x = (np.diff(cycles, prepend=0) > 0) + 0.02 * rng.normal(0, 1, n)
            for low, high, width_hz in ((300, 800, 80), (900, 2200, 120), (2300, 3200, 180)):
                r = np.exp(-np.pi * width_hz / sr)
                turn = 2 * np.pi * rng.uniform(low, high) / sr
                x = scipy.signal.lfilter([1 - r], [1, -2 * r * np.cos(turn), r * r], x)
        parts.append(x * np.hanning(n) / np.abs(x).max())
    y = 0.5 * np.concatenate(parts)[: int(seconds * sr)]
    return y + 1e-4 * rng.normal(0, 1, len(y))
