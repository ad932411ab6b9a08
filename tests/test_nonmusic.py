"""Sounds that are no music, for training: noises of every kind, and speech where the synthesiser is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs the extra [train]")

from tests.recipes_made import call
from training import nonmusic
from training.dataset import DatasetError, read_arrays


@pytest.mark.parametrize("kind", sorted(nonmusic.NOISES))
def test_noises_are_whole_and_differ(kind: str) -> None:
    made = [nonmusic.NOISES[kind](np.random.default_rng(seed)) for seed in (0, 1, 0)]
    for y in made:
        assert y.shape == (nonmusic.N,)
        assert np.isfinite(y).all()
        assert np.abs(y).max() > 0.1
    np.testing.assert_array_equal(made[0], made[2])
    assert not np.allclose(made[0], made[1])


def test_noise_becomes_arrays_of_no_genre(tmp_path: Path) -> None:
    out = tmp_path / "sub" / "nonmusic.npz"
    assert "7 clips" in call("nonmusic", out, "--speech", 0, "--noise", 7)
    clips = read_arrays(out, source="nonmusic", genres=("jazz",))
    assert (clips.genre == -1).all()
    assert len(set(clips.track.tolist())) == 7
    assert clips.mel.std() == pytest.approx(1, abs=0.01)


@pytest.mark.skipif(shutil.which(nonmusic.SYNTHESISER) is None, reason="espeak-ng is not installed")
def test_speech_has_words_and_pauses() -> None:
    languages, variants = nonmusic.voices()
    assert len(languages) > 50
    assert len(variants) > 20
    y = nonmusic.spoken(np.random.default_rng(0), languages, variants)
    level = np.sqrt((y[: len(y) // 100 * 100].reshape(-1, nonmusic.N // 300) ** 2).mean(axis=1))
    assert (level > 0.02).mean() > 0.3
    assert (level < 0.005).any()
    np.testing.assert_array_equal(y, nonmusic.spoken(np.random.default_rng(0), languages, variants))


def test_no_speech_without_the_synthesiser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nonmusic, "SYNTHESISER", "no-such-synthesiser")
    with pytest.raises(DatasetError, match="is not installed"):
        nonmusic.make_nonmusic(tmp_path / "x.npz", n_speech=1, n_noise=0, seed=0)
