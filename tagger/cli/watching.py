"""The command that waits for new music: watch."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from tagger.cli.common import BYTES_PATHS, absolute, load_settings, settings_options
from tagger.cli.runs import listen_options, output_options, work, write_options
from tagger.errors import LockedError
from tagger.tracks import display

if TYPE_CHECKING:
    from collections.abc import Callable

    from tagger.config import Config

NO_LIMIT_S = 31 * 86_400.0
AGAIN_S = 30.0
"""How long to wait for another run that holds the lock."""


@click.command()
@BYTES_PATHS
@click.option(
    "--settle",
    default="10s",
    show_default=True,
    metavar="TIME",
    help="Wait until nothing changes for so long.",
)
@click.option(
    "--poll", is_flag=True, help="Look at all files every 10 s: on disks that do not tell of changes."
)
@write_options
@listen_options
@output_options
@settings_options
def watch(settle: str, poll: bool, paths: tuple[bytes, ...], **options: Any) -> None:
    """Run, then wait for what is new or changed in the folders and run again, until Ctrl-C.

    Takes the same options as `tagger run`. Between runs nothing is locked. Network file systems are polled
    without being asked.

    Example: tagger watch --settle 1m ~/Music
    """
    from tagger.config.settings import parse_duration
    from tagger.watch import check_folders, on_network, settled

    settle_s = parse_duration(settle)
    if settle_s is None:
        raise click.UsageError(f"Option --settle is {settle!r}, but must be a time such as 10s or 2m.")
    settings = load_settings(options["config"], db=options["db"])
    roots = absolute(paths or settings.paths)
    if not roots:
        raise click.UsageError("Which folder? Try `tagger watch ~/Music`, or set paths in the configuration.")
    check_folders(roots)
    poll = poll or any(map(on_network, roots))

    def run() -> None:
        # The limit of the configuration is for runs that come again by the clock: here nobody does the rest.
        _patiently(lambda: work("run_batch", write=True, paths=roots, time_limit=NO_LIMIT_S, **options))

    for changed in settled(roots, settle_s=settle_s, poll=poll):
        if not changed:  # the watch has begun: what is new since the last run comes first
            run()
            if not options["quiet"]:
                how = "looking every 10 s" if poll else "told of changes by the system"
                click.echo(f"Watching {', '.join(map(display, roots))} ({how}); Ctrl-C ends it.", err=True)
        elif _any_news(settings, changed, roots):
            run()


def _any_news(settings: Config, changed: frozenset[bytes], roots: tuple[bytes, ...]) -> bool:
    from tagger.store import Store
    from tagger.watch import is_news

    with ExitStack() as stack:
        store = None
        if settings.db.exists():
            store = stack.enter_context(Store.open(settings.db, read_only=True))
        return any(is_news(store, path, roots) for path in sorted(changed))


def _patiently(run: Callable[[], int]) -> None:
    """Run when no other run is at work any more."""
    while True:
        try:
            if run() != 75:
                return
        except LockedError:
            pass
        time.sleep(AGAIN_S)
