"""Training: from clips to averaged weights, with checkpoints to resume from and learning curves."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tagger.feature_config import FeatureConfig
from tagger.features import chunks
from training.batches import Batches
from training.dataset import Clips, DatasetError, Teacher
from training.evaluate import softmax
from training.network import build
from training.recipe import Recipe

FEATURES = FeatureConfig()
CURVE_FILE = "curve.json"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A trained network (float32, without auxiliary heads) and how it came about."""

    network: keras.Model
    curve: list[dict[str, float]]
    """One entry an epoch: step, seconds, losses, and validation accuracy where it was measured."""


def clip_chunks(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Chunks of clips as the program cuts them, (n, n_chunks, 52, 128)."""
    return np.stack([chunks(m, FEATURES) for m in mel])


def predict_logits(network: keras.Model, clips: Clips) -> NDArray[np.float32]:
    """Logits of every chunk of every clip, (n_clips, n_chunks, n_genres)."""
    cut = clip_chunks(clips.mel)
    flat = cut.reshape(-1, *cut.shape[2:])
    said = network.predict(flat, batch_size=256, verbose=0)["logits"]
    return np.asarray(said, dtype=np.float32).reshape(*cut.shape[:2], -1)


def schedule(step: int, recipe: Recipe) -> float:
    """Learning rate: linear warm-up, then half a cosine to zero."""
    t = recipe.train
    if step < t.warmup_steps:
        return t.learning_rate * (step + 1) / t.warmup_steps
    done = (step - t.warmup_steps) / max(1, t.steps - t.warmup_steps)
    return float(t.learning_rate * 0.5 * (1 + np.cos(np.pi * min(done, 1.0))))


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Sets the learning rate, averages the weights, writes checkpoints and the curve, reports progress."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path | None,
        valid: Clips | None,
        valid_every: int,
        say: Callable[[str], None],
        state: Mapping[str, Any] | None,
    ) -> None:
        super().__init__()
        self.recipe, self.folder, self.valid, self.valid_every, self.say = (
            recipe,
            folder,
            valid,
            valid_every,
            say,
        )
        self.step = int(state["step"]) if state else 0
        self.average: list[NDArray[np.float32]] | None = (
            list(state["average"]) if state and state["average"] else None
        )
        self.curve: list[dict[str, float]] = list(state["curve"]) if state else []
        self.started = time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = schedule(self.step, self.recipe)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        every = 10  # copying the weights out each step would cost more than it brings
        if self.step % every == 0:
            now = self.model.get_weights()
            if self.average is None:
                self.average = now
            # early on, average over what there is: a fixed decay would keep the random start for long
            decay = min(self.recipe.train.ema**every, self.step / (self.step + 9.0 * every))
            self.average = [decay * a + (1 - decay) * w for a, w in zip(self.average, now, strict=True)]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {"step": self.step, "seconds": time.monotonic() - self.started}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        if self.valid is not None and self.average is not None and (epoch + 1) % self.valid_every == 0:
            now = self.model.get_weights()
            self.model.set_weights(self.average)
            p = softmax(predict_logits(self.model, self.valid)).mean(axis=1)
            row["valid_accuracy"] = float(np.mean(p.argmax(axis=1) == self.valid.genre))
            self.model.set_weights(now)
        self.curve.append(row)
        self.say("  ".join(f"{k} {v:.4g}" for k, v in row.items()))
        if self.folder is not None:
            self._checkpoint(self.folder)

    def _checkpoint(self, folder: Path) -> None:
        optimizer = [np.asarray(v) for v in self.model.optimizer.variables]
        arrays = {f"w{i}": w for i, w in enumerate(self.model.get_weights())}
        arrays |= {f"a{i}": w for i, w in enumerate(self.average or [])}
        arrays |= {f"o{i}": w for i, w in enumerate(optimizer)}
        part = folder / "checkpoint.part.npz"
        np.savez(
            part, step=self.step, curve=json.dumps(self.curve), recipe=recipe_digest(self.recipe), **arrays
        )
        part.replace(folder / "checkpoint.npz")
        (folder / CURVE_FILE).write_text(json.dumps(self.curve, indent=1))


def recipe_digest(recipe: Recipe) -> str:
    """12 hexadecimal digits that change with any setting of a recipe."""
    return hashlib.sha256(json.dumps(recipe.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def _numbered(arrays: Mapping[str, Any], letter: str) -> list[Any]:
    return [
        arrays[f"{letter}{i}"]
        for i in range(sum(name[0] == letter and name[1:].isdigit() for name in arrays))
    ]


def _resume(folder: Path, recipe: Recipe, model: keras.Model) -> dict[str, Any] | None:
    """Load a checkpoint into the model; None where there is none."""
    path = folder / "checkpoint.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if str(arrays["recipe"]) != recipe_digest(recipe):
        raise DatasetError(f"{path} is of another recipe: finish it with that one, or use another folder")
    model.set_weights(_numbered(arrays, "w"))
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, _numbered(arrays, "o"), strict=True):
        variable.assign(value)
    return {
        "step": int(arrays["step"]),
        "average": _numbered(arrays, "a") or None,
        "curve": json.loads(str(arrays["curve"])),
    }


def _weighted(network: keras.Model, heads: Mapping[str, int]) -> list[Any]:
    """The layers with weights, but for auxiliary heads, in the order they were built."""
    return [layer for layer in network.layers if layer.weights and layer.name not in heads]


def _copy_weights(source: keras.Model, target: keras.Model, heads: Mapping[str, int]) -> None:
    for ours, theirs in zip(_weighted(target, heads), _weighted(source, heads), strict=True):
        ours.set_weights(theirs.get_weights())


def train(
    clips: Clips,
    teachers: Mapping[str, Teacher],
    recipe: Recipe,
    *,
    seed: int,
    folder: Path | None = None,
    valid: Clips | None = None,
    valid_every: int = 4,
    init: keras.Model | None = None,
    soft: NDArray[np.float32] | None = None,
    ensemble: Sequence[keras.Model] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Train a network.

    Parameters
    ----------
    clips : Clips
        To learn from.
    teachers : mapping of str to Teacher
        Rows as `clips`.
    recipe : Recipe
    seed : int
        Of the weights, the batches and the dropout.
    folder : Path or None
        For checkpoints (resumed from where present) and the learning curve.
    valid : Clips or None
        Measured every `valid_every` epochs for the curve alone; nothing is chosen by it.
    init : keras.Model or None
        A network of the same recipe to start from instead of random weights.
    soft : (n_clips, n_genres) or None
        What to say of each clip, in place of its genre alone.
    ensemble : sequence of keras.Model
        Networks of the same genres whose mean answer is a part of the target (`TrainConfig.distil_weight`).
    say : callable
        Gets a line of progress per epoch.

    Raises
    ------
    DatasetError
        The folder holds a checkpoint of another recipe.
    """
    t = recipe.train
    keras.utils.set_random_seed(seed)
    sizes = {name: teacher.values.shape[2] for name, teacher in teachers.items()}
    keras.mixed_precision.set_global_policy(t.precision)
    try:
        full = build(recipe.network, len(recipe.genres), sizes)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    # the embedding has no target of its own
    model = keras.Model(full.input, {name: full.output[name] for name in ("logits", *sizes)})
    model.compile(
        optimizer=keras.optimizers.AdamW(t.learning_rate, weight_decay=t.weight_decay, clipnorm=1.0),
        loss={"logits": keras.losses.CategoricalCrossentropy(from_logits=True)}
        | {name: keras.losses.MeanSquaredError() for name in sizes},
        loss_weights={"logits": 1.0} | dict.fromkeys(sizes, t.teacher_weight),
    )
    if init is not None:
        _copy_weights(init, full, sizes)
    state = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        state = _resume(folder, recipe, model)
    watch = _Watch(recipe, folder, valid, valid_every, say, state)
    epochs = -(-t.steps // t.epoch_steps)
    model.fit(
        Batches(clips, teachers, recipe, seed=seed, first_step=watch.step, soft=soft, ensemble=ensemble),
        epochs=epochs,
        initial_epoch=watch.step // t.epoch_steps,
        steps_per_epoch=t.epoch_steps,
        callbacks=[watch],
        verbose=0,
    )
    if watch.average is not None:
        model.set_weights(watch.average)
    final = build(recipe.network, len(recipe.genres))
    _copy_weights(full, final, sizes)
    return Trained(final, watch.curve)
