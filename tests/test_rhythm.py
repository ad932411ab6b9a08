"""Tempo: found where it is known, nothing where there is no beat, the same whichever way a track is heard."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagger.rhythm import FASTEST_BPM, LEAST_STRENGTH, SLOWEST_BPM, Tempo, pulse, tempo
from tests.music_made import PATTERNS, SR, loop

SEGMENT = 30 * SR
NEAR = 0.04
"""Share of a tempo by which an estimate may be off, as in the contests of the field."""


def tempo_of(y: NDArray[np.float32]) -> Tempo:
    """Of a track of these samples."""
    segments = [y[start : start + SEGMENT] for start in range(0, len(y), SEGMENT)]
    found = [(p, len(part) / SR) for part in segments if (p := pulse(part, SR)) is not None]
    return tempo([p for p, _ in found], [seconds for _, seconds in found], SR)


def is_near(bpm: float, wanted: float, factors: tuple[float, ...] = (1.0,)) -> bool:
    return any(abs(bpm / (wanted * factor) - 1) <= NEAR for factor in factors)


@settings(deadline=None, max_examples=25)
@given(st.floats(60, 200))
def test_a_pulse_is_found_or_its_half_or_double(bpm: float) -> None:
    found = tempo_of(loop(bpm, "pulse"))
    assert found.bpm is not None and found.strength > 0.3
    assert is_near(found.bpm, bpm, (1.0, 0.5, 2.0))


@settings(deadline=None, max_examples=25)
@given(st.floats(85, 135), st.sampled_from(sorted(PATTERNS)))
def test_drum_loops_of_ordinary_tempo_are_found_as_they_are(bpm: float, pattern: str) -> None:
    found = tempo_of(loop(bpm, pattern))
    assert found.bpm is not None and is_near(found.bpm, bpm)


@pytest.mark.parametrize("bpm", [62.0, 90.0, 100.5, 120.0, 128.0, 174.0])
def test_four_to_the_floor_to_half_a_percent(bpm: float) -> None:
    found = tempo_of(loop(bpm, "four to the floor", noise=0.05))
    assert found.bpm is not None
    assert any(abs(found.bpm / (bpm * factor) - 1) < 0.005 for factor in (1, 2, 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_silence_have_no_beat(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * rng.uniform(300, 4000) * np.arange(SEGMENT) / SR)
    noise = rng.normal(size=SEGMENT).astype(np.float32)
    for y in (noise, np.cumsum(noise), np.zeros(SEGMENT, np.float32), tone.astype(np.float32)):
        found = tempo_of(y)
        assert found.bpm is None and 0 <= found.strength < LEAST_STRENGTH


def test_too_little_sound_has_no_tempo() -> None:
    y = loop(120, "rock", seconds=3.9)
    assert pulse(y, SR) is None and tempo_of(y) == Tempo(None, 0.0)
    assert is_near(tempo_of(loop(120, "rock", seconds=4.5)).bpm or 0, 120, (1, 0.5, 2))


@settings(deadline=None, max_examples=10)
@given(st.floats(-60, 0), st.floats(70, 180))
def test_the_level_does_not_matter(level_db: float, bpm: float) -> None:
    y = loop(bpm, "rock", seconds=12)
    loud, quiet = tempo_of(y), tempo_of((y * 10 ** (level_db / 20)).astype(np.float32))
    assert loud.bpm is not None and quiet.bpm == pytest.approx(loud.bpm, rel=0.002)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(90, 20000), st.floats(0, 10))
def test_whatever_comes_in_a_tempo_or_none_comes_out(seed: int, n: int, gain: float) -> None:
    rng = np.random.default_rng(seed)
    y = (gain * rng.normal(size=n * 10) * (rng.random(n * 10) < 0.001)).astype(np.float32)
    found = tempo_of(y)
    assert found.bpm is None or SLOWEST_BPM <= found.bpm <= FASTEST_BPM
    assert 0 <= found.strength <= 1
    assert found == tempo_of(y)


def test_two_of_ten_segments_tell_what_all_do() -> None:
    y = loop(104, "rock", seconds=300)
    parts = [y[i * SEGMENT : (i + 1) * SEGMENT] for i in range(10)]
    some = tempo([p for i in (2, 7) if (p := pulse(parts[i], SR)) is not None], [30.0, 30.0], SR)
    everything = tempo_of(y)
    assert some.bpm is not None and everything.bpm is not None
    assert some.bpm == pytest.approx(everything.bpm, rel=0.002) and is_near(some.bpm, 104)


def test_real_music_agrees_with_librosa(test_data: Path) -> None:
    """Of clips with a beat at least three in four; all 81 of them: `python -m tests.benchmarks tempo`."""
    librosa = pytest.importorskip("librosa")
    from tagger.audio import segments
    from tagger.feature_config import FeatureConfig

    n = n_near = 0
    for genre in ("disco", "hiphop", "pop", "reggae"):
        for path in sorted((test_data / "gtzan-audio" / genre).glob("*.flac")):
            y = np.concatenate(list(segments(bytes(path), FeatureConfig())))
            reference = float(librosa.feature.tempo(y=y, sr=SR)[0])
            found = tempo_of(y)
            n += 1
            n_near += found.bpm is not None and is_near(found.bpm, reference, (1.0, 0.5, 2.0))
    assert n == 8 and n_near >= 6, (n, n_near)


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four minutes of a drum loop of 117 beats a minute, as plain WAV."""
    path = tmp_path_factory.mktemp("long") / "loop.wav"
    y = np.clip(loop(117, "rock", seconds=240) * 0.3, -1, 1)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SR, 0, "NONE", ""))
        file.writeframes((32767 * y).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("n_segments", [0, 1, 3])
def test_a_track_heard_in_part_has_the_tempo_of_the_whole(long_file: Path, n_segments: int) -> None:
    from tagger.bundle import shipped_model_dir
    from tagger.classify import analyse
    from tagger.model import load_model

    model = load_model(shipped_model_dir("eleven"))
    heard = analyse(bytes(long_file), model, n_segments=n_segments)
    assert heard.analysed_s == pytest.approx(30.0 * n_segments or 240.0)
    assert heard.tempo_bpm == pytest.approx(117, rel=0.003)
    assert heard.loudness_lufs == pytest.approx(analyse(bytes(long_file), model).loudness_lufs, abs=0.2)
    again = analyse(bytes(long_file), model, n_segments=n_segments)
    assert (again.tempo_bpm, again.loudness_lufs) == (heard.tempo_bpm, heard.loudness_lufs)
