"""From a run and a report to a bundle."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tagger.card import ModelCard
from tagger.feature_config import FeatureConfig
from tagger.model import GenreModel, load_model
from training.dataset import DatasetError
from training.export import Precision, parity, save_network, to_litert, write_bundle
from training.folds import LEAKY_FILE
from training.leave import SUMMARY_FILE
from training.recipe import Recipe
from training.runs import REPORT_FILE, RUN_FILE, load_network
from training.train import CURVE_FILE

CHUNKS_OF_4_MINUTES = 104
"""Eight segments of 30 s, 13 chunks each."""

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


def evidence(
    report_folder: Path, seeds: Sequence[Path] = (), leaky: Path | None = None, left_out: Sequence[Path] = ()
) -> dict[str, Any]:
    """The report of a run with all that speaks for or against its figures.

    Parameters
    ----------
    report_folder : Path
        The run that was measured; its learning curve becomes ``curve``.
    seeds : sequence of Path
        Measured runs of the same recipe with other seeds: ``seeds`` gives the accuracy of all of them. The
        report's own is among them unless it is of a cross-validation: then they stand ``apart``.
    leaky : Path or None
        Folder of a cross-validation with the leaky split of chunks: ``leaky``, beside the honest one.
    left_out : sequence of Path
        Folders of `training.leave`: ``left_out`` gives what was found, by what was left out, and
        ``left_out_of`` the recipe's name and version.

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
        run = report_folder / RUN_FILE
        apart = run.exists() and "n_folds" in _read(run)
        reports = [_read(folder / REPORT_FILE) for folder in seeds]
        report["seeds"] = _spread(reports if apart else [report, *reports]) | {"apart": apart}
    if leaky is not None:
        honest = report["held_out"]["all"]["chunk_accuracy"]
        report["leaky"] = _read(leaky / LEAKY_FILE) | {"honest_chunk_accuracy": honest}
    if left_out:
        found = [_read(folder / SUMMARY_FILE) for folder in left_out]
        report["left_out"] = {one["what"]: one["found"] for one in found}
        report["left_out_of"] = {one["what"]: one["of"] for one in found}
    return report


def _spread(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy over several runs that held out the same tracks, all together and by source."""

    def over(held_out: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        accuracy = [one["accuracy"] for one in held_out]
        return {
            "accuracy": accuracy,
            "mean": round(float(np.mean(accuracy)), 4),
            "deviation": round(float(np.std(accuracy, ddof=1)), 4),
            "n_tracks": held_out[0]["n_tracks"],
        }

    by_source = {name: over([r["held_out"][name] for r in reports]) for name in reports[0]["held_out"]}
    return by_source.pop("all") | {"by_source": by_source}


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
                "begun_from": run["begun_from"],
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
