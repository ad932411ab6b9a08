"""Endless training batches, each made from a seed and its step alone: a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.augment import crops, distort, mask, mix_styles, mixing_weights, shift_pitch
from training.dataset import NO_GENRE, Clips, Teacher
from training.evaluate import softmax
from training.recipe import Recipe

_TEACHER_REACH = 20  # columns: a teacher's steps whose centres are this near a crop's centre speak for it


def targets(clips: Clips, recipe: Recipe) -> NDArray[np.float32]:
    """Target distribution of each clip, (n, n_genres): smoothed, softened; even where it is none of ours."""
    n_genres = len(recipe.genres)
    smooth = recipe.train.label_smoothing
    wanted = np.full((len(clips), n_genres), 1 / n_genres, dtype=np.float32)
    soften = {d.source: d.soften for d in recipe.data}
    for i, (genre, source) in enumerate(zip(clips.genre, clips.source, strict=True)):
        if genre == NO_GENRE:
            continue
        row = np.zeros(n_genres, dtype=np.float32)
        row[genre] = 1
        for other, share in soften.get(str(source), {}).get(recipe.genres[genre], {}).items():
            row[recipe.genres.index(other)] += share
        wanted[i] = (1 - smooth) * row / row.sum() + smooth / n_genres
    return wanted


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Batches of augmented crops: ``(chunks, {output: target}, {output: weight})``.

    Each source has its share of every batch; within a source each genre is drawn as often as the others.
    An ensemble of networks is asked about the very crops, distorted, mixed and masked, that are learnt from
    (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent").
    """

    def __init__(
        self,
        clips: Clips,
        teachers: Mapping[str, Teacher],
        recipe: Recipe,
        *,
        seed: int,
        first_step: int = 0,
        soft: NDArray[np.float32] | None = None,
        ensemble: Sequence[keras.Model] = (),
    ) -> None:
        super().__init__(workers=1)
        self._ensemble = tuple(ensemble)
        self._clips, self._teachers, self._recipe = clips, teachers, recipe
        self._seed, self._step = seed, first_step
        self._targets = targets(clips, recipe) if soft is None else soft
        self._band_mean = clips.mel.mean(axis=1)
        self._loudness = clips.mel.mean(axis=2).var(axis=1)
        self._pools: list[tuple[float, list[NDArray[np.int64]]]] = []
        for config in recipe.data:
            here = clips.source == config.source
            rows = [np.flatnonzero(here & (clips.genre == g)) for g in np.unique(clips.genre[here])]
            if rows:
                self._pools.append((config.share, rows))

    def __len__(self) -> int:
        return self._recipe.train.epoch_steps

    def on_epoch_end(self) -> None:
        """Move on to the next epoch's steps (called by keras)."""
        self._step += len(self)

    def __getitem__(self, index: int) -> Any:
        return self.batch(self._step + index)

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        n = self._recipe.train.batch
        shares = np.array([share for share, _ in self._pools])
        edges = np.rint(np.cumsum(shares) / shares.sum() * n).astype(np.int64)
        drawn = []
        for (_, by_genre), count in zip(self._pools, np.diff(edges, prepend=0), strict=True):
            # every genre equally often within the batch, the remainder at random
            which = np.concatenate(
                [rng.permutation(len(by_genre)) for _ in range(count // len(by_genre) + 1)]
            )
            drawn += [rng.choice(by_genre[g]) for g in which[:count]]
        return rng.permutation(np.array(drawn, dtype=np.int64))

    def batch(self, step: int) -> tuple[NDArray[np.float32], dict[str, Any], dict[str, Any]]:
        """The batch of a step."""
        rng = np.random.default_rng([self._seed, step])
        config, clips = self._recipe.augment, self._clips
        frames = self._recipe.network.frames
        rows = self._draw(rng)
        n = len(rows)
        stretch = rng.uniform(-config.stretch, config.stretch, n)
        span = frames * (1 + stretch)
        starts = rng.uniform(0, clips.mel.shape[1] - span)
        x = crops(clips.mel, rows, starts, stretch, frames)
        if config.shift_bins:
            x = shift_pitch(x, rng.uniform(-config.shift_bins, config.shift_bins, n))
        if config.mixstyle:
            x = mix_styles(x, config.mixstyle, rng)
        x = distort(x, self._band_mean[rows], self._loudness[rows], config, rng)
        wanted = {"logits": self._targets[rows]}
        weights = {"logits": np.where(clips.genre[rows] == NO_GENRE, self._recipe.train.none_weight, 1.0)}
        for name, teacher in self._teachers.items():
            steps = teacher.values.shape[1]
            centres = (np.arange(steps) + 0.5) * clips.mel.shape[1] / steps
            near = np.abs(centres - (starts + span / 2)[:, None]) <= _TEACHER_REACH
            said = np.einsum("ns,nsd->nd", near / near.sum(axis=1, keepdims=True), teacher.values[rows])
            wanted[name] = said.astype(np.float32)
            weights[name] = teacher.known[rows].astype(np.float64)
        # mixing: the partner's targets and weights are mixed in the same proportion
        weight = mixing_weights(n, config, rng)
        partner = rng.permutation(n)
        x = weight[:, None, None] * x + (1 - weight)[:, None, None] * x[partner]
        for name, target in wanted.items():
            wanted[name] = weight[:, None] * target + (1 - weight)[:, None] * target[partner]
            both = np.minimum(weights[name], weights[name][partner])
            weights[name] = np.where(weight < 1, both, weights[name]).astype(np.float32)
        mask(x, config, rng)
        if self._ensemble:
            # One network a step, in turn: over many steps that is their mean, at the price of one.
            said = softmax(self._ensemble[step % len(self._ensemble)].predict_on_batch(x)["logits"])
            share = self._recipe.train.distil_weight
            wanted["logits"] = ((1 - share) * wanted["logits"] + share * said).astype(np.float32)
        return x, wanted, weights
