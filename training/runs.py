"""A run: a folder with one trained network, what it says about held-out tracks, and the report on that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.dataset import NO_GENRE, Clips, DatasetError, clip_keys, read_arrays
from training.evaluate import (
    HeardTracks,
    by_track,
    cross_fitted,
    fit_temperature,
    measure,
    precision_threshold,
    share_named,
    track_probabilities,
    trade_off,
)
from training.recipe import Recipe, held_out, load_clips, load_teachers
from training.train import predict_logits, train

NETWORK_FILE = "model.keras"
REPORT_FILE = "report.json"
RUN_FILE = "run.json"
PRECISION = 0.90
"""The default threshold is the lowest confidence from which on this share of held-out tracks is right."""

Say = Callable[[str], None]


def train_run(
    recipe: Recipe,
    data_dir: Path,
    folder: Path,
    *,
    seed: int,
    everything: bool,
    init: Path | None,
    distil_from: Sequence[Path] = (),
    say: Say,
) -> None:
    """Train into a run folder, resuming what is there.

    With `everything`, the held-out tracks are learnt from as well: their figures then come from another run.
    The networks of the runs `distil_from` teach this one: what they held out must be held out here, too, for
    figures of this run to mean anything.
    """
    clips = load_clips(recipe, data_dir)
    teachers = load_teachers(recipe, data_dir, clips)
    kept = held_out(recipe, clips)
    rows = np.ones(len(clips), dtype=np.bool_) if everything else ~kept
    watched = kept & (clips.genre != NO_GENRE)
    say(f"{rows.sum()} clips of {len(np.unique(clips.track[rows]))} tracks to learn from, {kept.sum()} kept")
    done = train(
        clips.take(rows),
        {name: teacher.take(rows) for name, teacher in teachers.items()},
        recipe,
        seed=seed,
        folder=folder,
        valid=None if everything else clips.take(watched),
        init=None if init is None else keras.models.load_model(init),
        ensemble=[load_network(run) for run in distil_from],
        say=say,
    )
    origin = origin_of(recipe, clips, rows, seed=seed, init=init, everything=everything,
                       n_teaching=len(distil_from))  # fmt: skip
    save_run(folder, done.network, origin)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run's network came from. Two runs of one origin would give one network, but for rounding."""

    recipe: dict[str, Any]
    seed: int
    everything: bool
    """It learnt from the held-out tracks as well."""
    n_clips: int
    kept_from_it: str
    """Digest of the names of the clips that it did not learn from."""
    begun_from: str
    """Digest of the network it started from; empty where that was random weights."""
    distilled_from: int
    """Networks that taught it."""


def origin_of(
    recipe: Recipe, clips: Clips, learnt: NDArray[np.bool_], *, seed: int, init: Path | None = None,
    everything: bool = False, n_teaching: int = 0,
) -> Origin:  # fmt: skip
    """The origin of a network that learns from some of the clips.

    Parameters
    ----------
    recipe : Recipe
    clips : Clips
        All of them.
    learnt : (n_clips,) bool
    seed : int
    init : Path or None
        File of the network to start from.
    everything : bool
    n_teaching : int
    """
    return Origin(
        recipe=json.loads(json.dumps(recipe.to_dict())),
        seed=seed,
        everything=everything,
        n_clips=int(learnt.sum()),
        kept_from_it=names_digest(clips.take(~learnt)),
        begun_from="" if init is None else hashlib.sha256(init.read_bytes()).hexdigest()[:16],
        distilled_from=n_teaching,
    )


def names_digest(clips: Clips) -> str:
    """16 hexadecimal digits that change with any clip more or less."""
    return hashlib.sha256("\n".join(sorted(clip_keys(clips))).encode()).hexdigest()[:16]


def save_run(folder: Path, network: keras.Model, origin: Origin) -> None:
    """Write a run's network and what it came from."""
    (folder / RUN_FILE).write_text(json.dumps(asdict(origin), indent=1), encoding="utf-8")
    network.save(folder / NETWORK_FILE)


def is_trained(folder: Path, origin: Origin) -> bool:
    """Whether a run is finished, and of this origin.

    Raises
    ------
    DatasetError
        It is finished, but of another.
    """
    if not (folder / NETWORK_FILE).exists():
        return False
    about = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    if about != asdict(origin):
        raise DatasetError(
            f"{folder} holds a network of another recipe or seed, other data or another start: "
            "use another folder"
        )
    return True


def load_network(folder: Path) -> keras.Model:
    """The network of a run.

    Raises
    ------
    DatasetError
        The run is not finished.
    """
    path = folder / NETWORK_FILE
    if not path.exists():
        raise DatasetError(f"{folder} holds no trained network: run `python -m training train` into it first")
    return keras.models.load_model(path)


