"""R25: how many workers there are, and in which order they meet the files, makes no difference."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tagger.store import Store, TrackFilter
from tests import media
from tests.conftest import environment
from tests.reliability.figures import Measured, figure
from tests.reliability.program import tagger

CONTAINERS = ("mp3", "flac", "ogg-vorbis", "ogg-opus", "m4a-aac", "wav", "wma", "wv")
TOLERANCE = 1e-5


@figure(
    "R25",
    what="1, 2 and 8 workers, any order of the files: same genre; largest difference of a probability",
    bar="100 %, ≤ 1e-5",
    full=60,
)
def sameness(folder: Path, *, size: int) -> Measured:
    """`size` tracks of all lengths up to two segments, heard by several runs under other names each time."""
    tracks = folder / "tracks"
    tracks.mkdir()
    made = []
    for seed in range(size):
        container = CONTAINERS[seed % len(CONTAINERS)]
        path = tracks / f"{seed}.{media.CONTAINERS[container].suffix}"
        media.make(path, container, seconds=(3, 9, 17, 42)[seed % 4], seed=seed)
        made.append(path)
    first = _heard(folder, made, jobs=1, shuffled_by=0)
    others = [_heard(folder, made, jobs=jobs, shuffled_by=jobs) for jobs in (2, 8)]
    n_same = 0
    largest = 0.0
    notes = []
    for path in made:
        genre, probabilities = first[path]
        differences = [abs(other[path][1][name] - p) for other in others for name, p in probabilities.items()]
        largest = max(largest, *differences)
        if all(other[path][0] == genre for other in others) and max(differences) <= TOLERANCE:
            n_same += 1
        else:
            notes.append(f"{path.name}: {[first[path], *(other[path] for other in others)]}")
    return Measured(n_same == size, f"{n_same} of {size}, {largest:.1e}", size, tuple(notes))


def _heard(
    folder: Path, made: list[Path], *, jobs: int, shuffled_by: int
) -> dict[Path, tuple[str | None, dict[str, float]]]:
    """Genre and probabilities of each track, as the database has them after a run in another order."""
    scratch = folder / f"jobs{jobs}"
    music = scratch / "music"
    music.mkdir(parents=True)
    order = list(made)
    random.Random(shuffled_by).shuffle(order)
    names = {}
    for place, path in enumerate(order):
        name = music / f"{place:03}{path.suffix}"
        os.link(path, name)
        names[os.fsencode(name)] = path
    ran = tagger(scratch, "scan", "--jobs", jobs, music)
    if ran.code:
        raise AssertionError(f"exit {ran.code}: {ran.err}")
    with Store.open(Path(environment(scratch)["TAGGER_DB"]), read_only=True) as store:
        rows = list(store.iter_tracks(TrackFilter(folder=os.fsencode(music))))
        assert len(rows) == len(made)
        return {
            names[row.path]: (row.estimate.genre, dict(row.estimate.probabilities))
            for row in rows
            if row.estimate is not None
        }
