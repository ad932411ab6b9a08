"""The command `tagger`: parse, one call, print, exit code. Heavy imports stay inside the commands."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import click

from tagger.cli import correcting, dashboard, library, listening, mending, runs, schedule
from tagger.errors import ConfigError, LockedError, TaggerError

USAGE, NOTHING_DONE, LOCKED, INTERRUPTED = 2, 3, 75, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tagger", prog_name="tagger")
def cli() -> None:
    """Listen to a music collection and fill in the missing genres, safely.

    \b
    tagger run -n ~/Music     show what would be written
    tagger run ~/Music        write it, and remember everything
    tagger undo               put back what the last run changed
    """


for _command in (
    runs.run,
    runs.scan,
    runs.write,
    correcting.correct,
    mending.undo,
    mending.verify,
    mending.prune,
    library.status,
    library.ls,
    library.errors,
    library.runs,
    listening.predict,
    listening.models,
    listening.doctor,
    dashboard.dashboard,
    schedule.schedule,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and exit.

    0 all done, 1 some tracks failed, 2 wrong usage or configuration, 3 nothing could be done, 75 another run
    holds the lock, 130 interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _say("Interrupted; what was done so far is kept, and the next run does the rest.", INTERRUPTED)
    except KeyboardInterrupt:
        code = _say("Interrupted; what was done so far is kept, and the next run does the rest.", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        code = USAGE
    except LockedError as error:
        code = _say(str(error), LOCKED)
    except ConfigError as error:
        code = _say(str(error), USAGE)
    except TaggerError as error:
        code = _say(str(error), NOTHING_DONE)
    except (
        BrokenPipeError
    ):  # `tagger ls | head`: nobody reads any more, and the interpreter's flush must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str, code: int) -> int:
    click.echo(f"tagger: {message}", err=True)
    return code


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