def report_run(
    recipe: Recipe, data_dir: Path, folder: Path, *, extra: Mapping[str, Path], say: Say
) -> dict[str, Any]:
    """Measure a run on what its recipe holds out, and on further array files.

    Parameters
    ----------
    recipe : Recipe
    data_dir, folder : Path
    extra : mapping of str to Path
        Array files by name. Their tracks of no genre the model knows show how often it abstains.
    say : callable

    Returns
    -------
    dict
        Also written to the run's folder.
    """
    network = load_network(folder)
    clips = load_clips(recipe, data_dir)
    heard = hear(network, clips.take(held_out(recipe, clips)))
    return write_report(recipe, folder, heard, hear_extra(network, recipe, extra), say=say)


def hear(network: keras.Model, clips: Clips) -> HeardTracks:
    """What the network says, track by track."""
    return by_track(clips, predict_logits(network, clips))


def hear_extra(network: keras.Model, recipe: Recipe, extra: Mapping[str, Path]) -> dict[str, HeardTracks]:
    """What the network says about the tracks of further array files."""
    return {
        name: hear(network, read_arrays(path, source=name, genres=recipe.genres))
        for name, path in extra.items()
    }


def write_report(
    recipe: Recipe, folder: Path, heard: HeardTracks, extra: Mapping[str, HeardTracks], *, say: Say,
    how: str = "held-out tracks",
) -> dict[str, Any]:  # fmt: skip
    """Calibrate on held-out tracks and put every figure into the run's report.

    The figures of the held-out tracks are cross-fitted: each half of the artists is measured with temperature
    and threshold of the other half. Those of the card are fitted to all of them. `how` they were held out
    goes onto the card.
    """
    labelled = heard.take(heard.genre != NO_GENRE)
    temperature = fit_temperature(labelled)
    p = track_probabilities(labelled, temperature)
    threshold = precision_threshold(p, p.argmax(axis=1) == labelled.genre, PRECISION)
    p, accepted = cross_fitted(labelled, PRECISION)
    report: dict[str, Any] = {
        "temperature": round(temperature, 4),
        "threshold": round(threshold, 4),
        "fitted_to": f"{len(labelled.genre)} {how}; the figures below are cross-fitted by artist",
        "held_out": {"all": measure(labelled, recipe.genres, p, accepted)},
        "none_of_these": {},
        "elsewhere": {},
    }
    sources: Sequence[str] = list(dict.fromkeys(labelled.source.tolist()))
    if len(sources) > 1:
        for source in sources:
            rows = labelled.source == source
            report["held_out"][source] = measure(labelled.take(rows), recipe.genres, p[rows], accepted[rows])
    others = {
        str(s): heard.take((heard.source == s) & (heard.genre == NO_GENRE)) for s in np.unique(heard.source)
    }
    strangers: dict[str, HeardTracks] = {}
    for name, tracks in (others | dict(extra)).items():
        known = tracks.take(tracks.genre != NO_GENRE)
        unknown = tracks.take(tracks.genre == NO_GENRE)
        if len(known.genre):
            q = track_probabilities(known, temperature)
            report["elsewhere"][name] = measure(known, recipe.genres, q, q.max(axis=1) >= threshold)
        if len(unknown.genre):
            report["none_of_these"][name] = {
                "n_tracks": len(unknown.genre),
                "share_named": round(share_named(unknown, temperature=temperature, threshold=threshold), 4),
            }
            strangers[name] = unknown
    report["trade_off"] = trade_off(labelled, p, strangers, temperature)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_text(json.dumps(report, indent=1), encoding="utf-8")
    for line in summary(report):
        say(line)
    return report


def summary(report: Mapping[str, Any]) -> list[str]:
    """The report's main figures, a line each."""
    lines = [f"temperature {report['temperature']}, threshold {report['threshold']}"]
    for part in ("held_out", "elsewhere"):
        for name, m in report[part].items():
            low, high = m["accuracy_95"]
            lines.append(
                f"{part} {name}: accuracy {m['accuracy']:.3f} [{low:.3f}, {high:.3f}] (n {m['n_tracks']}), "
                f"chunks {m['chunk_accuracy']:.3f}, macro-F1 {m['macro_f1']:.3f}, ECE {m['ece']:.3f}, "
                f"coverage {m['coverage']:.2f} at precision {m['precision_when_given']}"
            )
    for name, m in report["none_of_these"].items():
        lines.append(f"none of these {name}: {m['share_named']:.2f} of {m['n_tracks']} tracks get a genre")
    return lines
