"""The shipped models say what they said when they were exported; and the same of a file as of its array.

After exporting a new model: ``python -m tests.test_golden_model`` writes the golden figures again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tagger.bundle import shipped_model_dir, shipped_models
from tagger.classify import analyse
from tagger.decision import decide
from tagger.feature_config import FeatureConfig
from tagger.features import chunks_from_cache
from tagger.model import load_model
from tagger.tracks import TrackAnalysis

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(os.environ.get("TAGGER_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TOLERANCE = 2e-2
"""Of logits. Processors differ in how they sum and round to 8 bits; what a person sees has two decimals."""


def made_chunks() -> NDArray[np.float32]:
    """Four chunks by formula: tones, beats, a chirp and noise-like texture, normalised."""
    t = np.arange(52)[:, None] / 52
    f = np.arange(128)[None, :] / 128
    textures = [
        np.cos(40 * np.pi * f) * (1 - f) + 0 * t,
        np.cos(16 * np.pi * t) ** 4 - 2 * f,
        np.exp(-200 * (f - 0.2 - 0.5 * t) ** 2) - f,
        np.sin(1e4 * np.sin(1e3 * t + 517 * f)) - 1.5 * f + 0.5 * np.cos(8 * np.pi * t),
    ]
    x = np.stack(textures)
    x = (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)
    return x.astype(np.float32)


@pytest.mark.parametrize("name", shipped_models())
def test_given_chunks_give_the_given_logits(name: str) -> None:
    model = load_model(shipped_model_dir(name))
    golden = json.loads((GOLDEN / f"model-{name}.json").read_text(encoding="utf-8"))
    assert golden["sha256"] == model.card.weights.sha256, "another model is shipped: write the figures again"
    assert golden["genres"] == list(model.card.genres)
    logits, embedding = model.predict(made_chunks())
    np.testing.assert_allclose(logits, golden["logits"], atol=TOLERANCE)
    np.testing.assert_allclose(embedding.mean(axis=0), golden["mean_embedding"], atol=TOLERANCE)


@pytest.mark.parametrize("name", shipped_models())
def test_what_is_said_of_a_chunk_does_not_depend_on_those_heard_with_it(name: str) -> None:
    model = load_model(shipped_model_dir(name))
    x = np.concatenate([made_chunks(), 0.1 * made_chunks(), 30 * made_chunks()])
    together = model.predict(x)
    for i in range(len(x)):
        for alone, among in zip(model.predict(x[i : i + 1]), together, strict=True):
            np.testing.assert_allclose(alone[0], among[i], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not (DATA / "gtzan-audio").exists(), reason=f"no audio in {DATA} (set TAGGER_TEST_DATA)")
@pytest.mark.parametrize("name", shipped_models())
def test_same_genre_from_audio_as_from_the_array(name: str) -> None:
    model = load_model(shipped_model_dir(name))
    with np.load(DATA / "gtzan-mel" / "dev.npz") as stored:
        rows = {str(track): i for i, track in enumerate(stored["track"])}
        arrays = stored["X"]
    files = sorted((DATA / "gtzan-audio").glob("*/*.flac"))
    files = [f for f in files if f.stem in rows]
    assert len(files) >= 19
    differ = []
    for path in files:
        from_audio = decide(analyse(os.fsencode(path), model), model.card)
        row = rows[path.stem]
        logits, _ = model.predict(chunks_from_cache(arrays[row : row + 1], FeatureConfig())[0])
        heard = TrackAnalysis(logits.astype(np.float16), np.zeros(1, np.float32), 30.0, 30.0)
        from_array = decide(heard, model.card)
        if next(iter(from_audio.probabilities)) != next(iter(from_array.probabilities)):
            differ.append(f"{path.stem}: {from_audio} from audio, {from_array} from the array")
    assert len(differ) <= len(files) - 19, differ


def write_golden() -> None:
    """Write the figures of all shipped models."""
    GOLDEN.mkdir(exist_ok=True)
    for name in shipped_models():
        model = load_model(shipped_model_dir(name))
        logits, embedding = model.predict(made_chunks())

        def rounded(x: NDArray[np.float32]) -> Any:
            return np.round(x.astype(np.float64), 5).tolist()

        table = {
            "sha256": model.card.weights.sha256,
            "genres": list(model.card.genres),
            "logits": rounded(logits),
            "mean_embedding": rounded(embedding.mean(axis=0)),
        }
        path = GOLDEN / f"model-{name}.json"
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden()
