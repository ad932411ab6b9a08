"""The command that trains the network itself on a collection's own labels."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from tagger.cli.common import JSON, load_settings, model_dir, open_for_reading, settings_options
from tagger.cli.learning import FROM_TAGS, LEAST_TRACKS, show_lessons, show_report

NAME = "tuned"
LOG_FILE = "errors.log"
WORTH_IT = 500
"""With 482 labels a network was little better than a head (`tests.benchmarks.finetuning`)."""


@click.command()
@FROM_TAGS
@LEAST_TRACKS
@click.option(
    "--steps", type=click.IntRange(min=10), metavar="N",
    help="Batches each network learns from, in place of what the number of labels calls for.",
)  # fmt: skip
@click.option("--name", default=NAME, show_default=True, help="Name of the network.")
@click.option("--force", is_flag=True, help="Use it even if it is no better than what is in use.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what it would learn from, train nothing.")
@click.option("--model", metavar="NAME", help="The model to start from: a shipped one, or a directory.")
@JSON
@settings_options
def finetune(
    from_tags: bool, min_tracks: int, steps: int | None, name: str, force: bool, dry_run: bool,
    model: str | None, as_json: bool, db: Path | None, config: Path | None,
) -> None:  # fmt: skip
    """Train the network itself on your labels, when there are hundreds of them. Takes minutes to hours.

    Six networks are trained from the weights of the one in use: five for honest figures, each without a fifth
    of the artists, and one with everything. It is put to use only where it is right more often on your own
    labels than what is in use now; exit code 1 says that it is not. Then `tagger run --stale` hears with it.
    Interrupted, the same command goes on where it was. Needs `pip install 'tagger[train]'`.

    Example: tagger finetune --from-tags
    """
    from tagger.errors import ModelError
    from tagger.job import run_lock
    from tagger.learning.headcard import check_name
    from tagger.learning.lessons import gather
    from tagger.learning.shelf import choices, choose_head, chosen_head, heads_dir, list_heads, models_dir
    from tagger.learning.tuning import keep_model, open_job, plan_job, renamed, report_on
    from tagger.model import load_model
    from tagger.pooling import pooled_dims

    check_name(name)
    if not dry_run:
        _check_installed()
    settings = load_settings(config, db=db, model=model)
    heads = heads_dir(settings.db)
    if any(not isinstance(head, ModelError) and head.name == name for head in list_heads(heads)):
        raise ModelError(f"{name!r} is the name of a head already: give the network another with --name.")
    directory = model_dir(settings.model)
    loaded = load_model(directory)
    with open_for_reading(settings) as store:
        lessons = gather(
            store, loaded.card, pooled_dims(loaded.n_dims), settings.genres, from_tags=from_tags,
            min_tracks=min_tracks, parents=settings.parents,
        )  # fmt: skip
        job = plan_job(store, loaded.card, lessons)
    if not as_json:
        show_lessons(lessons)
        n = len(lessons.genre)
        click.echo(f"\n{n:,} tracks to learn from, and {len(job.rehearsed):,} on which "
                   f"{loaded.card.model_id} is sure, so that it keeps what it knows.")  # fmt: skip
        if n < WORTH_IT:
            click.echo(f"With fewer than {WORTH_IT} labels `tagger learn` is usually as good, in seconds.")
    if dry_run:
        return
    work = open_job(settings.db.parent / "finetune", job, directory, loaded.card, name, steps)
    in_use, unfit = chosen_head(heads, loaded.card)
    if unfit:
        click.echo(unfit, err=True)
    _train(work, quiet=as_json)
    report, left_out = report_on(work, job, loaded.card, in_use)
    changed = renamed(work, loaded.card)
    saved = ""
    if report.adopt or force:
        with run_lock(settings.db):
            kept = keep_model(work, models_dir(settings.db), report, name)
            saved = f"{name}@{kept.name}"
            choose_head(heads, [*choices(heads), saved])
    shutil.rmtree(work, ignore_errors=True)
    if as_json:
        facts: dict[str, Any] = {"model": saved or None, "genres": list(job.genres), "left_out": left_out}
        click.echo(json.dumps(facts | {"renamed": round(changed, 4), "report": report.as_dict()}))
    else:
        show_report(report)
        if job.rehearsed:
            click.echo(f"Of the tracks that it was sure of, {changed:.1%} now get one of the new genres.")
        if saved:
            click.echo(f"\n{saved} listens from now on; `tagger run --stale` hears with it what another "
                       "network heard. `tagger models back` goes back.")  # fmt: skip
        else:
            click.echo("\nNothing was saved; --force saves and uses it all the same.")
    sys.exit(0 if saved else 1)


def _check_installed() -> None:
    from tagger.errors import ConfigError

    if any(importlib.util.find_spec(name) is None for name in ("keras", "tensorflow", "training")):
        raise ConfigError("Training is not installed; `pip install 'tagger[train]'` installs it.")


def _train(work: Path, *, quiet: bool) -> None:
    """Run the training package on a job, in a process of its own: TensorFlow stays out of this one."""
    from tagger.errors import ModelError

    found = importlib.util.find_spec("training")
    assert found is not None and found.origin is not None
    package = Path(found.origin).parent.parent
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH", "")]))
    log = work / LOG_FILE
    with log.open("w", encoding="utf-8") as errors:  # TensorFlow says much there that is of no use
        done = subprocess.run(
            [sys.executable, "-u", "-m", "training", "finetune", os.fspath(work)],
            env=os.environ | {"PYTHONPATH": paths},
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=errors,
            check=False,
        )
    if done.returncode == 1:  # a sentence of ours is the last thing it said
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ModelError(said[-1] if said else "The training did not finish.")
    if done.returncode:
        raise ModelError(
            f"The training did not finish ({log} says why); the same command goes on where it was."
        )
