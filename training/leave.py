"""Leaving something out of the training on purpose: each genre in turn, then each collection.

A genre left out stands for all the music of genres a model does not know: how much of it gets one all the
same? A collection left out stands for the one of a new user.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import NO_GENRE, Clips, DatasetError
from training.recipe import Recipe, held_out, load_clips, load_teachers
from training.runs import Say, hear, hear_extra, is_trained, load_network, origin_of, save_run, write_report
from training.train import train

SUMMARY_FILE = "left_out.json"
KEPT = ("n_tracks", "accuracy", "accuracy_95", "accuracy_pop_rock_half", "coverage", "precision_when_given")


def without_genre(recipe: Recipe, genre: str) -> Recipe:
    """A recipe for the other genres."""
    data = tuple(
        dataclasses.replace(
            d,
            soften={
                of: {to: share for to, share in shares.items() if to != genre}
                for of, shares in d.soften.items()
                if of != genre
            },
        )
        for d in recipe.data
    )
    return dataclasses.replace(recipe, genres=tuple(g for g in recipe.genres if g != genre), data=data)


def without_source(recipe: Recipe, source: str) -> Recipe:
    """A recipe that holds the whole of a collection out."""
    data = tuple(dataclasses.replace(d, hold_out="all") if d.source == source else d for d in recipe.data)
    return dataclasses.replace(recipe, data=data)


def leave_out(
    recipe: Recipe,
    data_dir: Path,
    folder: Path,
    *,
    what: str,
    seed: int,
    only: Collection[str] = (),
    extra: Mapping[str, Path],
    say: Say,
) -> dict[str, Any]:
    """Train once without each and measure what is made of it; a run that is there is not trained again.

    Parameters
    ----------
    recipe : Recipe
    data_dir, folder : Path
        The runs are ``folder/without-NAME``; the summary is written beside them.
    what : str
        ``genres`` or ``collections`` (those with genres of the recipe).
    seed : int
    only : collection of str
        Names of those to leave out; empty for all.
    extra : mapping of str to Path
        Further array files to be measured.
    say : callable

    Returns
    -------
    dict
        By name: ``others``, figures of the tracks that the recipe holds out anyway (they give temperature
        and threshold), ``itself``, those of what was left out as far as its genres were learnt elsewhere,
        and ``strangers``, the share of the rest that was given a genre all the same; None where there is
        nothing of the kind.

    Raises
    ------
    DatasetError
        `only` names what is not there, or the rest has nothing to learn from or to measure.
    """
    clips = load_clips(recipe, data_dir)
    cases = {case.name: case for case in _cases(recipe, clips, what)}
    if unknown := sorted(set(only) - set(cases)):
        raise DatasetError(f"the recipe has no {', '.join(unknown)} to leave out; it has {', '.join(cases)}")
    labelled = clips.genre != NO_GENRE
    for case in cases.values():
        if not (case.learnt & labelled).any() or not (case.measured & labelled).any():
            raise DatasetError(f"without {case.name} there is nothing left to learn from or to measure")
    found: dict[str, Any] = {}
    for name, case in cases.items():
        if only and name not in only:
            continue
        run = folder / f"without-{name}"
        say(f"without {name}: {case.learnt.sum()} clips to learn from")
        clips = load_clips(case.recipe, data_dir)
        origin = origin_of(case.recipe, clips, case.learnt, seed=seed)
        if not is_trained(run, origin):
            teachers = load_teachers(case.recipe, data_dir, clips)
            done = train(
                clips.take(case.learnt),
                {n: t.take(case.learnt) for n, t in teachers.items() if t.known[case.learnt].any()},
                case.recipe,
                seed=seed,
                folder=run,
                say=say,
            )
            save_run(run, done.network, origin)
        network = load_network(run)
        relabelled = np.where(case.strange, NO_GENRE, clips.genre)
        left = hear(network, dataclasses.replace(clips, genre=relabelled).take(case.left))
        others = {name: left} | hear_extra(network, case.recipe, extra)
        report = write_report(case.recipe, run, hear(network, clips.take(case.measured)), others, say=say)
        held, elsewhere = report["held_out"]["all"], report["elsewhere"].get(name)
        found[name] = {
            "others": {key: held[key] for key in KEPT},
            "itself": None if elsewhere is None else {key: elsewhere[key] for key in KEPT},
            "strangers": report["none_of_these"].get(name),
        }
    summary = folder / SUMMARY_FILE
    if only and summary.exists():  # beside what was found before
        found = json.loads(summary.read_text(encoding="utf-8"))["found"] | found
    of = f"{recipe.name}@{recipe.version}"
    summary.write_text(json.dumps({"what": what, "of": of, "found": found}, indent=1), encoding="utf-8")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What is left out, the recipe without it, and masks over its clips, (n,)."""

    name: str
    recipe: Recipe
    learnt: NDArray[np.bool_]
    measured: NDArray[np.bool_]
    """Held out as the recipe has it: they give calibration and threshold."""
    left: NDArray[np.bool_]
    strange: NDArray[np.bool_]
    """Those of `left` whose genre was not learnt."""


def _cases(recipe: Recipe, clips: Clips, what: str) -> Iterator[_Case]:
    labelled = clips.genre != NO_GENRE
    kept = held_out(recipe, clips)
    if what == "genres":
        for i, genre in enumerate(recipe.genres):
            left = clips.genre == i
            yield _Case(genre, without_genre(recipe, genre), ~kept & ~left, kept & ~left, left, left)
    else:
        for source in np.unique(clips.source[labelled]).tolist():
            left = clips.source == source
            learnt = ~kept & ~left
            strange = left & ~np.isin(clips.genre, clips.genre[learnt & labelled])
            yield _Case(source, without_source(recipe, source), learnt, kept & ~left, left, strange)
