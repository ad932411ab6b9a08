"""What a shipped model says of the music it learnt from, as `tagger.learning.reference` reads it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagger.card import CARD_FILE, read_card
from tagger.feature_config import FeatureConfig
from tagger.features import chunks
from tagger.learning.reference import REFERENCE_FILE, artist_number, read_reference
from tagger.model import GenreModel, load_model
from tagger.pooling import fluctuation, pool
from training.dataset import NO_GENRE, Clips
from training.recipe import Recipe, held_out, load_clips

MOST_PER_GENRE = 80
"""More tracks of a genre teach a head nothing new and make the bundle heavy."""
NONMUSIC = "nonmusic"
"""The source, made by `training.nonmusic`, whose clips are no music."""
MOST_PER_KIND = 40
"""Of each kind of these: speech, hum, clicks..."""


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
    card = model.card
    everything = clips = load_clips(recipe, data_dir)
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
        logits, vector = _heard(model, clips.mel[rows])
        z = logits.astype(np.float64) / card.calibration.temperature
        e = np.exp(z - z.max(axis=1, keepdims=True))
        probabilities.append((e / e.sum(axis=1, keepdims=True)).mean(axis=0))
        embedding.append(vector)
        genres.append(clips.genre[rows[0]])
        artists.append(artist_number(str(clips.artist[rows[0]])))
    nonmusic = [_heard(model, everything.mel[i : i + 1])[1] for i in nonmusic_rows(everything)]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        embedding=np.array(embedding, dtype=np.float16),
        probabilities=np.array(probabilities, dtype=np.float16),
        genre=np.array(genres, dtype=np.int8),
        artist=np.array(artists, dtype=np.uint64),
        nonmusic=np.array(nonmusic, dtype=np.float16).reshape(len(nonmusic), len(embedding[0])),
    )
    (directory / REFERENCE_FILE).write_bytes(buffer.getvalue())
    table = json.loads((directory / CARD_FILE).read_text(encoding="utf-8"))
    table["training"]["reference"] = {
        "file": REFERENCE_FILE,
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "what": "pooled embeddings of tracks the weights learnt from, and of sounds that are no music, for "
        "heads that keep the model's genres",
        "n_tracks": len(genres),
        "n_nonmusic": len(nonmusic),
    }
    (directory / CARD_FILE).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    found = read_reference(directory, read_card(directory))
    assert found is not None
    return len(found.genre)


def _heard(model: GenreModel, mels: NDArray[np.float32]) -> tuple[NDArray[np.floating], NDArray[np.float32]]:
    """Logits of all chunks and the pooled embedding of the clips of a track."""
    config = FeatureConfig()
    said = [model.predict(chunks(mel, config)) for mel in mels]
    heard = np.concatenate([embedded for _, embedded in said])
    vector = pool(heard, [fluctuation(mel, config) for mel in mels], [len(x) for x, _ in said])
    return np.concatenate([logits for logits, _ in said]), vector


def nonmusic_rows(clips: Clips) -> list[int]:
    """Some clips of each kind of sound that is no music."""
    rows = np.flatnonzero(clips.source == NONMUSIC)
    kinds = np.array([str(track).partition("/")[0] for track in clips.track[rows]])
    return [int(i) for kind in np.unique(kinds) for i in rows[kinds == kind][:MOST_PER_KIND]]
