"""How often hearing a part of a track comes to the same decision as hearing all of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tagger.bundle import shipped_model_dir
from tagger.classify import analyse
from tagger.decision import decide
from tagger.model import GenreModel, load_model
from tagger.tracks import GenreEstimate
from tests.benchmarks.corpus import long_tracks, real_tracks
from tests.benchmarks.harness import Row, benchmark

SEGMENTS = (1, 2, 3, 4, 6)


@benchmark("agreement")
def agreement(folder: Path, rounds: int) -> list[Row]:
    """The same genre or none by some segments as by all: mixes of 4 minutes, and real tracks as they are."""
    model = load_model(shipped_model_dir())
    mixes, real = long_tracks(folder / "music"), real_tracks()
    return [
        row
        for what, paths in ((f"{len(mixes)} mixes", mixes), (f"{len(real)} real tracks", real))
        for row in _rows(what, paths, model)
    ]


def _rows(what: str, paths: Sequence[Path], model: GenreModel) -> list[Row]:
    whole = [_judged(path, model, 0) for path in paths]
    rows = []
    for n in SEGMENTS:
        some = [_judged(path, model, n) for path in paths]
        pairs = list(zip(whole, some, strict=True))
        same = sum(a.genre == b.genre for a, b in pairs) / len(pairs)
        other = sum(None not in (a.genre, b.genre) and a.genre != b.genre for a, b in pairs)
        best = sum(_best(a) == _best(b) for a, b in pairs) / len(pairs)
        text = f"the same genre or none: {same:.2f}; another genre: {other}; the same best guess: {best:.2f}"
        rows.append(Row(f"{what}, {n} segments", text))
    return rows


def _judged(path: Path, model: GenreModel, n_segments: int) -> GenreEstimate:
    return decide(analyse(os.fsencode(path), model, n_segments=n_segments), model.card)


def _best(estimate: GenreEstimate) -> str:
    return max(estimate.probabilities, key=lambda genre: estimate.probabilities[genre])
