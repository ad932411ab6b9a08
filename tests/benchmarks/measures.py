"""Tempo against librosa's, loudness against ffmpeg's own meter, and what both cost, on real music."""

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


@benchmark("measures")
def measures(_folder: Path, _rounds: int) -> list[Row]:
    """Tempo and loudness beside librosa and ffmpeg, and their cost beside decoding."""
    try:
        import librosa
    except ImportError as error:
        raise NotHere("librosa is not installed") from error
    from tagger.audio import segments
    from tagger.classify import analyse
    from tagger.model import load_model, shipped_model_dir

    paths = [path for pattern in PATTERNS for path in sorted(DATA.glob(pattern))]
    if not paths:
        raise NotHere(f"no music in {DATA}")
    model = load_model(shipped_model_dir("eleven"))
    config = model.card.features
    ratio, strength, lufs_off, range_off, shares = [], [], [], [], []
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
        lufs, range_lu = meter(path)
        assert heard.loudness_lufs is not None
        lufs_off.append(abs(heard.loudness_lufs - lufs))
        range_off.append(abs((heard.loudness_range_lu or 0.0) - range_lu))
    same = np.abs(np.array(ratio) - 1) <= NEAR
    octave = same | (np.abs(np.array(ratio) * 2 - 1) <= NEAR) | (np.abs(np.array(ratio) / 2 - 1) <= NEAR)
    known, plain = np.array(ratio) > 0, np.array(strength) >= PLAIN
    return [
        _agreement("all (no beat counts as wrong)", same, octave, np.ones_like(known)),
        _agreement("those with a beat", same, octave, known),
        _agreement(f"those with a beat of {PLAIN} or more", same, octave, plain),
        Row("loudness against ffmpeg's meter", _off(lufs_off)),
        Row("loudness range against it", _off(range_off)),
        Row("cost by that of decoding, median of the tracks", f"{statistics.median(shares):.3f}"),
    ]


def _agreement(what: str, same: np.ndarray, octave: np.ndarray, which: np.ndarray) -> Row:
    figures = f"{same[which].mean():.2f}; half or double too {octave[which].mean():.2f}; n = {which.sum()}"
    return Row(f"tempo within 4 % of librosa's: {what}", figures)


def _off(found: list[float]) -> str:
    return f"off by {np.mean(found):.2f} LU on average, at most {max(found):.2f}; n = {len(found)}"
