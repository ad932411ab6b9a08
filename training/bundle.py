"""From a run and a report to a bundle and its page in Markdown."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tagger.card import ModelCard
from tagger.features import FeatureConfig
from tagger.model import GenreModel, load_model
from training.dataset import DatasetError
from training.export import Precision, parity, save_network, to_litert, write_bundle
from training.folds import LEAKY_FILE
from training.recipe import Recipe
from training.runs import REPORT_FILE, RUN_FILE, load_network
from training.train import CURVE_FILE

CHUNKS_OF_4_MINUTES = 104
"""Eight segments of 30 s, 13 chunks each."""

PRECISIONS: Mapping[Precision, str] = {
    "float32": "single precision",
    "float16": "half precision",
    "dynamic": "8 bits",
}

LICENCE = (
    "GPL-3.0-or-later. Trained weights only; none of the music is contained. Learnt from GTZAN (research "
    "use; the recordings belong to their owners) with outputs of MSD-musicnn (ISC) as a teacher"
)
LICENCE_MAGNATUNE = (
    ", and from Magnatune recordings of the Emotify study (CC BY-NC-SA, the artists) with outputs of YAMNet "
    "(Apache-2.0) as a teacher"
)


def milliseconds_per_chunk(model: GenreModel) -> float:
    """Time of one thread for a chunk of a 4-minute track, in ms of processor time."""
    features = model.card.features
    x = np.zeros((13, features.chunk_frames, features.n_mels), dtype=np.float32)
    model.predict(x)
    start = time.process_time()
    for _ in range(CHUNKS_OF_4_MINUTES // 13):
        model.predict(x)
    return (time.process_time() - start) / CHUNKS_OF_4_MINUTES * 1000


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report's figures that go onto the card: without matrices and curves."""
    bulky = {"confusion", "reliability", "risk_coverage"}
    figures: dict[str, Any] = {
        part: {name: {k: v for k, v in m.items() if k not in bulky} for name, m in report[part].items()}
        for part in ("held_out", "elsewhere", "none_of_these")
    }
    return figures | {name: report[name] for name in ("seeds", "leaky") if name in report}


def evidence(report_folder: Path, seeds: Sequence[Path], leaky: Path | None) -> dict[str, Any]:
    """The report of a run with all that speaks for or against its figures.

    Parameters
    ----------
    report_folder : Path
        The run that was measured; its learning curve becomes ``curve``.
    seeds : sequence of Path
        Measured runs of the same recipe with other seeds: ``seeds`` gives the accuracy of all of them.
    leaky : Path or None
        Folder of a cross-validation with the leaky split of chunks: ``leaky``, beside the honest one.

    Raises
    ------
    DatasetError
        One of the folders lacks its report.
    """
    report = _read(report_folder / REPORT_FILE)
    curve = report_folder / CURVE_FILE
    if curve.exists():
        report["curve"] = json.loads(curve.read_text(encoding="utf-8"))
    if seeds:
        accuracy = [
            _read(folder / REPORT_FILE)["held_out"]["all"]["accuracy"] for folder in (report_folder, *seeds)
        ]
        report["seeds"] = {
            "accuracy": accuracy,
            "mean": round(float(np.mean(accuracy)), 4),
            "deviation": round(float(np.std(accuracy, ddof=1)), 4),
        }
    if leaky is not None:
        honest = report["held_out"]["all"]["chunk_accuracy"]
        report["leaky"] = _read(leaky / LEAKY_FILE) | {"honest_chunk_accuracy": honest}
    return report


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: measure that run first") from None


