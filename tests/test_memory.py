"""What a model remembers of speech and noises: these get no genre by it, and music keeps its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.classify import analyse
from tagger.learning.headcard import judge_id
from tagger.learning.heads import LEAST_CHUNKS, NONMUSIC, Memory, judge, memory_of
from tagger.learning.reference import Reference
from tagger.model import GenreModel, load_model
from tagger.tracks import TrackAnalysis
from tests import media
from tests.conftest import Tagger, tree
from tests.heads_made import head_that_says
from training.nonmusic import NOISES

CARD = read_card(shipped_model_dir("gtzan"))
N_DIMS = 6


def heard(embedding: NDArray[np.floating], *, n_chunks: int = 14, abstain: str = "") -> TrackAnalysis:
    """A track of which the model is sure that it is the first of its genres."""
    activations = np.zeros((n_chunks, len(CARD.genres)), np.float16)
    activations[:, 0] = 9
    return TrackAnalysis(activations, embedding.astype(np.float32), 30.0, 30.0, abstain=abstain)


@pytest.fixture
def memory() -> Memory:
    """Music about 0 and noises about 2, in every dimension."""
    rng = np.random.default_rng(0)
    music, noises = (rng.normal(at, 0.3, (30, N_DIMS)).astype(np.float32) for at in (0, 2))
    n = len(music)
    return Memory(
        Reference(music, np.full((n, 10), 0.1), np.zeros(n, np.int64), np.arange(n).astype("u8"), noises)
    )


def test_what_is_nearer_to_noises_than_to_music_gets_no_genre(memory: Memory) -> None:
    music, noise = np.full(N_DIMS, 0.7), np.full(N_DIMS, 1.3)
    assert judge(heard(music), CARD, None, memory).genre == CARD.genres[0]
    refused = judge(heard(noise), CARD, None, memory, threshold=0.0)
    assert (refused.genre, refused.reason) == (None, NONMUSIC)
    assert refused.confidence > 0.9, "what the network says stays to be seen"
    assert judge(heard(noise), CARD, None, None).genre == CARD.genres[0], "a model without a memory"


def test_what_is_too_short_to_tell_is_left_to_the_network(memory: Memory) -> None:
    noise = np.full(N_DIMS, 2.0)
    assert judge(heard(noise, n_chunks=LEAST_CHUNKS), CARD, None, memory).genre is None
    assert judge(heard(noise, n_chunks=LEAST_CHUNKS - 1), CARD, None, memory).genre == CARD.genres[0]


def test_an_embedding_of_another_version_is_left_to_the_network(memory: Memory) -> None:
    assert judge(heard(np.full(N_DIMS + 1, 2.0)), CARD, None, memory).genre == CARD.genres[0]


def test_silence_stays_silence(memory: Memory) -> None:
    assert judge(heard(np.full(N_DIMS, 2.0), abstain="silence"), CARD, None, memory).reason == "silence"


def test_a_head_goes_by_its_own_memory(memory: Memory) -> None:
    head = head_that_says("Rain", CARD, N_DIMS)
    assert judge(heard(np.full(N_DIMS, 2.0)), CARD, head, memory).genre == "Rain"


def test_a_decision_is_remembered_under_the_memory_it_was_made_by() -> None:
    head = head_that_says("Rain", CARD, N_DIMS)
    plain = dataclasses.replace(CARD, training={})
    before = dataclasses.replace(CARD, training={"reference": {"sha256": "0" * 64}})
    other = dataclasses.replace(CARD, training={"reference": {"sha256": "1" * 64, "n_nonmusic": 5}})
    assert judge_id(plain, None) == judge_id(before, None) == CARD.model_id
    assert len({judge_id(card, who) for card in (plain, other, CARD) for who in (None, head.card)}) == 4
    assert memory_of(shipped_model_dir("gtzan"), plain, None) is None
    assert memory_of(shipped_model_dir("gtzan"), CARD, head) is None, "read for nothing"


def remembering(name: str) -> tuple[GenreModel, Memory]:
    """A shipped model with its memory."""
    directory = shipped_model_dir(name)
    model = load_model(directory)
    memory = memory_of(directory, model.card, None)
    assert memory is not None
    return model, memory


def some_noises(per_kind: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Other ones than those the models learnt and remember."""
    rng = np.random.default_rng(4321)
    for kind, make in NOISES.items():
        for i in range(per_kind):
            yield f"{kind} {i}", 0.7 * make(rng)


@pytest.mark.parametrize("name", ["eleven", "gtzan"])
def test_noises_get_no_genre_where_any_confidence_would_do(name: str, tmp_path: Path) -> None:
    model, memory = remembering(name)
    named: dict[bool, list[str]] = {True: [], False: []}
    for what, signal in some_noises(3):
        path = media.make(tmp_path / "x.wav", "wav", sr=22050, channels=1, signal=signal)
        analysis = analyse(path, model)
        for remembers in named:
            estimate = judge(analysis, model.card, None, memory if remembers else None, threshold=0.0)
            if estimate.genre is not None:
                named[remembers].append(what)
    assert len(named[False]) == 18
    assert len(named[True]) <= 2, named[True]


@pytest.mark.parametrize("name", ["eleven", "gtzan"])
def test_music_keeps_its_genre(name: str, test_data: Path) -> None:
    """Of `gtzan` none of these recordings was ever heard."""
    model, memory = remembering(name)
    files = sorted(p for f in ("full-tracks", "library") for p in (test_data / f).rglob("*.mp3"))[::3]
    assert len(files) >= 10
    n_refused = 0
    for path in files:
        analysis = analyse(bytes(path), model)
        by_network = judge(analysis, model.card, None, None)
        n_refused += not memory.finds_music(analysis)
        if by_network.genre is not None:
            assert judge(analysis, model.card, None, memory) == by_network, path
    assert n_refused <= 2, "mostly electronic music, of which gtzan heard none"


def test_a_run_leaves_an_album_of_rain_alone(tmp_path: Path, tagger: Tagger) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    noise = 0.7 * NOISES["steady"](np.random.default_rng(1))
    media.make(folder / "rain.flac", "flac", sr=22050, channels=1, signal=noise)
    before = tree(folder)
    ran = tagger("run", "--threshold", 0, "--json", folder)
    assert ran.code == 0 and NONMUSIC in ran.out, ran.out
    assert tree(folder) == before
    said = tagger("explain", folder / "rain.flac")
    assert NONMUSIC in said.out
    assert NONMUSIC in tagger("predict", "--threshold", 0, folder / "rain.flac").out
    assert tagger("run", "--threshold", 0, "--json", folder).by_name()["rain.flac"]["status"] == "unchanged"
