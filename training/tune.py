"""A shipped network learns on from a person's own tracks: `tagger finetune`.

The network starts from the weights of a bundle. Its last layer is fitted to all genres, old and new, before
the rest is let loose (Kumar et al. 2022, "Fine-tuning can distort pretrained features"). It learns from the
labelled tracks and, so that it keeps what it knows, from others of the collection on which the bundle
itself was sure: of these it is to say what that says (Li & Hoiem 2016, "Learning without forgetting").
Every figure, the temperature and the threshold come from networks that had not met a track's artist.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tagger.card import ModelCard
from training.augment import AugmentConfig
from training.batches import targets
from training.dataset import Clips, DatasetError
from training.evaluate import HeardTracks, by_track, fit_temperature, joined, softmax, track_probabilities
from training.export import NETWORK_FILE
from training.network import NetworkConfig, build
from training.probe import with_fitted_layer
from training.recipe import Recipe, SourceConfig, TrainConfig
from training.train import predict_logits, train

OWN, REHEARSAL = "own", "rehearsal"
"""Sources of clips: those the person labelled, and those on which the bundle was sure."""
REHEARSAL_SHARE = 0.4
PASSES = 8
"""How often a chunk is learnt from, on average."""
LEAST_STEPS, MOST_STEPS = 300, 3000
LEARNING_RATE = 1e-3
CHUNKS_A_CLIP = 13

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """A network that has learnt on, and what was said of the person's tracks while they were held out.

    `probabilities` (n, n_genres) float64, calibrated; `track` (n,) the names in the order of the rows.
    `rehearsed` (m, n_genres): the same of the tracks for rehearsal.
    """

    network: keras.Model
    temperature: float
    track: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    rehearsed: NDArray[np.float64]


def start_network(directory: Path, card: ModelCard, n_new: int) -> tuple[keras.Model, NetworkConfig]:
    """The network of a bundle with `n_new` more genres behind its own, about which it knows nothing.

    Raises
    ------
    DatasetError
        The bundle holds no weights to go on from, or others than its card says.
    """
    said = card.training.get("network")
    path = directory / NETWORK_FILE
    if not isinstance(said, Mapping) or not path.exists():
        raise DatasetError(
            f"the model {card.model_id} comes without the weights that training could go on from"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != said.get("sha256"):
        raise DatasetError(f"{path} is damaged: install the model {card.model_id} again")
    table: dict[str, Any] = {name: _tuples(v) for name, v in card.training["recipe"]["network"].items()}
    config = NetworkConfig(**table)
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        weights = [stored[f"w{i}"].astype(np.float32) for i in range(len(stored.files))]
    network = build(config, len(card.genres) + n_new)
    for i, (now, old) in enumerate(zip(network.get_weights(), weights, strict=True)):
        if now.shape != old.shape:  # the layer of genres: kernel and bias
            grown = np.zeros_like(now)
            grown[..., : old.shape[-1]] = old
            grown[..., old.shape[-1] :] = old.mean(axis=-1, keepdims=True)
            weights[i] = grown
    network.set_weights(weights)
    return network, config


def _tuples(value: Any) -> Any:
    """JSON has lists where a recipe has tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def n_steps(n_own_clips: int, batch: int) -> int:
    """How many batches a fine-tuning takes."""
    share = 1 - REHEARSAL_SHARE
    return int(np.clip(PASSES * n_own_clips * CHUNKS_A_CLIP / (batch * share), LEAST_STEPS, MOST_STEPS))


