"""Memory of one worker, and whether it grows with the length of the track."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.corpus import join, long_tracks, real_tracks
from tests.benchmarks.harness import ROOT, Row, benchmark, environment

MOST_MB, MOST_GROWTH = 250, 0.10
MIX_S = 3 * 3600.0


@benchmark("memory")
def memory(folder: Path, rounds: int) -> list[Row]:
    """A worker on a track of 4 minutes and on a mix of 3 hours."""
    (short,) = long_tracks(folder / "short", at_most=1)
    mix = folder / "mix.mp3"
    join(mix, real_tracks()[:8], MIX_S)
    small, large = _peak_mb(folder, short), _peak_mb(folder, mix)
    growth = large / small - 1
    return [
        Row("a worker at its most, 4 minutes", f"{small:.0f} MB", f"{MOST_MB} MB", small <= MOST_MB),
        Row("3 hours", f"{large:.0f} MB", f"{MOST_MB} MB", large <= MOST_MB),
        Row("growth", f"{growth:+.1%}", f"{MOST_GROWTH:.0%}", growth <= MOST_GROWTH),
    ]


def _peak_mb(folder: Path, path: Path) -> float:
    """As R23 measures it: in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.bombs", str(path)],
        cwd=ROOT, env=environment(folder), capture_output=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout)["megabytes"])
