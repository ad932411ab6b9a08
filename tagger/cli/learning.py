"""The command that learns a head from a collection's own genres, and what it says of lessons and figures."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagger.cli.common import (
    JSON,
    load_settings,
    model_dir,
    open_for_reading,
    print_table,
    settings_options,
)

if TYPE_CHECKING:
    from tagger.learning.lessons import Lessons
    from tagger.learning.verdict import Report

NAME = "mine"
MIN_TRACKS = 5
SHOWN_CONFUSIONS = 8
SHOWN_SPELLINGS = 3

FROM_TAGS = click.option("--from-tags", is_flag=True, help="Learn from the genres in the files, too.")
LEAST_TRACKS = click.option(
    "--min-tracks", type=click.IntRange(min=2), default=MIN_TRACKS, show_default=True, metavar="N",
    help="Leave out genres of fewer tracks.",
)  # fmt: skip


@click.command()
@FROM_TAGS
@LEAST_TRACKS
@click.option("--only-mine", is_flag=True, help="Forget the model's own genres: know those learnt alone.")
@click.option("--name", default=NAME, show_default=True, help="Name of the head.")
@click.option("--force", is_flag=True, help="Use it even if it is no better than what is in use.")
@click.option("-n", "--dry-run", is_flag=True, help="Show everything, save nothing.")
@click.option("--model", metavar="NAME", help="The model to stand on: a shipped one, or a directory.")
@JSON
@settings_options
def learn(
    from_tags: bool, min_tracks: int, only_mine: bool, name: str, force: bool, dry_run: bool,
    model: str | None, as_json: bool, db: Path | None, config: Path | None,
) -> None:  # fmt: skip
    """Learn your genres from what you said of tracks: corrections, imports, and tags where wanted.

    No audio is decoded: what was heard is in the database. What was learnt is put to use only where it is
    right more often on your own labels than what is in use now; exit code 1 says that it is not.

    Example: tagger learn --from-tags --dry-run
    """
    # Before numpy is there: such small matrices go faster on one thread, far faster on a busy machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tagger.job import run_lock
    from tagger.learning.headcard import check_name
    from tagger.learning.headfile import save_head
    from tagger.learning.lessons import gather
    from tagger.learning.reference import read_reference
    from tagger.learning.shelf import choices, choose_head, chosen_head, heads_dir
    from tagger.learning.teach import teach
    from tagger.model import load_model
    from tagger.pooling import pooled_dims

    check_name(name)
    settings = load_settings(config, db=db, model=model)
    directory = model_dir(settings.model)
    loaded = load_model(directory)
    n_dims = pooled_dims(loaded.n_dims)
    with open_for_reading(settings) as store:
        lessons = gather(
            store, loaded.card, n_dims, settings.genres, from_tags=from_tags, min_tracks=min_tracks,
            parents=settings.parents,
        )  # fmt: skip
    if not as_json:
        show_lessons(lessons)
    shelf = heads_dir(settings.db)
    in_use, unfit = chosen_head(shelf, loaded.card)
    reference = read_reference(directory, loaded.card)
    head, report = teach(lessons, loaded.card, reference, in_use, name=name, only_mine=only_mine)
    if not as_json:
        if unfit:
            click.echo(unfit, err=True)
        show_report(report)
    saved = ""
    if not dry_run and (report.adopt or force):
        with run_lock(settings.db):
            head = save_head(shelf, head)
            choose_head(shelf, [*choices(shelf), head.card.head_id])
        saved = head.card.head_id
    if as_json:
        taught = [asdict(one) for one in lessons.taught]
        facts: dict[str, Any] = {"head": saved or None, "genres": list(head.card.genres), "found": taught}
        click.echo(json.dumps(facts | {"report": report.as_dict()}))
    elif saved:
        click.echo(f"\n{saved} is in use from now on. `tagger write --mode own` writes what it says, without "
                   "listening again; `tagger models back` goes back.")  # fmt: skip
    elif dry_run:
        click.echo("\nNothing was saved.")
    else:
        click.echo("\nNothing was saved; --force saves and uses it all the same.")
    sys.exit(0 if saved or dry_run else 1)


def show_lessons(lessons: Lessons) -> None:
    """What there is to learn from, and what is left out."""
    if lessons.taught:
        print_table(
            ["genre", "said", "in files", "artists", "", "spelled"],
            (
                (
                    one.genre,
                    one.n_people,
                    one.n_tags,
                    one.n_artists,
                    f"not learnt: {one.why_not}" if one.why_not else "",
                    ", ".join(one.spellings[:SHOWN_SPELLINGS])
                    + (" …" if len(one.spellings) > SHOWN_SPELLINGS else ""),
                )
                for one in lessons.taught
            ),
            right=[1, 2, 3],
        )
    if lessons.n_unheard:
        click.echo(f"{lessons.n_unheard:,} more were not heard by this model: `tagger scan` listens.")
    if lessons.n_stale:
        click.echo(
            f"{lessons.n_stale:,} more were heard by an earlier version of this program: "
            "`tagger scan --stale` listens again."
        )


def show_report(report: Report) -> None:
    """The figures, and the verdict."""
    click.echo(f"\nOn your {report.n:,} tracks by {report.n_groups:,} artists, each judged while its artist "
               "was left out:\n")  # fmt: skip
    print_table(
        ["genre", "tracks", "found", "right", ""],
        (
            (
                score.genre,
                score.n,
                f"{score.recall:.2f}",
                "-" if score.precision is None else f"{score.precision:.2f}",
                "new" if score.new else "",
            )
            for score in report.genres
        ),
        right=[1, 2, 3],
    )
    click.echo(f"\nRight when forced to guess: {report.accuracy:.2f}; {report.in_use}: "
               f"{report.in_use_accuracy:.2f}")  # fmt: skip
    right = "" if report.precision is None else f", right on {report.precision:.2f} of them"
    click.echo(f"Gives a genre to {report.coverage:.2f} of them{right} (threshold {report.threshold:.2f})")
    click.echo(f"Confidence and share right differ by {report.calibration_error:.2f} on average")
    if report.n_old:
        click.echo(f"Of the model's own music {report.old_lost:.1%} goes over to new genres")
    if report.confused:
        confused = ", ".join(f"{a} as {b} ({n})" for a, b, n in report.confused[:SHOWN_CONFUSIONS])
        click.echo(f"Taken for one another: {confused}")
    click.echo(f"\n{report.verdict}")
