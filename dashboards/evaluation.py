"""What was measured of a model: the figures that training exports beside the card, as data frames.

A figure that is missing or of another shape is left out: a model without an evaluation is still a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from tagger.card import ModelCard

DETAILS_FILE = "metrics.json"
_MAX_BYTES = 16 * 2**20

NOTHING_SAID: Mapping[str, Any] = MappingProxyType({})
"""Of a model's training."""

_PARTS = {"held_out": "held out", "elsewhere": "other collections"}


@dataclass(frozen=True, slots=True)
class Measured:
    """The evaluation of a model on one set of labelled tracks."""

    part: str
    """``held out`` (of the collections it learnt from, other artists) or ``other collections``."""
    name: str
    """Of the collection."""
    figures: Mapping[str, Any]
    times: int = 1
    """How many networks heard each of its tracks; the figures count every time."""

    @property
    def n_tracks(self) -> int:
        """How many tracks it has."""
        return int(self.figures["n_tracks"]) // self.times

    @property
    def title(self) -> str:
        """For a list to choose from."""
        return f"{self.part}: {self.name} ({self.n_tracks} tracks{_by_each(self.times)})"


def read_details(directory: Path, card: ModelCard) -> Mapping[str, Any]:
    """The exported evaluation, or the card's own figures where there is none that can be read."""
    path = directory / DETAILS_FILE
    try:
        if path.stat().st_size <= _MAX_BYTES:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
    except (OSError, ValueError, RecursionError):
        pass
    return card.metrics


def _times(name: str, n_tracks: Any, training: Mapping[str, Any]) -> int:
    """How often each track of a set is counted: once where networks were cross-validated over its collection,
    each hearing its own part; else by every network.

    Parameters
    ----------
    training : mapping
        What the model's card says of it.
    """
    n, within = training.get("figures_are_of_n_networks", 1), training.get("sources", ())
    if not isinstance(n, int) or n < 2 or name in within:
        return 1
    return n if isinstance(n_tracks, int) and n_tracks % n == 0 else 1


def _by_each(times: int) -> str:
    return "" if times == 1 else f", each heard by {times} networks"


def measured(details: Mapping[str, Any], training: Mapping[str, Any] = NOTHING_SAID) -> list[Measured]:
    """The sets of tracks a model was measured on. `training` as its card has it."""
    return list(_measured(details, training))


