"""The bundle of a head: a folder with ``card.json`` and ``weights.npz``, saved, and read strictly.

Nothing in it is code, arrays are read without pickle, and whatever does not fit is refused with a sentence of
its own. Where the bundles lie is `tagger.learning.shelf`'s to say.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tagger.card import CARD_FILE
from tagger.errors import ModelError
from tagger.learning.headcard import FORMAT, check_name, read_head_card, refusal, versions
from tagger.learning.heads import Head
from tagger.tracks import display

WEIGHTS_FILE = "weights.npz"
MAX_BYTES = 64 * 2**20

_ARRAYS = ("mean", "scale", "weights", "bias", "kept", "memory", "digests", "said")


def save_head(folder: Path, head: Head) -> Head:
    """Write a new version of a head; its card's version and digest are set here.

    Parameters
    ----------
    folder : Path
        Of all heads.

    Returns
    -------
    Head
        As it was written.

    Raises
    ------
    ModelError
        The folder cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        mean=head.mean.astype(np.float32),
        scale=head.scale.astype(np.float32),
        weights=head.weights.astype(np.float32),
        bias=head.bias.astype(np.float32),
        kept=head.kept.astype(np.int64),
        memory=head.memory.astype(np.float16),
        nonmusic=head.nonmusic.astype(np.float16),
        digests=np.asarray(head.digests, dtype="S32"),
        said=head.said.astype(np.int64),
    )
    name = check_name(head.card.name)
    content = buffer.getvalue()
    try:
        version = max(versions(folder / name), default=0) + 1
        card = replace(head.card, version=version, sha256=hashlib.sha256(content).hexdigest())
        (folder / name).mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder / name))
        (made / WEIGHTS_FILE).write_bytes(content)
        text = json.dumps({"format": FORMAT, **asdict(card)}, indent=1, ensure_ascii=False, default=str)
        (made / CARD_FILE).write_text(text + "\n", encoding="utf-8")
        made.chmod(0o755)
        made.rename(folder / name / str(version))
    except OSError as error:
        raise ModelError(
            f"the head cannot be saved in {display(os.fsencode(folder))}: {error.strerror}"
        ) from None
    return read_head(folder / name / str(version))


def read_head(folder: Path) -> Head:
    """Load a head.

    Raises
    ------
    ModelError
        As `read_head_card`; or the weights are missing, changed, damaged, or do not fit the card.
    """
    card = read_head_card(folder)
    try:
        with (folder / WEIGHTS_FILE).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refusal(folder, "has lost its weights") from None
    except OSError as error:
        raise refusal(folder, f"cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise refusal(folder, "was changed: the SHA-256 of its weights is not its card's")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            a: dict[str, Any] = {name: stored[name] for name in _ARRAYS}
            # heads saved before there was any know of none
            a["nonmusic"] = stored.get("nonmusic", np.zeros((0, card.n_dims), np.float16))
    except (OSError, ValueError, KeyError, BadZipFile):
        raise refusal(folder, "has damaged weights") from None
    n_genres, n_dims = len(card.genres), card.n_dims
    shapes = {"mean": (n_dims,), "scale": (n_dims,), "weights": (n_dims, n_genres), "bias": (n_genres,),
              "kept": (card.n_kept,), "said": a["digests"].shape}  # fmt: skip
    if any(a[name].shape != shape for name, shape in shapes.items()) or not (
        a["memory"].ndim == a["nonmusic"].ndim == 2
        and len(a["memory"])
        and a["memory"].shape[1] == a["nonmusic"].shape[1] == n_dims
    ):
        raise refusal(folder, "has weights that do not fit its card")
    numbers = [a[name] for name in ("mean", "scale", "weights", "bias", "memory", "nonmusic")]
    if not all(np.isfinite(x).all() for x in numbers) or (a["scale"] <= 0).any() or (a["kept"] < 0).any():
        raise refusal(folder, "has weights that are no numbers to reckon with")
    a["memory"], a["nonmusic"] = a["memory"].astype(np.float32), a["nonmusic"].astype(np.float32)
    return Head(card=card, **a)
