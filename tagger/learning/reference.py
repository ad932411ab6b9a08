"""What a model remembers of the music it learnt from: pooled embeddings, so that a new head keeps its genres.

A bundle may hold ``reference.npz`` beside its weights: arrays of numbers only, named with their SHA-256 under
``training.reference`` on the card. `python -m training reference` makes it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard
from tagger.errors import ModelError
from tagger.tracks import display

REFERENCE_FILE = "reference.npz"

_GUESTS = re.compile(r"\s+(?:feat(?:uring)?|ft)\b.*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Tracks a model learnt from, one row each.

    `embedding` (n, n_dims) float32, pooled; `probabilities` (n, n_genres) float64, calibrated means over the
    chunks; `genre` (n,) int64, indices into the card's genres; `artist` (n,) uint64, `artist_number` of each.
    `nonmusic` (m, n_dims) float32 are embeddings of speech and noises, which it learnt to give no genre;
    there may be none.
    """

    embedding: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    genre: NDArray[np.int64]
    artist: NDArray[np.uint64]
    nonmusic: NDArray[np.float32]


def artist_number(name: str) -> int:
    """A number by which an artist is known whatever the spelling's case and accents, without the name itself.

    Guests are left out: ``"Kassav feat. Someone"`` is Kassav's.
    """
    plain = unicodedata.normalize("NFKD", _GUESTS.sub("", name.strip())).casefold()
    letters = "".join(c for c in plain if c.isalnum()) or plain
    return int.from_bytes(hashlib.blake2b(letters.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def read_reference(directory: str | Path, card: ModelCard) -> Reference | None:
    """The reference of a bundle, None where its card names none.

    Raises
    ------
    ModelError
        The card names one that is missing, changed, or does not fit the model.
    """
    said = card.training.get("reference")
    if said is None:
        return None
    path = Path(directory) / REFERENCE_FILE
    where = display(os.fsencode(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the model's reference {where} cannot be read: {error.strerror}") from None
    if not isinstance(said, dict) or hashlib.sha256(content).hexdigest() != said.get("sha256"):
        raise ModelError(
            f"the model's reference {where} is not the one its card names; install the model again"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            embedding = stored["embedding"].astype(np.float32)
            found = Reference(
                embedding=embedding,
                probabilities=stored["probabilities"].astype(np.float64),
                genre=stored["genre"].astype(np.int64),
                artist=stored["artist"].astype(np.uint64),
                nonmusic=stored.get("nonmusic", embedding[:0]).astype(np.float32),
            )
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelError(f"the model's reference {where} is damaged: {error}") from None
    n = len(found.genre)
    fits = found.embedding.ndim == 2 and found.probabilities.shape == (n, len(card.genres))
    fits = fits and found.nonmusic.shape[1:] == found.embedding.shape[1:]
    if not (n and fits and len(found.embedding) == len(found.artist) == n):
        raise ModelError(f"the model's reference {where} does not fit {card.model_id}")
    return found
