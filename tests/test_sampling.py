"""Some segments of a track: which ones, equal to those of full decoding, and all of it where in doubt."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tagger.audio import open_recording
from tagger.bundle import shipped_model_dir
from tagger.classify import analyse
from tagger.errors import AudioError, TimeLimitError
from tagger.feature_config import FeatureConfig
from tagger.features import spread_segments
from tagger.model import load_model
from tagger.sampling import InexactError, sample
from tagger.store import Store
from tests import media
from tests.conftest import Tagger

CONFIG = FeatureConfig()
LENGTH_S = 100.0
EXACT = ("mp3", "flac", "ogg-vorbis", "ogg-opus", "m4a-alac", "wav")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One track of each container, long enough for three whole segments."""
    folder = tmp_path_factory.mktemp("long")
    for kind in (*EXACT, "m4a-aac", "tta"):
        media.make(folder / f"{kind}.{media.CONTAINERS[kind].suffix}", kind, seconds=LENGTH_S)
    return folder


def of(music: Path, kind: str) -> bytes:
    return os.fsencode(music / f"{kind}.{media.CONTAINERS[kind].suffix}")


@given(st.integers(1, 500), st.integers(1, 600))
def test_the_chosen_are_spread_over_the_track(n_segments: int, n: int) -> None:
    which = spread_segments(n_segments, n)
    assert len(which) == min(n, n_segments)
    assert list(which) == sorted(set(which))
    assert which[0] >= 0 and which[-1] < n_segments
    gaps = np.diff([-1 - which[0] if n < n_segments else -1, *which])
    if n < n_segments and n > 1:
        assert np.diff(which).max() - np.diff(which).min() <= 1
    assert len(gaps) == len(which)


def test_two_of_eight() -> None:
    assert spread_segments(8, 2) == (2, 6)
    assert spread_segments(8, 1) == (4,)
    assert spread_segments(3, 3) == spread_segments(3, 9) == (0, 1, 2)


@pytest.mark.parametrize("kind", EXACT)
def test_a_segment_is_that_of_full_decoding(music: Path, kind: str) -> None:
    with open_recording(of(music, kind)) as recording:
        full = list(recording.segments(CONFIG))
    with open_recording(of(music, kind)) as recording:
        some = list(sample(recording, CONFIG, 2))
        assert recording.decoded_s == 60 and not recording.complete
        assert recording.stated_s == pytest.approx(LENGTH_S, abs=0.1)
    for number, y in zip(spread_segments(3, 2), some, strict=True):
        assert y.shape == (CONFIG.segment_samples,)
        np.testing.assert_allclose(y, full[number], atol=2e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 32000, 33075, 37000, 48000])
def test_a_segment_is_the_same_at_every_rate(tmp_path: Path, rate: int) -> None:
    """The less two rates have in common, the rarer the samples at which a resampler can begin."""
    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 95 * rate), rate)
    with open_recording(os.fsencode(path)) as recording:
        full = list(recording.segments(CONFIG))
    with open_recording(os.fsencode(path)) as recording:
        some = list(sample(recording, CONFIG, 2))
    for number, y in zip(spread_segments(3, 2), some, strict=True):
        np.testing.assert_allclose(y, full[number], atol=2e-6)


def test_aac_is_at_the_same_place(music: Path) -> None:
    """Its noise comes from a generator whose state is that of all the decoding before."""
    with open_recording(of(music, "m4a-aac")) as recording:
        full = list(recording.segments(CONFIG))
    with open_recording(of(music, "m4a-aac")) as recording:
        (y,) = sample(recording, CONFIG, 1)
    assert np.corrcoef(y, full[spread_segments(3, 1)[0]])[0, 1] > 0.99


@pytest.mark.parametrize(("kind", "n"), [("tta", 1), ("mp3", 3), ("mp3", 4)])
def test_what_cannot_be_sampled_is_heard_as_a_whole(music: Path, kind: str, n: int) -> None:
    path = of(music, kind)
    with open_recording(path) as recording, pytest.raises(InexactError):
        list(sample(recording, CONFIG, n))
    analysis = analyse(path, load_model(shipped_model_dir()), n_segments=n)
    assert analysis.analysed_s == analysis.duration_s == pytest.approx(LENGTH_S, abs=0.1)


def test_the_analysis_says_what_was_covered(music: Path) -> None:
    model = load_model(shipped_model_dir())
    path = of(music, "flac")
    part, full = analyse(path, model, n_segments=1), analyse(path, model)
    assert (part.analysed_s, len(part.activations)) == (30, 13)
    assert part.duration_s == pytest.approx(full.duration_s, abs=0.01)
    np.testing.assert_allclose(part.activations, full.activations[13:26], atol=2e-2)


@pytest.mark.parametrize("kind", ["mp3", "flac", "wav", "ogg-vorbis"])
def test_a_file_that_was_cut_off_is_found_out_all_the_same(music: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cut.{media.CONTAINERS[kind].suffix}"
    path.write_bytes(Path(os.fsdecode(of(music, kind))).read_bytes())
    media.truncate(path, 0.9)
    with pytest.raises(AudioError):
        analyse(os.fsencode(path), load_model(shipped_model_dir()), n_segments=1)


def test_a_change_of_coverage_shows_with_stale_alone(music: Path, tmp_path: Path, tagger: Tagger) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "x.flac").write_bytes(Path(os.fsdecode(of(music, "flac"))).read_bytes())

    def listened(*options: object) -> tuple[bool, float]:
        ran = tagger("scan", "--jobs", 1, *options, folder)
        assert ran.code == 0, ran.err
        (line,) = tagger("ls", "--json", folder).lines
        with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
            row = store.find(os.fsencode(line["path"]))
        assert row is not None and row.analysed_s is not None
        assert row.duration_s == pytest.approx(LENGTH_S, abs=0.1)
        return "listening to 1" in ran.out, row.analysed_s

    assert listened("--coverage", 1) == (True, 30)
    assert listened() == (False, 30)
    assert listened("--stale", "--coverage", 1) == (False, 30)
    again, heard_s = listened("--stale")
    assert again and heard_s == pytest.approx(LENGTH_S, abs=0.1)
    assert listened("--stale", "--coverage", 1)[0] is False, "more was heard already"


def test_the_time_limit_holds(music: Path) -> None:
    with open_recording(of(music, "mp3")) as recording, pytest.raises(TimeLimitError):
        list(sample(recording, CONFIG, 1, deadline=time.monotonic() - 1))
