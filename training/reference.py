"""What a shipped model says of the music it learnt from, as `tagger.learning.reference` reads it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from tagger.card import CARD_FILE, read_card
from tagger.features import FeatureConfig, chunks
from tagger.learning.reference import REFERENCE_FILE, artist_number, read_reference
from tagger.model import load_model
from tagger.pooling import fluctuation, pool
from training.dataset import NO_GENRE
from training.recipe import Recipe, held_out, load_clips

MOST_PER_GENRE = 80
"""More tracks of a genre teach a head nothing new and make the bundle heavy."""


def write_reference(recipe: Recipe, data_dir: Path, directory: Path) -> int:
    """Add the reference to a bundle, and its digest to the card.

    Parameters
    ----------
    recipe : Recipe
        The one the model was trained by: it says what was learnt from and what was held out.
    data_dir, directory : Path
        Where the recipe's file names start from; the bundle.

    Returns
    -------
    int
        Tracks in it.
    """
    model = load_model(directory)
    card, config = model.card, FeatureConfig()
    clips = load_clips(recipe, data_dir)
    learnt = clips.genre != NO_GENRE
    if not card.training["held_out_learnt_as_well"]:
        learnt &= ~held_out(recipe, clips)
    clips = clips.take(learnt)
    names = np.array([f"{s}/{t}" for s, t in zip(clips.source, clips.track, strict=True)])
    rng = np.random.default_rng(0)
    taken = [np.empty(0, dtype=np.str_)]
    for genre in range(len(card.genres)):
        some = np.unique(names[clips.genre == genre])
        taken.append(rng.permutation(some)[:MOST_PER_GENRE])
    embedding, probabilities, genres, artists = [], [], [], []
    for name in np.sort(np.concatenate(taken)):
        rows = np.flatnonzero(names == name)
        mels = clips.mel[rows]
        said = [model.predict(chunks(mel, config)) for mel in mels]
        logits = (
            np.concatenate([logit for logit, _ in said]).astype(np.float64) / card.calibration.temperature
        )
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities.append((e / e.sum(axis=1, keepdims=True)).mean(axis=0))
        heard = np.concatenate([embedded for _, embedded in said])
        embedding.append(pool(heard, [fluctuation(m, config) for m in mels], [len(x) for x, _ in said]))
        genres.append(clips.genre[rows[0]])
        artists.append(artist_number(str(clips.artist[rows[0]])))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        embedding=np.array(embedding, dtype=np.float16),
        probabilities=np.array(probabilities, dtype=np.float16),
        genre=np.array(genres, dtype=np.int8),
        artist=np.array(artists, dtype=np.uint64),
    )
    (directory / REFERENCE_FILE).write_bytes(buffer.getvalue())
    table = json.loads((directory / CARD_FILE).read_text(encoding="utf-8"))
    table["training"]["reference"] = {
        "file": REFERENCE_FILE,
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "what": "pooled embeddings of tracks the weights learnt from, for heads that keep their genres",
        "n_tracks": len(genres),
    }
    (directory / CARD_FILE).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    found = read_reference(directory, read_card(directory))
    assert found is not None
    return len(found.genre)
