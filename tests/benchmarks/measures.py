"""Tempo against people's and librosa's, loudness against ffmpeg's meter, what both cost; on real music."""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from tests.benchmarks.harness import NotHere, Row, benchmark

DATA = Path(os.environ.get("TAGGER_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PATTERNS = ("gtzan-audio/*/*.flac", "library/*/*.mp3", "full-tracks/*.mp3", "zouk/*.mp3")
NEAR = 0.04
"""Share of a tempo by which an estimate may be off, as in the contests of the field."""
PLAIN = 0.12
"""Beats of this strength are looked at on their own, too."""


def meter(path: Path) -> tuple[float, float]:
    """Integrated loudness and its range by ffmpeg's filter, of all channels at the file's own rate."""
    lufs = range_lu = float("nan")
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        graph = av.filter.Graph()
        source, r128 = graph.add_abuffer(template=stream), graph.add("ebur128", "metadata=1")
        sink = graph.add("abuffersink")
        source.link_to(r128)
        r128.link_to(sink)
        graph.configure()
        for frame in [*container.decode(audio=0), None]:
            graph.push(frame)
            while True:
                try:
                    said = graph.pull().metadata
                except (av.BlockingIOError, av.EOFError):
                    break
                lufs = float(said.get("lavfi.r128.I", lufs))
                range_lu = float(said.get("lavfi.r128.LRA", range_lu))
    return lufs, range_lu


TAPPED_BPM = {
    "blues.00000": 125, "blues.00001": 68, "classical.00000": 95, "classical.00001": 38, "country.00000": 85,
    "country.00001": 130, "disco.00000": 116, "disco.00002": 115, "hiphop.00002": 102, "hiphop.00003": 94,
    "jazz.00000": 125, "jazz.00001": 137, "metal.00000": 94, "metal.00001": 158, "pop.00002": 126,
    "pop.00003": 92, "reggae.00000": 122, "reggae.00001": 78, "rock.00000": 121, "rock.00001": 76,
}  # fmt: skip
"""What people say: the tempos of these GTZAN clips as corrected by Percival and Tzanetakis (2014),
"Streamlined tempo estimation based on autocorrelation and cross-correlation with pulses"."""


@benchmark("measures")
def measures(_folder: Path, _rounds: int) -> list[Row]:
    """Tempo and loudness beside people, librosa and ffmpeg, and their cost beside decoding."""
    try:
        import librosa
    except ImportError as error:
        raise NotHere("librosa is not installed") from error
    from tagger.audio import segments
    from tagger.bundle import shipped_model_dir
    from tagger.classify import analyse
    from tagger.model import load_model

    paths = [path for pattern in PATTERNS for path in sorted(DATA.glob(pattern))]
    if not paths:
        raise NotHere(f"no music in {DATA}")
    model = load_model(shipped_model_dir("eleven"))
    config = model.card.features
    ratio, strength, lufs_off, range_off, shares = [], [], [], [], []
    tapped: list[tuple[float, float]] = []
    for path in paths:
        spent: dict[str, float] = {}

        @contextmanager
        def timed(part: str, spent: dict[str, float] = spent) -> Iterator[None]:
            began = time.perf_counter()
            yield
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - began

        heard = analyse(bytes(path), model, timed=timed, spent=spent)
        shares.append(spent["measures"] / (spent["decode"] + spent["resample"]))
        y = np.concatenate(list(segments(bytes(path), config)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = float(librosa.feature.tempo(y=y, sr=config.sr)[0])
        ratio.append((heard.tempo_bpm or 0.0) / reference)
        strength.append(heard.tempo_strength or 0.0)
        if path.stem in TAPPED_BPM:
            tapped.append(
                ((heard.tempo_bpm or 0.0) / TAPPED_BPM[path.stem], reference / TAPPED_BPM[path.stem])
            )
        lufs, range_lu = meter(path)
        assert heard.loudness_lufs is not None
        lufs_off.append(abs(heard.loudness_lufs - lufs))
        range_off.append(abs((heard.loudness_range_lu or 0.0) - range_lu))
    ratios = np.array(ratio)
    ours, librosas = np.array(tapped or np.zeros((0, 2))).T
    return [
        _agreement("people's: all (no beat counts as wrong)", ours),
        _agreement("people's: those with a beat", ours[ours > 0]),
        _agreement("people's: librosa's, all", librosas),
        _agreement("librosa's: all (no beat counts as wrong)", ratios),
        _agreement("librosa's: those with a beat", ratios[ratios > 0]),
        _agreement(f"librosa's: those with a beat of {PLAIN} or more", ratios[np.array(strength) >= PLAIN]),
        Row("loudness against ffmpeg's meter", _off(lufs_off)),
        Row("loudness range against it", _off(range_off)),
        Row("cost by that of decoding, median of the tracks", f"{statistics.median(shares):.3f}"),
    ]


def _agreement(what: str, ratio: np.ndarray) -> Row:
    off = np.abs(ratio[:, None] * [1, 2, 0.5] - 1)
    figures = f"{(off[:, 0] <= NEAR).mean():.2f}; half or double too {(off.min(axis=1) <= NEAR).mean():.2f}"
    return Row(f"tempo within 4 % of {what}", f"{figures}; n = {len(ratio)}")


def _off(found: list[float]) -> str:
    return f"off by {np.mean(found):.2f} LU on average, at most {max(found):.2f}; n = {len(found)}"
