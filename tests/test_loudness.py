"""Loudness: of tones whose loudness the standard says, and of files as ffmpeg's own meter has it."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tagger.audio import open_recording
from tagger.feature_config import FeatureConfig
from tagger.features import power_spectrogram
from tagger.loudness import Loudness, loudness, weighted_power
from tagger.measures import Measures
from tagger.mixing import width
from tests.music_made import SR, loop

CONFIG = FeatureConfig()
SEGMENT = CONFIG.segment_samples


def loudness_of(y: NDArray[np.floating]) -> Loudness:
    parts = [y[start : start + SEGMENT].astype(np.float32) for start in range(0, len(y), SEGMENT)]
    return loudness([weighted_power(power_spectrogram(part, CONFIG), CONFIG) for part in parts], CONFIG)


def tone(level_db: float, *, hz: float = 997.0, seconds: float = 20.0) -> NDArray[np.float64]:
    t = np.arange(int(seconds * SR)) / SR
    return np.asarray(10 ** (level_db / 20) * np.sin(2 * np.pi * hz * t))


@pytest.mark.parametrize("level_db", [-3.0, -23.0, -40.0])
def test_a_tone_of_one_kilohertz_is_3_lu_below_its_peak(level_db: float) -> None:
    """BS.1770: a sine of 997 Hz at full scale in one channel reads -3.01."""
    found = loudness_of(tone(level_db))
    assert found.lufs == pytest.approx(level_db - 3.01, abs=0.1)
    assert found.range_lu == pytest.approx(0, abs=0.2)


def test_the_ear_hears_less_of_the_bass() -> None:
    deep, middle, high = (loudness_of(tone(-20, hz=hz)).lufs or 0 for hz in (40.0, 997.0, 6000.0))
    assert deep < middle - 4 and high == pytest.approx(middle + 3.3, abs=0.5)


def test_pauses_do_not_count() -> None:
    y = np.concatenate([tone(-20), np.zeros(20 * SR), tone(-75)])
    assert loudness_of(y).lufs == pytest.approx(-23.0, abs=0.2)


def test_loud_and_quiet_parts_make_the_range() -> None:
    y = np.concatenate([tone(-20, seconds=30), tone(-35, seconds=30)])
    assert loudness_of(y).range_lu == pytest.approx(15, abs=0.5)


def test_silence_has_no_loudness_and_a_blink_no_range() -> None:
    assert loudness_of(np.zeros(SEGMENT)) == Loudness(None, None)
    assert loudness([], CONFIG) == Loudness(None, None)
    blink = loudness_of(tone(-20, seconds=0.3))
    assert blink.lufs is not None and blink.range_lu is None


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(-40, 0))
def test_as_much_louder_as_it_was_turned_up(seed: int, gain_db: float) -> None:
    y = np.random.default_rng(seed).normal(size=5 * SR) * 0.3
    loud, quiet = loudness_of(y).lufs, loudness_of(y * 10 ** (gain_db / 20)).lufs
    assert loud is not None and quiet == pytest.approx(loud + gain_db, abs=0.05)


def meter(path: Path) -> float:
    """Integrated loudness by ffmpeg's filter, of all channels at the file's own rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        graph = av.filter.Graph()
        source, r128 = graph.add_abuffer(template=stream), graph.add("ebur128", "metadata=1")
        sink = graph.add("abuffersink")
        source.link_to(r128)
        r128.link_to(sink)
        graph.configure()
        found = float("nan")
        for frame in [*container.decode(audio=0), None]:
            graph.push(frame)
            while True:
                try:
                    said = graph.pull().metadata
                except (av.BlockingIOError, av.EOFError):
                    break
                found = float(said.get("lavfi.r128.I", found))
        return found


def measured_lufs(path: Path) -> float:
    measures = Measures(CONFIG)
    with open_recording(bytes(path)) as recording:
        for y in recording.segments(CONFIG):
            measures.add(y, power_spectrogram(y, CONFIG))
        found = measures.of_track(width(recording.mixers)).loudness_lufs
    assert found is not None
    return found


@pytest.mark.parametrize("likeness", [1.0, 0.5, 0.0, -0.5])
def test_two_channels_however_alike_are_as_loud_as_by_the_meter(tmp_path: Path, likeness: float) -> None:
    rng = np.random.default_rng(0)
    left, other = (np.convolve(rng.normal(size=44100 * 8), np.ones(24) / 24, mode="same") for _ in range(2))
    right = likeness * left + (1 - abs(likeness)) * other
    path = tmp_path / "two.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes((0.2 * 32767 * np.stack([left, right], axis=1)).astype("<i2").tobytes())
    assert measured_lufs(path) == pytest.approx(meter(path), abs=0.3)


def test_real_music_is_as_loud_as_by_the_meter(test_data: Path) -> None:
    paths = [sorted((test_data / "library" / genre).glob("*.mp3"))[0] for genre in ("classical", "rock")]
    off = [measured_lufs(path) - meter(path) for path in (*paths, *sorted(test_data.glob("zouk/*.mp3"))[:2])]
    assert np.abs(off).max() < 1.0, off


def test_tempo_and_loudness_are_those_of_the_whole_track() -> None:
    measures = Measures(CONFIG)
    y = loop(125, "rock", seconds=75)
    for start in range(0, len(y), SEGMENT):
        part = y[start : start + SEGMENT]
        measures.add(part, power_spectrogram(part, CONFIG))
    found = measures.of_track(1.0)
    assert found.tempo_bpm == pytest.approx(125, rel=0.01)
    assert found.loudness_lufs == pytest.approx(loudness_of(y).lufs)
    twice = measures.of_track(2.0)
    assert twice.loudness_lufs == pytest.approx(found.loudness_lufs + 3.01, abs=0.01)
