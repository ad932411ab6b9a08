"""Music made by code whose tempo is known: pulses, drum loops, and noise to hide them in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SR = 22050


def _drums(rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    t = np.arange(SR // 4) / SR
    return {
        "kick": np.sin(2 * np.pi * (50 * t + 3 * (1 - np.exp(-t * 40)))) * np.exp(-t * 18),
        "snare": rng.normal(size=len(t)) * np.exp(-t * 25) * 0.5,
        "hat": np.diff(rng.normal(size=len(t) + 1)) * np.exp(-t * 80) * 0.2,
        "tone": np.sin(2 * np.pi * 440 * t) * np.exp(-t * 12),
    }


PATTERNS: dict[str, tuple[int, tuple[tuple[str, float], ...]]] = {
    "pulse": (1, (("tone", 0),)),
    "four to the floor": (1, (("kick", 0), ("hat", 0.5))),
    "rock": (2, (("kick", 0), ("hat", 0), ("hat", 0.5), ("snare", 1), ("hat", 1), ("hat", 1.5))),
    "waltz": (3, (("kick", 0), ("hat", 0), ("hat", 1), ("hat", 2))),
}
"""How many beats a pattern takes, and what is struck at which of them."""


def loop(bpm: float, pattern: str, *, seconds: float = 30.0, noise: float = 0.01) -> NDArray[np.float32]:
    """A drum loop, (n,) float32 at `SR`."""
    rng = np.random.default_rng(0)
    drums = _drums(rng)
    length, struck = PATTERNS[pattern]
    y = noise * rng.normal(size=int(seconds * SR))
    for bar in range(int(seconds * bpm / 60 / length) + 1):
        for drum, beat in struck:
            at = round((bar * length + beat) * 60 / bpm * SR)
            part = drums[drum][: max(len(y) - at, 0)]
            y[at : at + len(part)] += part
    return y.astype(np.float32)