def export_run(
    recipe: Recipe,
    folder: Path,
    report: Mapping[str, Any],
    measured: Mapping[str, Any],
    directory: Path,
    *,
    precision: Precision,
    margin: float = 0.0,
) -> tuple[ModelCard, float]:
    """Write the bundle of a run.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        The run whose network is shipped.
    report : mapping
        Of `evidence`: calibration and figures, of the same run, or of the one that held tracks out where the
        shipped network learnt from everything.
    measured : mapping
        What the measured run came from: its `RUN_FILE`.
    directory : Path
    precision : {"float32", "float16", "dynamic"}
    margin : float

    Returns
    -------
    card : ModelCard
    difference : float
        Largest difference of an output between Keras and LiteRT, over random chunks.
    """
    network = load_network(folder)
    run = _read(folder / RUN_FILE)
    weights = to_litert(network, precision)
    kept = save_network(directory, network)
    sources = [d.source for d in recipe.data]

    def write(metrics: Mapping[str, Any]) -> ModelCard:
        return write_bundle(
            directory,
            weights,
            name=recipe.name,
            version=recipe.version,
            genres=recipe.genres,
            features=FeatureConfig(),
            temperature=report["temperature"],
            threshold=report["threshold"],
            margin=margin,
            metrics=metrics,
            training={
                "sources": sources,
                "n_clips": run["n_clips"],
                "held_out_learnt_as_well": run["everything"],
                "figures_are_of_a_run_on_n_clips": measured["n_clips"],
                "figures_are_of_n_networks": measured.get("n_folds", 1),
                "distilled_from": run["distilled_from"],
                "calibration_fitted_to": report["fitted_to"],
                "seed": run["seed"],
                "n_parameters": int(network.count_params()),
                "precision": precision,
                "recipe": run["recipe"],
                "network": kept,
            },
            licence=LICENCE + (LICENCE_MAGNATUNE if "magnatune" in sources else ""),
            details=report,
        )

    write(headline(report))
    model = load_model(directory)
    features = FeatureConfig()
    chunks = np.random.default_rng(0).standard_normal(
        (8, features.chunk_frames, features.n_mels), dtype=np.float32
    )
    difference = parity(network, model, chunks)
    speed = {
        "ms_per_chunk": round(milliseconds_per_chunk(model), 3),
        "largest_difference_from_keras": float(f"{difference:.2g}"),
    }
    return write(headline(report) | {"speed_one_thread": speed}), difference


def page(card: ModelCard, report: Mapping[str, Any]) -> str:
    """The model card as a page in Markdown."""
    ms = card.metrics["speed_one_thread"]["ms_per_chunk"]
    lines = [
        f"# Model {card.model_id}",
        "",
        f"Genres: {', '.join(card.genres)}.",
        f"{card.training['n_parameters']} parameters, {card.weights.size_bytes / 1e6:.2f} MB "
        f"({PRECISIONS[card.training['precision']]}), {ms} ms per 4-second chunk on one thread.",
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
    if taught := card.training["distilled_from"]:
        lines.append(
            f"Beside the labels, the shipped network was taught by the {taught} others; the calibration is "
            "theirs (where a network so taught could be measured, its best temperature was as its teachers')."
        )
    lines += [
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
            right = "–" if m["precision_when_given"] is None else f"{m['precision_when_given']:.2f}"
            lines.append(
                f"| {part.replace('_', ' ')}: {name} | {m['n_tracks']} | {m['accuracy']:.3f} "
                f"[{low:.3f}, {high:.3f}] | {m['chunk_accuracy']:.3f} | {m['macro_f1']:.3f} | "
                f"{m['ece']:.3f} | {m['coverage']:.2f} | {right} |"
            )
    for name, m in report["none_of_these"].items():
        lines.append(
            f"| music of none of these genres: {name} | {m['n_tracks']} | | | | | {m['share_named']:.2f} | |"
        )
    if "seeds" in report:
        s = report["seeds"]
        lines += ["", f"Accuracy of {len(s['accuracy'])} seeds: {s['mean']:.3f} ± {s['deviation']:.3f}."]
    if "leaky" in report:
        leaky = report["leaky"]
        lines += [
            "",
            f"Of single chunks it names {leaky['honest_chunk_accuracy']:.2f} rightly when artists are kept "
            f"apart. Had the chunks been split at random, as is often done, it would seem to be "
            f"{leaky['chunk_accuracy']:.2f}: then nearly every chunk has a neighbour of the same track, half "
            "of its very sound, among those learnt from. That figure says nothing about new music.",
        ]
    if curve := report.get("trade_off"):
        kinds = list(report["none_of_these"])
        lines += [
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
    everything = report["held_out"]["all"]
    lines += ["", "| genre | tracks | recall | precision | most often taken for |", "|---|---|---|---|---|"]
    names = everything["confusion"]["genres"]
    for name, m in everything["per_genre"].items():
        row = list(everything["confusion"]["rows_are_reference"][names.index(name)])
        row[names.index(name)] = 0
        worst = f"{names[int(np.argmax(row))]} ({max(row)})" if max(row) else "–"
        precision = "–" if m["precision"] is None else f"{m['precision']:.2f}"
        lines.append(f"| {name} | {m['n_tracks']} | {m['recall']:.2f} | {precision} | {worst} |")
    return "\n".join([*lines, "", f"Licence: {card.licence}.", ""])
