"""The commands that tag: run, scan, write."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from tagger.cli.clustering import cluster_of, cluster_options
from tagger.cli.common import BYTES_PATHS, FILE, JSON, absolute, load_settings, model_dir, settings_options
from tagger.cli.report import RunReport, print_profile, summary_facts
from tagger.tracks import WriteMode

if TYPE_CHECKING:
    from tagger.config import Config
    from tagger.job import RunSummary

F = TypeVar("F", bound=Callable[..., Any])


def output_options(command: F) -> F:
    """How much is said, and how."""
    command = click.option("-v", "--verbose", is_flag=True, help="Name every track, not only those written.")(
        command
    )
    command = click.option("-q", "--quiet", is_flag=True, help="Print only on trouble (for cron).")(command)
    return JSON(command)


def listen_options(command: F) -> F:
    """What `run`, `scan` and `watch` share."""
    command = cluster_options(command)
    for option in (
        click.option(
            "--ignore", multiple=True, metavar="PATTERN", help="Leave these out (gitignore syntax)."
        ),
        click.option(
            "--coverage",
            metavar="full|N",
            help="Hear all of a track (full, the default), or N segments of 30 s spread over it. Tracks "
            "heard in part are heard again only with --stale.",
        ),
        click.option("--track-limit", metavar="TIME", help="Longest time for one track (default: 10m)."),
        click.option("--max-load", type=float, metavar="L", help="Wait while the machine's load is above L."),
        click.option("--stale", is_flag=True, help="Hear again what another model heard, or less of it."),
        click.option("--retry", is_flag=True, help="Try again the files that failed before."),
        click.option("--profile", is_flag=True, help="Show where the time went."),
        click.option("--nice", is_flag=True, default=None, help="Least priority for processor and disk."),
        click.option("--log", type=FILE, metavar="FILE", help="Log failures and totals here; kept small."),
        click.option("-j", "--jobs", type=int, metavar="N", help="Worker processes (default: all cores)."),
    ):
        command = option(command)
    return command


_TIME_LIMIT = click.option(
    "--time-limit", metavar="TIME", help="Stop cleanly after this (2h, 90m); the next run goes on from there."
)


def write_options(command: F) -> F:
    """What decides about writing."""
    for option in (
        click.option("--hardlinks", type=click.Choice(["refuse", "write"]), help="Files with several names."),
        click.option(
            "--extra-tags", metavar="NAMES",
            help="Also write these fields with a genre: confidence,model,version,tempo (default: none).",
        ),
        click.option("--max-genres", type=int, metavar="N", help="Most genres a track is given (1)."),
        click.option(
            "--write-parents/--no-write-parents", default=None,
            help="Write the genres above one beside it, as the configuration's table parents has them.",
        ),
        click.option("--preserve-mtime/--no-preserve-mtime", default=None, help="Keep files' times."),
        click.option("--margin", type=float, metavar="P", help="Least lead over the second genre, 0-1."),
        click.option("--threshold", type=float, metavar="P", help="Least confidence that is written, 0-1."),
        click.option(
            "-m", "--mode", type=click.Choice([mode.value for mode in WriteMode]),
            help="Which files get a genre: those without one (missing, the default), all of them beside "
            "theirs (append) or in its place (overwrite), or our own former values too (own).",
        ),
        click.option(
            "-n", "--dry-run", "--pretend", "dry_run", is_flag=True, help="Show what would be done."
        ),
        click.option("--model", metavar="NAME", help="A shipped model, or the path of a model's directory."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@BYTES_PATHS
@write_options
@listen_options
@_TIME_LIMIT
@output_options
@settings_options
def run(**options: Any) -> None:
    """Listen to what is new in the folders and write the genres that are missing.

    Only files without a genre are written unless --mode says otherwise, and only where the model is sure
    enough. Every change can be undone with `tagger undo`.

    Example: tagger run --dry-run ~/Music
    """
    sys.exit(work("run_batch", write=True, **options))


@click.command()
@BYTES_PATHS
@click.option("--model", metavar="NAME", help="A shipped model, or the path of a model's directory.")
@listen_options
@_TIME_LIMIT
@output_options
@settings_options
def scan(**options: Any) -> None:
    """Listen and remember, but write no file: `tagger write` does that later.

    Example: tagger scan ~/Music
    """
    sys.exit(work("run_batch", write=False, **options))


@click.command()
@BYTES_PATHS
@write_options
@_TIME_LIMIT
@output_options
@settings_options
def write(**options: Any) -> None:
    """Write genres from what is remembered, without listening again.

    Without PATH, for the whole database. A file that has changed since it was heard is left alone.

    Example: tagger write --mode append ~/Music/Jazz
    """
    sys.exit(work("write_from_store", write=True, **options))


def work(
    work: Literal["run_batch", "write_from_store"], *, paths: tuple[bytes, ...], as_json: bool, quiet: bool,
    verbose: bool, config: Path | None, write: bool, dry_run: bool = False, retry: bool = False,
    stale: bool = False, profile: bool = False, log: Path | None = None, hardlinks: str | None = None,
    **given: Any,
) -> int:  # fmt: skip
    """Settings, the work, and what follows it; the exit code."""
    from tagger.errors import LockedError
    from tagger.hook import call_hook
    from tagger.limits import lower_priority
    from tagger.log import logged

    how = {"write": write, "dry_run": dry_run, "retry": retry, "stale": stale}

    settings = load_settings(config, hardlinks=hardlinks, **given)
    roots = absolute(paths or settings.paths)
    if not roots and work == "run_batch":
        raise click.UsageError("Which folder? Try `tagger run ~/Music`, or set paths in the configuration.")
    with logged(log) as say:
        if settings.nice:
            lower_priority()
        try:
            summary = _locked(work, settings, roots, say, as_json, quiet, verbose, **how)
        except LockedError as error:
            if not quiet:
                raise
            say(str(error))  # no trouble: the other run does the work
            return 75
        if profile:
            print_profile(summary)
        trouble = ""
        if settings.on_finish and not dry_run:  # the lock is free: the command may look into the library
            trouble = call_hook(settings.on_finish, summary_facts(summary, settings.db, roots))
        if trouble:
            say(trouble)
            click.echo(f"tagger: {trouble}", err=True)
    return int(summary.exit_code)


def _locked(
    work: Literal["run_batch", "write_from_store"], settings: Config, roots: tuple[bytes, ...],
    say: Callable[[str], None], as_json: bool, quiet: bool, verbose: bool, *, write: bool, dry_run: bool,
    retry: bool, stale: bool,
) -> RunSummary:  # fmt: skip
    """Lock, model, database, then the work and its report."""
    from tagger.job import RunOptions, run_lock

    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(run_lock(settings.db))
        cluster = cluster_of(settings) if work == "run_batch" else None
        # Only now what takes its time: whoever finds the lock taken is told so at once.
        from tagger import batch
        from tagger.bundle import check_model
        from tagger.genres import unknown_labels
        from tagger.learning.shelf import chosen_head, heads_dir
        from tagger.plan import policy_of
        from tagger.store import Store

        directory = model_dir(settings.model)
        card = check_model(directory)  # refuses a damaged model before a single file is read
        head, unfit = chosen_head(heads_dir(settings.db), card)
        options = RunOptions(
            roots=roots,
            model_dir=str(directory),
            policy=policy_of(settings),
            jobs=settings.jobs or (0 if cluster else os.cpu_count() or 1),
            cluster=cluster,
            write=write,
            dry_run=dry_run,
            retry=retry,
            stale=stale,
            ignore=settings.ignore,
            track_limit_s=settings.track_limit,
            time_limit_s=settings.time_limit,
            max_load=settings.max_load,
            n_segments=0 if settings.coverage == "full" else int(settings.coverage),
            preserve_mtime=settings.preserve_mtime,
            hardlinks=settings.hardlinks == "write",
            head=head,
            n_dims=_n_dims(directory) if stale else None,
        )
        exists = settings.db.exists()
        store = stack.enter_context(
            Store.open(settings.db if exists or not dry_run else None, read_only=dry_run and exists)
        )
        report = RunReport(
            roots=roots, as_json=as_json, quiet=quiet, verbose=verbose, dry_run=dry_run, jobs=options.jobs,
            cluster=cluster.scheduler if cluster else "", log=say,
        )  # fmt: skip
        with report:
            for notice in store.notices:
                report.warn(notice)
            if unfit:
                report.warn(unfit)
            known = card.genres if head is None else (*card.genres, *head.card.genres)
            for label, near in unknown_labels(settings.genres, known).items():
                hint = f"; did you mean {near}?" if near else ""
                report.warn(
                    f"The configuration names the genre {label}, which {card.model_id} does not know{hint}"
                )
            summary: RunSummary = getattr(batch, work)(store, card, options, report)
        report.summary(summary)
    return summary


def _n_dims(directory: Path) -> int:
    """Length of the embeddings made with a model."""
    from tagger.model import load_model
    from tagger.pooling import pooled_dims

    return pooled_dims(load_model(directory).n_dims)
