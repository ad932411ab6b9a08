"""A tiny recipe with tiny data, and a way to call ``python -m training``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner

from training.__main__ import main

GENRES = ("blues", "jazz", "rock")
RECIPE = """
name = "tiny"
version = "1"
genres = ["blues", "jazz", "rock"]

[[data]]
source = "made"
arrays = "made.npz"
hold_out = "artists"

[[data]]
source = "none"
arrays = "none.npz"
hold_out = "none"
share = 0.3

[[teachers]]
name = "teacher"
source = "made"
file = "teacher.npz"
values = "said"

[network]
stem = 4
widths = [4, 4, 4, 4]
hidden = 5

[train]
steps = 2
batch = 8
epoch_steps = 1
"""


def make_data(folder: Path) -> None:
    """Two small collections, a teacher and a recipe."""
    rng = np.random.default_rng(1)
    names = np.array([f"track{i}" for i in range(24)])
    np.savez(
        folder / "made.npz",
        X=rng.integers(0, 256, (24, 128, 110), dtype=np.uint8),
        track=names,
        genre=np.array(GENRES * 8),
        artist=np.array([f"artist{i % 12}" for i in range(24)]),
    )
    np.savez(
        folder / "none.npz",
        X=rng.integers(0, 256, (3, 128, 100), dtype=np.uint8),
        track=np.array(list("abc")),
    )
    np.savez(folder / "teacher.npz", said=rng.random((23, 4, 6)), track=names[:23])
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")


def call(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output
