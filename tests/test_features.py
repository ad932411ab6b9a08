"""The feature extractor against librosa, and against the arrays the model is trained on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger.audio import segments
from tagger.errors import ModelError
from tagger.features import (
    FeatureConfig,
    _filterbank,
    chunks,
    chunks_from_cache,
    librosa_filterbank,
    log_mel,
    mels_from_cache,
    normalise,
)
from tests import media

CONFIG = FeatureConfig()


def mono(seconds: float, seed: int = 0) -> np.ndarray:
    return media.music(seconds, CONFIG.sr, 1, seed=seed)[:, 0]


@pytest.mark.parametrize("hop_length", [512, 1708])
@pytest.mark.parametrize(("seconds", "level"), [(30, 1.0), (30, 1e-4), (4.5, 0.3), (0.05, 1.0)])
def test_log_mel_is_librosas(seconds: float, level: float, hop_length: int) -> None:
    librosa = pytest.importorskip("librosa")
    y = mono(seconds) * np.float32(level)
    power = librosa.feature.melspectrogram(
        y=y, sr=CONFIG.sr, n_fft=CONFIG.n_fft, hop_length=hop_length, n_mels=CONFIG.n_mels
    )
    expected = librosa.power_to_db(power, ref=np.max).T
    ours = log_mel(y, replace(CONFIG, hop_length=hop_length))
    assert ours.dtype == np.float32
    assert ours.shape == expected.shape == (1 + len(y) // hop_length, 128)
    loud = expected > -60
    np.testing.assert_allclose(ours[loud], expected[loud], atol=1e-4)
    np.testing.assert_allclose(ours, expected, atol=1e-3)  # near -80 dB the rounding of float32 shows


def test_the_kept_filters_are_librosas() -> None:
    np.testing.assert_allclose(_filterbank(22050, 2048, 128), librosa_filterbank(22050, 2048, 128), rtol=1e-6)


def test_other_filters_come_from_librosa() -> None:
    config = replace(CONFIG, n_mels=64, n_fft=1024)
    assert log_mel(mono(1), config).shape[1] == 64


def test_the_default_features_need_neither_librosa_nor_numba() -> None:
    code = (
        "import sys, numpy as np; from tagger.features import *;"
        "log_mel(np.ones(9999, np.float32), FeatureConfig());"
        "sys.exit(bool({'librosa', 'numba', 'sklearn'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_decoder_and_mel_agree_with_the_training_arrays(test_data: Path) -> None:
    """Mean error under 0.5 dB for each clip; measured 0.07-0.09, which is the rounding to 8 bits."""
    cache = np.load(test_data / "gtzan-mel" / "dev.npz")
    rows = {str(name): i for i, name in enumerate(cache["track"])}
    fine = replace(CONFIG, hop_length=512)
    errors = {}
    for path in sorted((test_data / "gtzan-audio").glob("*/*.flac")):
        if path.stem not in rows:
            continue
        mel = log_mel(np.concatenate(list(segments(os.fsencode(path), CONFIG))), fine)
        columns = np.floor((np.arange(387) + 0.5) * len(mel) / 387.5).astype(int)
        lowest = mel.min()
        stored = cache["X"][rows[path.stem]].T / 255 * -lowest + lowest
        errors[path.stem] = float(np.abs(mel[columns] - stored).mean())
    assert len(errors) == 20
    assert max(errors.values()) < 0.2, errors


def test_audio_and_array_give_the_same_chunks(test_data: Path) -> None:
    """The one path of training and program: an array's chunks are the audio's, half a hop apart."""
    cache = np.load(test_data / "gtzan-mel" / "dev.npz")
    row = list(cache["track"]).index("reggae.00000")
    ours = chunks(
        normalise(
            log_mel(
                next(segments(os.fsencode(test_data / "gtzan-audio/reggae/reggae.00000.flac"), CONFIG)),
                CONFIG,
            )
        ),
        CONFIG,
    )
    stored = chunks_from_cache(cache["X"][row : row + 1], CONFIG)[0]
    assert ours.shape == stored.shape == (13, 52, 128)
    assert np.corrcoef(ours.ravel(), stored.ravel())[0, 1] > 0.9
    np.testing.assert_allclose(ours.mean(axis=(0, 1)), stored.mean(axis=(0, 1)), atol=0.1)


def test_silence_is_flat_and_harmless() -> None:
    mel = log_mel(np.zeros(CONFIG.sr, dtype=np.float32), CONFIG)
    assert not mel.any()
    assert not normalise(mel).any()


def test_level_drops_out() -> None:
    y = mono(10)
    loud, quiet = (normalise(log_mel(y * np.float32(gain), CONFIG)) for gain in (1, 0.01))
    np.testing.assert_allclose(loud, quiet, atol=2e-3)


@pytest.mark.parametrize("shape", [(0,), (100, 2)])
def test_log_mel_wants_mono_samples(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mono"):
        log_mel(np.zeros(shape, dtype=np.float32), CONFIG)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 500),
    st.integers(0, 2**32 - 1),
    st.floats(0.1, 50),
    st.floats(-100, 100),
)
def test_normalise_undoes_scale_and_offset(n_frames: int, seed: int, scale: float, offset: float) -> None:
    mel = np.random.default_rng(seed).standard_normal((n_frames, 128)).astype(np.float32)
    x = normalise(mel * scale + offset)
    assert abs(float(x.mean())) < 1e-3
    assert abs(float(x.std()) - 1) < 1e-3
    np.testing.assert_allclose(x, normalise(mel), atol=5e-3)


@settings(deadline=None)
@given(st.integers(0, 400))
def test_chunks_are_windows_every_second(n_frames: int) -> None:
    mel = np.arange(n_frames * 128, dtype=np.float32).reshape(n_frames, 128)
    cut = chunks(mel, CONFIG)
    n = max(0, (n_frames - 52) // 26 + 1)
    assert cut.shape == (n, 52, 128)
    for i, chunk in enumerate(cut):
        np.testing.assert_array_equal(chunk, mel[26 * i : 26 * i + 52])


def test_a_clip_gives_13_chunks() -> None:
    assert len(chunks(np.zeros((387, 128), np.float32), CONFIG)) == 13
    assert len(chunks(log_mel(mono(30), CONFIG), CONFIG)) == 13


@settings(deadline=None)
@given(st.integers(1, 51))
def test_a_short_mel_is_repeated_to_one_chunk(n_frames: int) -> None:
    mel = np.random.default_rng(n_frames).standard_normal((n_frames, 128)).astype(np.float32)
    assert chunks(mel, CONFIG).shape == (0, 52, 128)
    (chunk,) = chunks(mel, CONFIG, pad=True)
    for i, row in enumerate(chunk):
        np.testing.assert_array_equal(row, mel[i % n_frames])


def test_nothing_cannot_be_padded() -> None:
    assert chunks(np.empty((0, 128), np.float32), CONFIG, pad=True).shape == (0, 52, 128)


def test_cached_arrays_lose_their_scale() -> None:
    mel = log_mel(mono(30), CONFIG)[:387]
    stored = np.round((mel - mel.min()) / -mel.min() * 255).astype(np.uint8).T[None]
    (x,) = mels_from_cache(stored)
    assert x.shape == (387, 128)
    np.testing.assert_allclose(x, normalise(mel), atol=0.02)
    np.testing.assert_array_equal(chunks_from_cache(stored, CONFIG)[0], chunks(x, CONFIG))


def test_the_fingerprint_tells_every_setting_apart() -> None:
    """A model carries this value: it may change only together with the features."""
    assert CONFIG.fingerprint() == FeatureConfig.from_dict(CONFIG.to_dict()).fingerprint() == "929f08f90602"
    others = {replace(CONFIG, **{name: value + 1}).fingerprint() for name, value in CONFIG.to_dict().items()}
    assert len(others | {CONFIG.fingerprint()}) == 1 + len(CONFIG.to_dict())


@pytest.mark.parametrize(
    "change",
    [{"sr": 0}, {"hop_length": -1}, {"n_fft": 2048.0}, {"n_mels": True}, {"segment_s": 4}, {"surprise": 1}],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=next(iter(change)).replace("segment_s", "segment")):
        FeatureConfig.from_dict({**CONFIG.to_dict(), **change})
