"""The command that says why: explain, with the genres over time as a chart of signs."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagger.cli.common import (
    BYTES_FILE,
    JSON,
    load_settings,
    model_dir,
    open_for_reading,
    print_table,
    settings_options,
)
from tagger.cli.report import duration
from tagger.tracks import display

if TYPE_CHECKING:
    from tagger.card import ModelCard
    from tagger.config import Config
    from tagger.explain import Chunks, Explanation
    from tagger.measures import Measured
    from tagger.store.rows import EditRow

_SIGNS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_PLAIN_SIGNS = " .:-=+*#@"
_WIDTH = 60
_SHOWN = 5


@click.command()
@click.argument("file", type=BYTES_FILE, metavar="FILE")
@JSON
@settings_options
def explain(file: bytes, as_json: bool, db: Path | None, config: Path | None) -> None:
    """Why a track has its genre, or none: what was heard when, what became of it, what was there before.

    From the database where the file is known, and nothing is listened to then.

    Example: tagger explain song.mp3
    """
    from tagger.explain import explain as gather

    settings = load_settings(config, db=db)
    with ExitStack() as stack:
        store = stack.enter_context(open_for_reading(settings)) if settings.db.exists() else None
        path = os.path.realpath(file)
        found = gather(store, path, settings, model_dir(settings.model), lambda i: _card(i, settings))
    if as_json:
        click.echo(json.dumps(_as_json(found, settings)))
    else:
        _show(found, settings)


def _card(model_id: str, settings: Config) -> ModelCard | None:
    """Card of the model of that id: the configured one, or one that comes with the program."""
    from tagger.bundle import shipped_models
    from tagger.card import read_card
    from tagger.errors import ModelError

    for name in dict.fromkeys((settings.model, *shipped_models())):
        try:
            card = read_card(model_dir(name))
        except ModelError:
            continue
        if card.model_id == model_id:
            return card
    return None


def _show(found: Explanation, settings: Config) -> None:
    length = "" if found.duration_s is None else f"  ({duration(found.duration_s)})"
    click.echo(f"{display(found.path)}{length}")
    if found.tags is not None and (named := " - ".join(filter(None, (found.tags.artist, found.tags.title)))):
        click.echo(f"  {display(os.fsencode(named))}")
    estimate = found.estimate
    click.echo()
    if estimate is None:
        why = found.row.reason if found.row is not None else ""
        click.echo(f"It could not be heard: {why}" if why else "It was not heard yet: tagger scan FILE")
    else:
        source = "as the database remembers" if found.remembered else "listened to just now"
        click.echo(f"What {found.model_id} heard ({source}):")
        for genre, p in list(estimate.probabilities.items())[:_SHOWN]:
            click.echo(f"  {genre[:16]:16} {p:5.2f} {'#' * round(40 * p)}".rstrip())
        if found.chunks is not None and len(found.chunks.starts_s) > 1:
            _show_chunks(found.chunks, list(estimate.probabilities)[:_SHOWN], found.duration_s or 0.0)
        click.echo()
        verdict = f"It is {estimate.genre}" if estimate.genre else f"No genre: {estimate.reason}"
        limits = ""
        if found.threshold is not None:
            lead = f", leading by {found.margin:.2f}" if found.margin else ""
            limits = f" (given from {found.threshold:.2f} on{lead})"
        click.echo(f"{verdict}{limits}.")
    if found.measured is not None:
        click.echo(_measures(found.measured))
    _show_file(found, settings)


def _show_file(found: Explanation, settings: Config) -> None:
    """The file, what was or would be done with it, and its history."""
    if found.tags is not None:
        click.echo(f"In the file: {', '.join(found.tags.genres) or 'no genre'}.")
        if found.tags.note:
            click.echo(f"Note: {found.tags.note}.")
    row = found.row
    if row is not None and row.missing_since_ns is not None:
        click.echo(f"The file is gone since {_when(row.missing_since_ns)}.")
    if row is not None and row.status is not None:
        click.echo(f"Last run ({row.run_id}): {row.status.replace('_', ' ')}: {row.reason}.")
    mode = settings.mode.value
    if found.settled:
        click.echo("`tagger run` leaves it at that until the file, the model or the settings change.")
    elif found.plan is not None and found.plan.after is not None:
        click.echo(f"`tagger run` would write {', '.join(found.plan.after)} (mode {mode}).")
    elif found.plan is not None:
        click.echo(f"`tagger run` would leave it alone (mode {mode}): {found.plan.reason}.")
    if found.labels:
        said = ", ".join(label.genre for label in found.labels)
        click.echo(f"You said: {said} ({_when(found.labels[-1].at_ns)}, {found.labels[-1].source}).")
    if found.edits:
        click.echo("\nWhat was there before:")
        print_table(
            ["when", "run", "before", "after", "now"],
            [
                (_when(e.intended_ns), e.run_id, _values(e, "before"), _values(e, "after"), _state(e))
                for e in found.edits
            ],
            right=[1],
        )


def _show_chunks(chunks: Chunks, shown: list[str], duration_s: float) -> None:
    """A line of signs for each genre: the higher, the surer."""
    signs = _SIGNS
    try:
        signs.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        signs = _PLAIN_SIGNS
    n = min(_WIDTH, len(chunks.starts_s))
    click.echo("\nOver time:")
    for genre in shown:
        if genre not in chunks.genres:  # of a head that knows more than the model it stands on
            continue
        column = chunks.probabilities[:, chunks.genres.index(genre)]
        click.echo(f"  {genre[:16]:16}       {bar_line(column, n, signs)}".rstrip())
    end = clock(duration_s)
    click.echo(f"{'':25}0:00{end:>{max(n - 4, len(end) + 1)}}")
    if chunks.in_part:
        click.echo("  (Only some segments of the track were listened to: they stand side by side.)")
    if not chunks.exact:
        click.echo("  (Silent parts are left out, so the seconds are approximate.)")


def bar_line(values: Any, n: int, signs: str) -> str:
    """Values from 0 to 1 as `n` signs, neighbours averaged: the higher, the more."""
    edges = [round(i * len(values) / n) for i in range(n + 1)]
    means = [float(values[a:b].mean()) for a, b in pairwise(edges)]
    return "".join(signs[min(round(max(p, 0.0) * (len(signs) - 1)), len(signs) - 1)] for p in means)


def clock(seconds: float) -> str:
    """``"1:05"``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _measures(found: Measured) -> str:
    """Tempo and loudness in words."""
    said = "No beat is heard"
    if found.tempo_bpm is not None:
        said = f"{found.tempo_bpm:.0f} beats a minute (beat {found.tempo_strength:.2f} of 1)"
    if found.loudness_lufs is not None:
        said += f", about {found.loudness_lufs:.1f} LUFS"
        if found.loudness_range_lu is not None:
            said += f", range {found.loudness_range_lu:.1f} LU"
    return f"{said}."