def recipe_for(
    card: ModelCard, config: NetworkConfig, clips: Clips, name: str, version: str, steps: int | None
) -> Recipe:
    """The recipe of a fine-tuning: the bundle's own augmentation, a few gentle passes or `steps` batches."""
    augment = AugmentConfig(**card.training["recipe"]["augment"])
    base = TrainConfig()
    steps = steps or n_steps(int((clips.source == OWN).sum()), base.batch)
    return Recipe(
        name=name,
        version=version,
        genres=clips.genres,
        data=(
            SourceConfig(OWN, "", share=1 - REHEARSAL_SHARE),
            SourceConfig(REHEARSAL, "", share=REHEARSAL_SHARE),
        ),
        network=config,
        augment=augment,
        train=dataclasses.replace(
            base,
            steps=steps,
            learning_rate=LEARNING_RATE,
            warmup_steps=min(100, steps // 4),
            epoch_steps=min(100, steps),
        ),
    )


def tune(
    directory: Path,
    card: ModelCard,
    clips: Clips,
    fold: NDArray[np.int64],
    folder: Path,
    *,
    name: str,
    version: str,
    steps: int | None,
    say: Say,
) -> Tuned:
    """Fine-tune once for each fold of artists, for the figures, and once on everything.

    Parameters
    ----------
    directory, card
        The bundle to start from.
    clips : Clips
        Of the sources `OWN` and `REHEARSAL`; the genres are the bundle's, then new ones.
    fold : (n_clips,) int64
        Artists are never on both sides.
    folder : Path
        For checkpoints: an interrupted call goes on where it was.
    name, version : str
    steps : int or None
        Batches that each network learns from; None for as many as `n_steps` says.

    Raises
    ------
    DatasetError
        The bundle cannot be trained on from.
    """
    n_new = len(clips.genres) - len(card.genres)
    start, config = start_network(directory, card, n_new)
    recipe = recipe_for(card, config, clips, name, version, steps)
    wanted = soft_targets(directory, card, clips, recipe)
    parts = []
    for k in np.unique(fold):
        learnt = fold != k
        say(f"part {k + 1} of {fold.max() + 1}: {recipe.train.steps} steps without a fifth of the artists")
        parts.append(_heard_without(start, recipe, clips, wanted, learnt, folder / f"part{k}", int(k), say))
    own = joined([part.take(part.source == OWN) for part in parts])
    temperature = fit_temperature(own)
    rehearsed = joined([part.take(part.source == REHEARSAL) for part in parts])
    say(f"and {recipe.train.steps} steps with everything")
    fitted = with_fitted_layer(start, recipe, clips, wanted)
    done = train(clips, {}, recipe, seed=0, folder=folder / "all", init=fitted, soft=wanted, say=say).network
    return Tuned(
        done,
        temperature,
        own.track,
        track_probabilities(own, temperature),
        track_probabilities(rehearsed, temperature)
        if len(rehearsed.genre)
        else np.empty((0, len(clips.genres))),
    )


def soft_targets(directory: Path, card: ModelCard, clips: Clips, recipe: Recipe) -> NDArray[np.float32]:
    """What the network is to say of each clip, (n, n_genres): the person's word, or what the bundle says."""
    wanted = targets(clips, recipe)
    rows = np.flatnonzero(clips.source == REHEARSAL)
    if len(rows):
        base, _ = start_network(directory, card, 0)
        logits = predict_logits(base, clips.take(rows)) / card.calibration.temperature
        wanted[rows] = 0
        wanted[rows, : len(card.genres)] = softmax(logits).mean(axis=1)
    return wanted


def _heard_without(
    start: keras.Model,
    recipe: Recipe,
    clips: Clips,
    wanted: NDArray[np.float32],
    learnt: NDArray[np.bool_],
    folder: Path,
    seed: int,
    say: Say,
) -> HeardTracks:
    """What a network says of the clips that it did not learn from. Remembered in `folder`."""
    path = folder / "said.npy"
    rest = clips.take(~learnt)
    if path.exists():
        return by_track(rest, np.load(path, allow_pickle=False))
    some, soft = clips.take(learnt), wanted[learnt]
    fitted = with_fitted_layer(start, recipe, some, soft)
    done = train(some, {}, recipe, seed=seed, folder=folder, init=fitted, soft=soft, say=say)
    logits = predict_logits(done.network, rest)
    np.save(path, logits)
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    return by_track(rest, logits)
