"""Cross-validation over artists; and, to compare, the leaky split of chunks that flatters by 20 points."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.dataset import NO_GENRE, Clips, DatasetError, Teacher, artist_folds
from training.evaluate import HeardTracks, joined
from training.recipe import Recipe, load_clips, load_teachers
from training.runs import (
    NETWORK_FILE,
    RUN_FILE,
    Say,
    hear,
    hear_extra,
    is_trained,
    load_network,
    names_digest,
    origin_of,
    save_run,
    write_report,
)
from training.train import CURVE_FILE, clip_chunks, train

LEAKY_FILE = "leaky.json"
EVERY_FOLD = -1
"""The fold of clips that every network learns from."""


def as_chunks(clips: Clips) -> tuple[Clips, NDArray[np.int64]]:
    """Every chunk as a clip of its own with a name of its own; and the row each came from, (n,)."""
    cut = clip_chunks(clips.mel)
    n_chunks = cut.shape[1]
    rows = np.repeat(np.arange(len(clips)), n_chunks)
    some = clips.take(rows)
    names = np.array([f"{t}#{i % n_chunks}" for i, t in enumerate(some.track)])
    return dataclasses.replace(some, mel=cut.reshape(-1, *cut.shape[2:]), track=names, artist=names), rows


def random_folds(n: int, n_folds: int, seed: int) -> NDArray[np.int64]:
    """Folds of equal size at random, blind to track and artist: the leak."""
    return np.random.default_rng(seed).permutation(n) % n_folds


def crossvalidate(
    recipe: Recipe,
    data_dir: Path,
    folder: Path,
    *,
    n_folds: int,
    seed: int,
    leaky: bool,
    init: Path | None = None,
    extra: Mapping[str, Path] | None = None,
    say: Say,
) -> dict[str, Any]:
    """Train once per fold and report on all tracks, each heard by the network that did not learn from it.

    Sources that hold nothing out are learnt from in every fold and not measured. The networks start from
    those of an earlier cross-validation in `init`, of the same folds, where that is given.

    The network of each fold is a run of its own, ``folder/foldN``; one that is there already is not trained
    again. The tracks of the array files `extra` are heard by all of them.

    With `leaky` the single chunks are split at random instead, so that nearly every held-out chunk has a
    neighbour that shares half of its sound among those learnt from. That figure says nothing about new music.
    """
    if leaky and init is not None:
        raise DatasetError("the leaky split starts from random weights: leave --init out")
    clips = load_clips(recipe, data_dir)
    teachers = load_teachers(recipe, data_dir, clips)
    if leaky:
        clips, rows = as_chunks(clips)
        teachers = {name: _at_chunks(teacher, rows) for name, teacher in teachers.items()}
        fold = random_folds(len(clips), n_folds, seed)
        recipe = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, stretch=0.0))
    else:
        fold = source_folds(recipe, clips, n_folds, seed)
    parts: list[HeardTracks] = []
    elsewhere: dict[str, list[HeardTracks]] = {}
    for k in range(n_folds):
        learnt, held_out = fold != k, clips.take(fold == k)
        run = folder / f"fold{k}"
        begin = None if init is None else fold_to_begin_from(init, k, recipe, held_out)
        origin = origin_of(recipe, clips, learnt, seed=seed + k, init=begin)
        say(f"fold {k + 1} of {n_folds}: {learnt.sum()} clips to learn from, {len(held_out)} held out")
        if not is_trained(run, origin):
            done = train(
                clips.take(learnt),
                {name: teacher.take(learnt) for name, teacher in teachers.items()},
                recipe,
                seed=seed + k,
                folder=run,
                init=None if begin is None else keras.models.load_model(begin),
                say=say,
            )
            save_run(run, done.network, origin)
        network = load_network(run)
        parts.append(hear(network, held_out))
        for name, heard in hear_extra(network, recipe, extra or {}).items():
            elsewhere.setdefault(name, []).append(heard)
    heard = joined(parts)
    if leaky:
        labelled = heard.take(heard.genre != NO_GENRE)
        said = np.array([c.mean(axis=0).argmax() for c in labelled.chunks])
        accuracy = float((said == labelled.genre).mean())
        say(
            f"LEAKY random split of chunks: {accuracy:.3f} of {len(said)} chunks. Not a figure for new music."
        )
        found = {"chunk_accuracy": round(accuracy, 4), "n_chunks": len(said), "n_folds": n_folds}
        (folder / LEAKY_FILE).write_text(json.dumps(found, indent=1), encoding="utf-8")
        return found
    n_learnt = np.mean([(fold != k).sum() for k in range(n_folds)])
    write_summary(folder, recipe, seed=seed, n_folds=n_folds, n_clips=round(float(n_learnt)))
    return write_report(
        recipe,
        folder,
        heard,
        {name: joined(several) for name, several in elsewhere.items()},
        say=say,
        how=f"tracks, each heard by the one of {n_folds} networks that had learnt nothing of its artist",
    )


def source_folds(recipe: Recipe, clips: Clips, n_folds: int, seed: int) -> NDArray[np.int64]:
    """Artist-wise fold of each clip, (n,); `EVERY_FOLD` where its source holds nothing out.

    Sources that hold nothing out do not move the folds of the others.
    """
    always = [d.source for d in recipe.data if d.hold_out == "none"]
    folded = ~np.isin(clips.source, always)
    some = clips.take(folded)
    kind = np.array([f"{s}/{g}" for s, g in zip(some.source, some.genre, strict=True)])
    fold = np.full(len(clips), EVERY_FOLD)
    fold[folded] = artist_folds(some.artist, kind, n_folds, seed)
    return fold


def fold_to_begin_from(earlier: Path, k: int, recipe: Recipe, held_out: Clips) -> Path:
    """The network of a fold of an earlier cross-validation, which must have been kept from the same clips.

    Raises
    ------
    DatasetError
        It is not finished, is another kind of network, or may have heard what is to be held out.
    """
    run = earlier / f"fold{k}"
    if not (run / NETWORK_FILE).exists():
        raise DatasetError(f"{run} holds no trained network: finish that cross-validation first")
    about = json.loads((run / RUN_FILE).read_text(encoding="utf-8"))
    now = json.loads(json.dumps(recipe.to_dict()))
    if any(about["recipe"][name] != now[name] for name in ("genres", "network")):
        raise DatasetError(f"{run} holds a network of other genres or another size than the recipe's")
    if about.get("kept_from_it") != names_digest(held_out):
        raise DatasetError(
            f"the networks in {earlier} are of other folds: they may have heard what is held out here"
        )
    return run / NETWORK_FILE


def write_summary(folder: Path, recipe: Recipe, *, seed: int, n_folds: int, n_clips: int) -> None:
    """What the folds have in common: recipe, how much each learnt from on average, mean of their curves."""
    about = {
        "recipe": recipe.to_dict(),
        "seed": seed,
        "n_folds": n_folds,
        "n_clips": n_clips,
    }
    (folder / RUN_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")
    curves = [json.loads((folder / f"fold{k}" / CURVE_FILE).read_text("utf-8")) for k in range(n_folds)]
    mean = [
        {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for rows in zip(*curves, strict=True)
    ]
    (folder / CURVE_FILE).write_text(json.dumps(mean, indent=1), encoding="utf-8")


def _at_chunks(teacher: Teacher, rows: NDArray[np.int64]) -> Teacher:
    """A clip's teacher series, averaged, for each of its chunks."""
    return Teacher(teacher.values.mean(axis=1, keepdims=True)[rows], teacher.known[rows])
