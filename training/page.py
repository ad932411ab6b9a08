"""The card of a shipped model as a page in Markdown, from the figures it was exported with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tagger.card import ModelCard
from training.bundle import CHUNKS_OF_4_MINUTES
from training.export import Precision

PRECISIONS: Mapping[Precision, str] = {
    "float32": "single precision",
    "float16": "half precision",
    "dynamic": "8 bits",
}


def page(card: ModelCard, report: Mapping[str, Any]) -> str:
    """The page.

    Parameters
    ----------
    card : ModelCard
    report : mapping
        Of `training.bundle.evidence`.
    """
    parts = (
        _origin(card),
        _accuracy(card, report),
        _trade_off(report),
        _left_out(report, card.model_id),
        _genres(report),
    )
    lines = [line for part in parts for line in part]
    return "\n".join([*lines, "", f"Licence: {card.licence}.", ""])


def _origin(card: ModelCard) -> list[str]:
    """What it is and what it learnt from."""
    ms = card.metrics["speed_one_thread"]["ms_per_chunk"]
    lines = [
        f"# Model {card.model_id}",
        "",
        f"Genres: {', '.join(card.genres)}.",
        f"{card.training['n_parameters']} parameters, {card.weights.size_bytes / 1e6:.2f} MB "
        f"({PRECISIONS[card.training['precision']]}); on one thread {ms} ms for a chunk of 4 seconds, "
        f"{ms * CHUNKS_OF_4_MINUTES:.0f} ms for a track of 4 minutes.",
        "",
        f"Learnt from {card.training['n_clips']} clips of up to 30 s: {', '.join(card.training['sources'])}.",
    ]
    if card.training["held_out_learnt_as_well"]:
        n, several = (card.training[f"figures_are_of_{what}"] for what in ("a_run_on_n_clips", "n_networks"))
        who = (
            f"those of the same recipe trained on {n} clips, measured on the tracks it did not learn from"
            if several == 1
            else f"those of {several} networks of the same recipe trained on some {n} clips each, every "
            "track measured by the one that had learnt nothing of its artist (those elsewhere, and of none "
            "of these genres in other files, by all of them)"
        )
        lines.append(
            f"The figures below are {who}; the shipped weights learnt from all tracks held out, too."
        )
    if card.training["begun_from"]:
        lines.append(
            "The weights are an earlier network's, trained on; the recipe's steps are the last ones."
        )
    if taught := card.training["distilled_from"]:
        lines.append(
            f"Beside the labels, the shipped network was taught by the {taught} others; the calibration is "
            "theirs (where a network so taught could be measured, its best temperature was as its teachers')."
        )
    return lines


def _accuracy(card: ModelCard, report: Mapping[str, Any]) -> list[str]:
    """The figures by collection, and beside them what speaks for or against them."""
    lines = [
        "",
        f"Confidences are calibrated (temperature {card.calibration.temperature}). A genre is given from "
        f"{card.decision.threshold:.2f} on: {card.training['calibration_fitted_to']}.",
        "",
        "| measured on | tracks | accuracy [95 %] | chunks | macro-F1 | ECE | genre given | those right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in ("held_out", "elsewhere"):
        for name, m in report[part].items():
            low, high = m["accuracy_95"]
            right = _or_dash(m["precision_when_given"])
            lines.append(
                f"| {part.replace('_', ' ')}: {name} | {m['n_tracks']} | {m['accuracy']:.3f} "
                f"[{low:.3f}, {high:.3f}] | {m['chunk_accuracy']:.3f} | {m['macro_f1']:.3f} | "
                f"{m['ece']:.3f} | {m['coverage']:.2f} | {right} |"
            )
    for name, m in report["none_of_these"].items():
        lines.append(f"| none of these genres: {name} | {m['n_tracks']} | | | | | {m['share_named']:.2f} | |")
    if "seeds" in report:
        lines += ["", _seeds(report["seeds"])]
    if "leaky" in report:
        leaky = report["leaky"]
        lines += [
            "",
            f"Of single chunks it names {leaky['honest_chunk_accuracy']:.2f} rightly when artists are kept "
            f"apart. Had the chunks been split at random, as is often done, it would seem to be "
            f"{leaky['chunk_accuracy']:.2f}: then nearly every chunk has a neighbour of the same track, half "
            "of its very sound, among those learnt from. That figure says nothing about new music.",
        ]
    return lines


def _seeds(found: Mapping[str, Any]) -> str:
    """The spread over seeds, and of which networks it is."""

    def figure(one: Mapping[str, Any]) -> str:
        return f"{one['mean']:.3f} ± {one['deviation']:.3f}"

    n = len(found["accuracy"])
    if not found.get("apart"):
        return f"Accuracy of {n} seeds: {figure(found)}."
    of_each = "".join(
        f"; {name} {figure(one)} of {one['n_tracks']}" for name, one in found["by_source"].items()
    )
    return (
        f"Apart from these, {n} networks that differ by their seed alone learnt from what the recipe does "
        f"not hold out. Accuracy of {n} seeds on the {found['n_tracks']} tracks that it does: {figure(found)}"
        f"{of_each}."
    )


def _trade_off(report: Mapping[str, Any]) -> list[str]:
    """Thresholds against strangers named."""
    curve = report.get("trade_off")
    if not curve:
        return []
    kinds = list(report["none_of_these"])
    lines = [
        "",
        "What a threshold gives (named: the held-out tracks that get a genre; right: those of them) and "
        "costs (music of none of these genres that gets one all the same):",
        "",
        f"| threshold | named | right | {' | '.join(kinds)} |",
        f"|{'---|' * (3 + len(kinds))}",
    ]
    for row in curve:
        cells = [row["coverage"], row["precision"], *(row[kind] for kind in kinds)]
        lines.append(f"| {row['threshold']:.2f} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return lines


def _left_out(report: Mapping[str, Any], model_id: str) -> Iterator[str]:
    """What networks make of a genre or a collection that they know nothing of."""
    left = report.get("left_out", {})
    others = {what: of for what, of in report.get("left_out_of", {}).items() if of != model_id}
    with_recipe = {what: f", by the recipe of {others[what]}" if what in others else "" for what in left}
    if "genres" in left:
        found = left["genres"].values()
        tracks = np.array([one["strangers"]["n_tracks"] for one in found])
        named = np.array([one["strangers"]["share_named"] for one in found])
        yield from (
            "",
            f"Each genre left out of the training in turn{with_recipe['genres']}: {named.mean():.2f} of its "
            f"tracks on average ({(named * tracks).sum() / tracks.sum():.2f} of all {tracks.sum()}) got "
            "one of the others all the same, at the threshold from which on nine in ten of the others' "
            "held-out tracks are right.",
            "",
            "| left out | tracks | named all the same | others named | right of these |",
            "|---|---|---|---|---|",
        )
        for name, one in left["genres"].items():
            others, strangers = one["others"], one["strangers"]
            yield (
                f"| {name} | {strangers['n_tracks']} | {strangers['share_named']:.2f} | "
                f"{others['coverage']:.2f} | {_or_dash(others['precision_when_given'])} |"
            )
    if "collections" in left:
        yield from (
            "",
            f"Each collection left out{with_recipe['collections']}, as that of a new user would be: accuracy "
            "of its tracks of genres learnt elsewhere, how many get a genre under the calibration of the "
            "rest, and how many of other genres do.",
            "",
            "| left out | tracks | accuracy [95 %] | pop/rock at half | named | right of these | of other "
            "genres | named all the same |",
            "|---|---|---|---|---|---|---|---|",
        )
        for name, one in left["collections"].items():
            itself, strangers = one["itself"], one["strangers"] or {"n_tracks": 0, "share_named": None}
            if itself is None:
                share = _or_dash(strangers["share_named"])
                yield f"| {name} | 0 | – | – | – | – | {strangers['n_tracks']} | {share} |"
                continue
            low, high = itself["accuracy_95"]
            yield (
                f"| {name} | {itself['n_tracks']} | {itself['accuracy']:.3f} [{low:.3f}, {high:.3f}] | "
                f"{itself['accuracy_pop_rock_half']:.3f} | {itself['coverage']:.2f} | "
                f"{_or_dash(itself['precision_when_given'])} | {strangers['n_tracks']} | "
                f"{_or_dash(strangers['share_named'])} |"
            )


def _genres(report: Mapping[str, Any]) -> list[str]:
    """Genre by genre."""
    everything = report["held_out"]["all"]
    lines = ["", "| genre | tracks | recall | precision | most often taken for |", "|---|---|---|---|---|"]
    names = everything["confusion"]["genres"]
    for name, m in everything["per_genre"].items():
        row = list(everything["confusion"]["rows_are_reference"][names.index(name)])
        row[names.index(name)] = 0
        worst = f"{names[int(np.argmax(row))]} ({max(row)})" if max(row) else "–"
        lines.append(
            f"| {name} | {m['n_tracks']} | {m['recall']:.2f} | {_or_dash(m['precision'])} | {worst} |"
        )
    return lines


def _or_dash(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"
