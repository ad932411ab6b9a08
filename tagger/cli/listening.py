"""The commands that listen without a database: predict, and doctor, which sees whether all is there."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagger.cli.common import (
    BYTES_PATHS,
    JSON,
    absolute,
    config_options,
    load_settings,
    model_dir,
    print_table,
    settings_options,
)
from tagger.cli.report import duration
from tagger.errors import TaggerError
from tagger.tracks import display

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tagger.card import ModelCard

SHOWN_GENRES = 3


@click.command()
@BYTES_PATHS
@click.option("--chunks", is_flag=True, help="The genre of each 4-second chunk, too.")
@click.option("--model", metavar="NAME", help="A shipped model, or the path of a model's directory.")
@click.option("--threshold", type=float, metavar="P", help="Least confidence to name a genre, 0-1.")
@JSON
@config_options
def predict(
    paths: tuple[bytes, ...],
    chunks: bool,
    model: str | None,
    threshold: float | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Listen to files and say what they sound like. Nothing is written, and no database is needed.

    Example: tagger predict song.mp3 --chunks
    """
    from tagger.classify import listen
    from tagger.decision import chunk_probabilities
    from tagger.files import no_such_file
    from tagger.learning.heads import judge, memory_of
    from tagger.learning.shelf import chosen_head, heads_dir
    from tagger.model import load_model
    from tagger.tracks import Heard, ListenTask, Status

    if not paths:
        raise click.UsageError("Which file? Try `tagger predict song.mp3`.")
    settings = load_settings(config, model=model, threshold=threshold)
    directory = model_dir(settings.model)
    card = load_model(directory).card
    head, unfit = chosen_head(heads_dir(settings.db), card)
    memory = memory_of(directory, card, head)
    if unfit:
        click.echo(unfit, err=True)
    n_failed = 0
    for path in absolute(paths):
        if reason := no_such_file(path):
            heard = Heard(path, failure=Status.UNREADABLE, reason=reason)
        else:
            heard = listen(ListenTask(path, str(directory), time_limit_s=settings.track_limit))
        if heard.analysis is None:
            n_failed += 1
            click.echo(heard.reason, err=True)
            if as_json:
                click.echo(
                    json.dumps({"path": os.fsdecode(path), "status": heard.failure, "reason": heard.reason})
                )
            continue
        estimate = judge(
            heard.analysis, card, head, memory, threshold=settings.threshold, margin=settings.margin,
            parents=settings.parents if settings.write_parents else {},
        )  # fmt: skip
        table = chunk_probabilities(heard.analysis, card) if chunks else None
        chunk_s = card.features.chunk_hop_frames * card.features.hop_length / card.features.sr
        if as_json:
            line: dict[str, object] = {
                "path": os.fsdecode(path),
                "genre": estimate.genre,
                "confidence": round(estimate.confidence, 4),
                "reason": estimate.reason,
                "genres": {genre: round(p, 4) for genre, p in estimate.probabilities.items()},
                "duration_s": round(heard.analysis.duration_s, 3),
                "file_genres": list(heard.tags.genres) if heard.tags else [],
            }
            if table is not None:
                line["chunks"] = [
                    dict(zip(card.genres, map(float, row.round(4)), strict=True)) for row in table
                ]
            click.echo(json.dumps(line))
            continue
        top = list(estimate.probabilities.items())[:SHOWN_GENRES]
        click.echo(f"{display(path)}  ({duration(heard.analysis.duration_s)})")
        click.echo(
            f"  {estimate.genre or 'no genre'}: {estimate.reason}"
            if estimate.reason
            else f"  {estimate.genre}"
        )
        for genre, p in top:
            click.echo(f"  {genre:12} {p:5.2f} {'#' * round(40 * p)}")
        if table is not None:
            print_table(
                ["from", "genre", "p", "second", "p"],
                (
                    (f"{place * chunk_s:6.1f} s", *_best_two(card, row))
                    for place, row in enumerate(table)
                ),
                right=[0, 2, 4],
            )  # fmt: skip
    sys.exit(1 if n_failed else 0)


@click.command()
@settings_options
def doctor(db: Path | None, config: Path | None) -> None:
    """Check that everything the program needs is there and works."""
    checks = [
        ("Python", _check_python),
        ("configuration", lambda: _check_config(config)),
        ("audio decoders", _check_decoders),
        ("model", lambda: _check_model(config)),
        ("head", lambda: _check_head(db, config)),
        ("database", lambda: _check_database(db, config)),
    ]
    n_bad = 0
    for name, check in checks:
        try:
            click.echo(f"ok   {name}: {check()}")
        except TaggerError as error:
            n_bad += 1
            click.echo(f"BAD  {name}: {error}")
    sys.exit(3 if n_bad else 0)


def _check_python() -> str:
    from importlib.metadata import version

    names = ("ai-edge-litert", "av", "joblib", "librosa", "mutagen", "numpy", "sqlite-utils")
    return f"{platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names)


def _check_config(config: Path | None) -> str:
    from tagger.config import default_config_path

    settings = load_settings(config)
    path = config or default_config_path()
    known = f"read from {path}" if path.exists() else f"none at {path}, so the defaults"
    return f"{known}; folders: {', '.join(map(display, settings.paths)) or 'none set'}"


def _check_decoders() -> str:
    from tagger.audio import available_decoders
    from tagger.errors import AudioError

    missing = [name for name, there in available_decoders().items() if not there]
    if missing:
        raise AudioError(f"PyAV was built without {', '.join(missing)}; such files will be unreadable.")
    return ", ".join(available_decoders())


def _check_model(config: Path | None) -> str:
    import time

    import numpy as np

    from tagger.model import load_model

    model = load_model(model_dir(load_settings(config).model))
    features = model.card.features
    started_s = time.perf_counter()
    logits, embedding = model.predict(
        np.zeros((13, features.chunk_frames, features.n_mels), dtype=np.float32)
    )
    took_ms = 1000 * (time.perf_counter() - started_s)
    sizes = f"{logits.shape[1]} genres, embedding of {embedding.shape[1]}"
    return f"{model.card.model_id}, {sizes}, {took_ms:.0f} ms for 30 s of music"


def _check_head(db: Path | None, config: Path | None) -> str:
    from tagger.card import read_card
    from tagger.errors import ModelError
    from tagger.learning.shelf import chosen_head, heads_dir

    settings = load_settings(config, db=db)
    head, unfit = chosen_head(heads_dir(settings.db), read_card(model_dir(settings.model)))
    if unfit:
        raise ModelError(unfit)
    return "none in use" if head is None else f"{head.card.head_id}: {', '.join(head.card.genres)}"


def _check_database(db: Path | None, config: Path | None) -> str:
    from tagger.errors import StoreError
    from tagger.store import Store

    settings = load_settings(config, db=db)
    if not settings.db.exists():
        return f"none yet at {settings.db}"
    with Store.open(settings.db, read_only=True) as store:
        if troubles := store.integrity_check():
            raise StoreError(
                f"{settings.db}: {troubles[0]} (and {len(troubles) - 1} more); restore a copy of it."
            )
        n_unsettled = len(store.unsettled())
        pending = (
            f", {n_unsettled} edits a killed run left open (the next run settles them)" if n_unsettled else ""
        )
        return f"{settings.db}, {store.count_tracks():,} tracks, sound{pending}"


def _best_two(card: ModelCard, probabilities: NDArray[np.float32]) -> tuple[str, str, str, str]:
    second, first = probabilities.argsort()[-2:]
    return (
        card.genres[first],
        f"{probabilities[first]:.2f}",
        card.genres[second],
        f"{probabilities[second]:.2f}",
    )
