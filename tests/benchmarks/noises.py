"""What gets a genre that is no music, with and without a model's memory; and what that costs music."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tests.benchmarks.harness import ROOT, NotHere, Row, benchmark

PER_KIND = 30
SEED = 4321
"""Of noises that the models neither learnt nor remember."""


@benchmark("noises")
def noises(_folder: Path, _rounds: int) -> list[Row]:
    """Noises that get a genre, by the network alone and with its memory; and music that loses its own."""
    from tagger.bundle import shipped_model_dir
    from tagger.classify import analyse
    from tagger.learning.heads import Memory, judge, memory_of
    from tagger.live import hear
    from tagger.model import GenreModel, load_model
    from tagger.tracks import TrackAnalysis
    from training.nonmusic import NOISES

    def named(heard: list[TrackAnalysis], model: GenreModel, memory: Memory | None) -> int:
        return sum(judge(analysis, model.card, None, memory).genre is not None for analysis in heard)

    data = Path(os.environ.get("TAGGER_TEST_DATA", ROOT.parent / "shared" / "data"))
    music = [
        p
        for folder in ("full-tracks", "gtzan-audio", "library", "zouk")
        for p in data.glob(f"{folder}/**/*.*")
    ]
    if not music:
        raise NotHere(f"no real music at {data}; set TAGGER_TEST_DATA")
    rows = []
    for name in ("eleven", "gtzan"):
        directory = shipped_model_dir(name)
        model = load_model(directory)
        memory = memory_of(directory, model.card, None)
        assert memory is not None
        rng = np.random.default_rng(SEED)
        for kind, make in NOISES.items():
            some = [hear((0.7 * make(rng)).astype(np.float32), model) for _ in range(PER_KIND)]
            alone, with_memory = named(some, model, None), named(some, model, memory)
            rows.append(
                Row(
                    f"{name}: {PER_KIND} of {kind}",
                    f"{with_memory} get a genre; by the network alone {alone}",
                )
            )
        tracks = [analyse(os.fsencode(path), model) for path in sorted(music)]
        alone, with_memory = named(tracks, model, None), named(tracks, model, memory)
        n_refused = sum(not memory.finds_music(track) for track in tracks)
        told = f"{with_memory} get a genre; by the network alone {alone}; {n_refused} are taken for no music"
        rows.append(Row(f"{name}: {len(tracks)} pieces of music", told))
    return rows
