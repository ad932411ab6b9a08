"""What became of the lines of an import, as a table or as JSON lines."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tagger.cli.common import print_table
from tagger.cli.report import tracks
from tagger.tracks import Outcome, Status, display

if TYPE_CHECKING:
    from tagger.intake import Line

_MOST_LINES = 20


def show_import(
    lines: Sequence[Line], outcomes: Sequence[Outcome], *, as_json: bool, dry_run: bool, write: bool,
    run_id: int,
) -> None:  # fmt: skip
    """Say what was taken and what was left out, and why.

    Parameters
    ----------
    outcomes
        What became of the files of the lines taken.
    write
        Whether they were to be written.
    run_id
        Of the run that wrote into files; 0 where none did.
    """
    if as_json:
        for line in lines:
            click.echo(_json(line))
        return
    taken = [line for line in lines if not line.left_out]
    counts = Counter(", ".join(line.genres) for line in taken)
    if counts:
        print_table(["tracks", "would be taken as" if dry_run else "taken as"],
                    [(f"{n:,}", genre) for genre, n in counts.most_common()], right=[0])  # fmt: skip
        click.echo()
    refused = [line for line in lines if line.failed]
    if refused:
        rows = [(line.number, line.genre, line.left_out, line.path) for line in refused[:_MOST_LINES]]
        print_table(["line", "genre", "left out because", "path"], rows, right=[0])
        if len(refused) > _MOST_LINES:
            click.echo(f"and {len(refused) - _MOST_LINES:,} more (--json has all)")
        click.echo()
    passed = Counter(line.left_out for line in lines if line.left_out and not line.failed)
    for why, n in passed.most_common(5):
        click.echo(f"{n:,} passed over: {why}")
    for outcome in outcomes:
        if outcome.status.is_failure:
            click.echo(f"{display(outcome.path)}: not written: {outcome.reason}", err=True)
    verb = "would be taken" if dry_run else "taken"
    click.echo(f"{tracks(len(taken))} {verb}, {len(refused):,} refused, {passed.total():,} passed over.")
    if write and (n := sum(outcome.status is Status.KEPT for outcome in outcomes)):
        click.echo(f"{tracks(n)} already as they should be.")
    if n := sum(outcome.status is Status.TAGGED for outcome in outcomes):
        click.echo(f"{tracks(n)} written. To put back what was there: tagger undo {run_id}")


def _json(line: Line) -> str:
    return json.dumps(
        {
            "line": line.number,
            "path": line.path if line.track is None else os.fsdecode(line.track.path),
            "genre": line.genre,
            "taken": not line.left_out,
            "reason": line.left_out,
            "failed": line.failed,
        }
    )