def _measured(details: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[Measured]:
    for key, part in _PARTS.items():
        sets = details.get(key)
        if not isinstance(sets, dict):
            continue
        for name, figures in sets.items():
            if (
                isinstance(figures, dict)
                and isinstance(figures.get("n_tracks"), int)
                and figures.get("accuracy") is not None
            ):
                times = 1 if key == "held_out" else _times(name, figures["n_tracks"], training)
                yield Measured(part, str(name), figures, times)


def accuracies(sets: list[Measured]) -> pd.DataFrame:
    """Accuracy with its 95 % interval by set: part, name, n_tracks, accuracy, low, high, ece, macro_f1."""
    rows = []
    for one in sets:
        low, high = one.figures.get("accuracy_95", (None, None))
        if one.times > 1 and low is not None:
            # It took what several networks say of one track for so many tracks. At the worst they always
            # agree, and it is as wide as so few tracks make it.
            right, wider = one.figures["accuracy"], one.times**0.5
            low, high = max(right - wider * (right - low), 0.0), min(right + wider * (high - right), 1.0)
        rows.append(
            {
                "set": f"{one.name} ({one.n_tracks})",
                "part": one.part,
                "n_tracks": one.n_tracks,
                "accuracy": one.figures["accuracy"],
                "low": low,
                "high": high,
                "macro_f1": one.figures.get("macro_f1"),
                "ece": one.figures.get("ece"),
            }
        )
    return pd.DataFrame(rows)


def confusion(figures: Mapping[str, Any]) -> pd.DataFrame | None:
    """Tracks by reference and estimate: reference, estimate, n, share of the reference; or None."""
    table = figures.get("confusion")
    if not isinstance(table, dict):
        return None
    genres, matrix = table["genres"], table["rows_are_reference"]
    rows = [
        {"reference": genres[i], "estimate": genres[j], "n": n, "share": n / max(sum(line), 1)}
        for i, line in enumerate(matrix)
        if sum(line)
        for j, n in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=["reference", "estimate", "n", "share"])


def per_genre(figures: Mapping[str, Any]) -> pd.DataFrame | None:
    """Precision, recall and F1 by genre: genre, n_tracks, precision, recall, f1; None where not measured."""
    table = figures.get("per_genre")
    if not isinstance(table, dict) or not table:
        return None
    rows = [{"genre": genre, **scores} for genre, scores in table.items()]
    frame = pd.DataFrame(rows, columns=["genre", "n_tracks", "precision", "recall", "f1"])
    for name in ("precision", "recall", "f1"):
        frame[name] = frame[name].astype("Float64")
    return frame


def reliability(figures: Mapping[str, Any]) -> pd.DataFrame | None:
    """Confidence against accuracy, bin by bin: confidence, accuracy, n_tracks; None where not measured."""
    return _listed(figures.get("reliability"), ["confidence", "accuracy", "n_tracks"])


def risk_coverage(figures: Mapping[str, Any]) -> pd.DataFrame | None:
    """Share of tracks named against how many of these are right: threshold, coverage, precision; or None."""
    return _listed(figures.get("risk_coverage"), ["threshold", "coverage", "precision"])


def strangers(details: Mapping[str, Any], training: Mapping[str, Any] = NOTHING_SAID) -> pd.DataFrame | None:
    """Music of none of the genres and how much of it was named all the same: music, n_tracks, share_named.

    Genres of its own, too, as far as networks were trained without each of them. `training` as the model's
    card has it.
    """
    rows = []
    table = details.get("none_of_these")
    for name, row in table.items() if isinstance(table, dict) else ():
        n = row.get("n_tracks")
        times = _times(name, n, training)
        rows.append({**row, "music": f"{name}{_by_each(times)}", "n_tracks": n // times if times > 1 else n})
    left_out = details.get("left_out")
    genres = left_out.get("genres") if isinstance(left_out, dict) else None
    if isinstance(genres, dict):
        rows += [{"music": f"{name}, where never learnt", **row["strangers"]} for name, row in genres.items()]
    return _listed(rows, ["music", "n_tracks", "share_named"])


def learning_curve(details: Mapping[str, Any]) -> pd.DataFrame | None:
    """How training went: step, loss (of the genres), accuracy on held-out tracks (None between two looks)."""
    rows = details.get("curve")
    if not isinstance(rows, list) or not rows:
        return None
    frame = pd.DataFrame(rows).reindex(columns=["step", "logits_loss", "valid_accuracy"])
    frame.columns = pd.Index(["step", "loss", "accuracy"])
    return frame if frame["loss"].notna().any() else None


def splits(details: Mapping[str, Any]) -> pd.DataFrame | None:
    """One recipe under an honest and a leaky split: split, accuracy (of chunks); None if not measured."""
    found = details.get("leaky")
    if not isinstance(found, dict) or not {"chunk_accuracy", "honest_chunk_accuracy"} <= set(found):
        return None
    return pd.DataFrame(
        {
            "split": ["artists kept apart", "chunks at random (leaky)"],
            "accuracy": [found["honest_chunk_accuracy"], found["chunk_accuracy"]],
        }
    )


def seeds(details: Mapping[str, Any]) -> str:
    """The spread over seeds in words; empty where there was but one."""
    found = details.get("seeds")
    if not isinstance(found, dict) or not {"accuracy", "mean", "deviation"} <= set(found):
        return ""
    n = len(found["accuracy"])
    of = f" of {found['n_tracks']} tracks" if found.get("apart") else ""
    said = (
        f"{found['mean']:.1%} ± {found['deviation']:.1%}{of} over {n} trainings that differ by chance alone"
    )
    return f"{said}, apart from those that the other figures are of" if of else said


def _listed(rows: object, columns: list[str]) -> pd.DataFrame | None:
    if not isinstance(rows, list) or not rows:
        return None
    frame = pd.DataFrame(rows)
    return frame[columns] if set(columns) <= set(frame.columns) else None
