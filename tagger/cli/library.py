"""The commands that look at what is remembered: status, ls, errors, runs. They never change anything."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tagger.cli.common import (
    COUNT,
    JSON,
    load_settings,
    model_dir,
    open_for_reading,
    print_table,
    settings_options,
    shown,
)
from tagger.cli.filtering import filter_options, selected
from tagger.cli.report import MEANING, duration, tracks
from tagger.tracks import Status, display


@click.command()
@JSON
@settings_options
def status(as_json: bool, db: Path | None, config: Path | None) -> None:
    """The library in figures: outcomes, genres, models, the last run."""
    from tagger.card import read_card

    settings = load_settings(config, db=db)
    model_id = read_card(model_dir(settings.model)).model_id
    with open_for_reading(settings) as store:
        summary = store.summary(model_id)
    last = summary.last_run
    if as_json:
        click.echo(
            json.dumps(
                {
                    "tracks": summary.n_tracks,
                    "missing": summary.n_missing,
                    "stale": summary.n_stale,
                    "status": dict(summary.by_status),
                    "genres": dict(summary.by_genre),
                    "models": dict(summary.by_model),
                    "last_run": None if last is None else last.id,
                }
            )
        )
        return
    click.echo(f"{tracks(summary.n_tracks)} in {display(os.fsencode(settings.db))}")
    click.echo()
    for name, n in summary.by_status.items():
        meaning = MEANING[Status(name)] if name else "found, but the run did not get to them"
        click.echo(f"  {name.replace('_', ' ') or 'waiting':18} {n:>9,}  {meaning}")
    if summary.n_missing:
        click.echo(f"  {'missing':18} {summary.n_missing:>9,}  no longer in their folder")
    if summary.by_genre:
        click.echo("\nHeard, and sure enough:")
        for genre, n in summary.by_genre.items():
            click.echo(f"  {genre:18} {n:>9,}")
    if summary.n_stale:
        click.echo(
            f"\n{summary.n_stale:,} tracks were heard with another model than {model_id}: tagger run --stale"
        )
    if last is not None:
        click.echo(f"\nLast: {last.kind} {last.id}, {_when(last.started_ns)}, {last.ended}")


@click.command()
@filter_options
@JSON
@settings_options
def ls(as_json: bool, db: Path | None, config: Path | None, **asked: Any) -> None:
    """List tracks, with what they have and what was heard.

    \b
    Example: tagger ls --genre jazz --min-confidence 0.8
             tagger ls --tempo 120-130 --sort tempo
    """
    from tagger.export import json_lines

    with open_for_reading(load_settings(config, db=db)) as store:
        rows = selected(store, asked)
        if as_json:
            for line in json_lines(rows, store.said()):
                click.echo(line, nl=False)
            return
        found = list(rows)
    if not found:
        click.echo("No track answers to that.", err=True)
        return
    roots = sorted({track.root for track in found}, key=len, reverse=True)
    print_table(
        ["in the file", "heard", "conf.", "BPM", "status", "track"],
        (
            (
                ", ".join(track.file_genres) or "-",
                track.genre or "-",
                "-" if track.confidence is None else f"{track.confidence:.2f}",
                "-" if track.tempo_bpm is None else f"{track.tempo_bpm:.0f}",
                (track.status or "waiting").replace("_", " "),
                shown(track.path, roots),
            )
            for track in found
        ),
        right=[2, 3],
    )


@click.command()
@JSON
@click.option("--all", "all_paths", is_flag=True, help="Name every file, not only the first of each kind.")
@settings_options
def errors(as_json: bool, all_paths: bool, db: Path | None, config: Path | None) -> None:
    """What went wrong with which files, grouped by reason."""
    settings = load_settings(config, db=db)
    with open_for_reading(settings) as store:
        groups = store.errors(paths_each=10**9 if all_paths or as_json else 5)
    if as_json:
        for group in groups:
            for path in group.paths:
                click.echo(
                    json.dumps(
                        {"path": os.fsdecode(path), "status": group.status.value, "reason": group.reason}
                    )
                )
        return
    if not groups:
        click.echo("No track has failed.")
    for group in groups:
        click.echo(f"{group.n:,} {group.status.value.replace('_', ' ')}: {group.reason}")
        for path in group.paths:
            click.echo(f"    {display(path)}")
        if group.n > len(group.paths):
            click.echo(f"    and {group.n - len(group.paths):,} more (--all)")


@click.command()
@click.option("--limit", type=COUNT, default=20, show_default=True)
@JSON
@settings_options
def runs(limit: int, as_json: bool, db: Path | None, config: Path | None) -> None:
    """The history of runs, the latest first."""
    settings = load_settings(config, db=db)
    with open_for_reading(settings) as store:
        history = store.runs(limit)
    if as_json:
        for run in history:
            click.echo(
                json.dumps(
                    {
                        "run": run.id,
                        "kind": run.kind,
                        "state": run.ended,
                        "started": _iso(run.started_ns),
                        "ended": None if run.ended_ns is None else _iso(run.ended_ns),
                        "exit_code": run.exit_code,
                        "model": run.model_id,
                        "counts": dict(run.counts),
                        "tracks_per_s": run.tracks_per_s,
                    }
                )
            )
        return
    if not history:
        click.echo("Nothing has been run yet.")
        return
    print_table(
        ["run", "kind", "started", "took", "state", "outcomes"],
        (
            (
                run.id,
                run.kind,
                _when(run.started_ns),
                "-" if run.ended_ns is None else duration((run.ended_ns - run.started_ns) / 1e9),
                run.ended,
                ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in run.counts.items()) or "nothing",
            )
            for run in history
        ),
        right=[0],
    )


def _when(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9).strftime("%Y-%m-%d %H:%M")


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9).astimezone().isoformat(timespec="seconds")
