"""Cross-validation over artists; and, to compare, the leaky split of chunks that flatters by 20 points."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import NO_GENRE, Clips, Teacher, artist_folds
from training.evaluate import HeardTracks, joined
from training.recipe import Recipe, load_clips, load_teachers
from training.runs import RUN_FILE, Say, hear, hear_extra, is_trained, load_network, save_run, write_report
from training.train import CURVE_FILE, clip_chunks, train

LEAKY_FILE = "leaky.json"


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
    extra: Mapping[str, Path] | None = None,
    say: Say,
) -> dict[str, Any]:
    """Train once per fold and report on all tracks, each heard by the network that did not learn from it.

    The network of each fold is a run of its own, ``folder/foldN``; one that is there already is not trained
    again. The tracks of the array files `extra` are heard by all of them.

    With `leaky` the single chunks are split at random instead, so that nearly every held-out chunk has a
    neighbour that shares half of its sound among those learnt from. That figure says nothing about new music.
    """
    clips = load_clips(recipe, data_dir)
    teachers = load_teachers(recipe, data_dir, clips)
    if leaky:
        clips, rows = as_chunks(clips)
        teachers = {name: _at_chunks(teacher, rows) for name, teacher in teachers.items()}
        fold = random_folds(len(clips), n_folds, seed)
        recipe = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, stretch=0.0))
    else:
        kind = np.array([f"{s}/{g}" for s, g in zip(clips.source, clips.genre, strict=True)])
        fold = artist_folds(clips.artist, kind, n_folds, seed)
    parts: list[HeardTracks] = []
    elsewhere: dict[str, list[HeardTracks]] = {}
    for k in range(n_folds):
        learnt = fold != k
        run = folder / f"fold{k}"
        say(f"fold {k + 1} of {n_folds}: {learnt.sum()} clips to learn from, {(~learnt).sum()} held out")
        if not is_trained(run, recipe, seed + k):
            done = train(
                clips.take(learnt),
                {name: teacher.take(learnt) for name, teacher in teachers.items()},
                recipe,
                seed=seed + k,
                folder=run,
                say=say,
            )
            n_clips = int(learnt.sum())
            save_run(run, done.network, recipe, seed=seed + k, everything=False, n_clips=n_clips)
        network = load_network(run)
        parts.append(hear(network, clips.take(~learnt)))
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
    write_summary(folder, recipe, seed=seed, n_folds=n_folds, n_clips=len(clips))
    return write_report(
        recipe,
        folder,
        heard,
        {name: joined(several) for name, several in elsewhere.items()},
        say=say,
        how=f"tracks, each heard by the one of {n_folds} networks that had learnt nothing of its artist",
    )


def write_summary(folder: Path, recipe: Recipe, *, seed: int, n_folds: int, n_clips: int) -> None:
    """What the folds have in common: the recipe, how much each learnt from, the mean of their curves."""
    about = {
        "recipe": recipe.to_dict(),
        "seed": seed,
        "n_folds": n_folds,
        "n_clips": round(n_clips * (n_folds - 1) / n_folds),
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