def _values(edit: EditRow, which: str) -> str:
    return ", ".join(getattr(edit.edit, which).names) or "no genre"


def _state(edit: EditRow) -> str:
    words = {
        "done": "in force",
        "undone": "taken back",
        "abandoned": "not done",
        "superseded": "changed since",
    }
    state = words.get(edit.state, edit.state)
    return state if edit.undoes is None else f"{state} (an undo)"


def _when(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9).strftime("%Y-%m-%d %H:%M")


def _as_json(found: Explanation, settings: Config) -> dict[str, object]:
    row, estimate, plan = found.row, found.estimate, found.plan
    chunks: list[dict[str, object]] = []
    if found.chunks is not None:
        for start, values in zip(found.chunks.starts_s, found.chunks.probabilities, strict=True):
            named = zip(found.chunks.genres, values.round(4), strict=True)
            chunks.append({"start_s": round(float(start), 2), "genres": {g: float(p) for g, p in named}})
    return {
        "path": os.fsdecode(found.path),
        "remembered": found.remembered,
        "status": None if row is None else row.status,
        "reason": "" if row is None else row.reason,
        "model": found.model_id,
        "duration_s": found.duration_s,
        "tempo_bpm": None if found.measured is None else found.measured.tempo_bpm,
        "tempo_strength": None if found.measured is None else found.measured.tempo_strength,
        "loudness_lufs": None if found.measured is None else found.measured.loudness_lufs,
        "loudness_range_lu": None if found.measured is None else found.measured.loudness_range_lu,
        "genre": None if estimate is None else estimate.genre,
        "confidence": None if estimate is None else round(estimate.confidence, 4),
        "why_none": "" if estimate is None else estimate.reason,
        "genres": {} if estimate is None else {g: round(p, 4) for g, p in estimate.probabilities.items()},
        "threshold": found.threshold,
        "margin": found.margin,
        "file_genres": [] if found.tags is None else list(found.tags.genres),
        "mode": settings.mode.value,
        "settled": found.settled,
        "would": None if plan is None else {"status": plan.status, "reason": plan.reason,
                                            "after": None if plan.after is None else list(plan.after)},
        "labels": [{"genre": label.genre, "source": label.source} for label in found.labels],
        "history": [
            {"run": e.run_id, "at_ns": e.intended_ns, "before": list(e.edit.before.values),
             "after": list(e.edit.after.values), "state": e.state, "undoes": e.undoes}
            for e in found.edits
        ],
        "chunks": chunks,
    }  # fmt: skip
