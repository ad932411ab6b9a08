"""The command `tagger`: parse, one call, print, exit code. Heavy imports stay inside the commands."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from tagger import __version__
from tagger.cli import (
    configure,
    correcting,
    dashboard,
    explaining,
    exploring,
    exporting,
    finetuning,
    learning,
    library,
    listening,
    live,
    mending,
    models,
    runs,
    schedule,
    watching,
)
from tagger.errors import ConfigError, LockedError, TaggerError
from tagger.streams import unwritable

USAGE, NOTHING_DONE, LOCKED = 2, 3, 75


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tagger")
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
    correcting.import_csv,
    exporting.export,
    exploring.review,
    exploring.similar,
    exploring.make_map,
    explaining.explain,
    mending.undo,
    mending.verify,
    mending.prune,
    library.status,
    library.ls,
    library.errors,
    library.runs,
    listening.predict,
    live.listen,
    learning.learn,
    finetuning.finetune,
    models.models,
    listening.doctor,
    dashboard.dashboard,
    watching.watch,
    schedule.schedule,
    configure.config,
):
    cli.add_command(_command)


def run_command() -> int:
    """Run the command line that `sys.argv` holds and return the exit code.

    0 all done, 1 some tracks failed or a folder could not be read, 2 wrong usage or configuration, 3 nothing
    could be done or what was done not be said, 75 another run holds the lock.

    Raises
    ------
    KeyboardInterrupt
        A signal asked the program to stop (see `tagger.interrupts`).
    """
    try:
        code = _run()
    except OSError as error:
        if not (why := unwritable(error)):
            raise
        code = NOTHING_DONE
    else:
        why = unwritable()
    return _say(f"The output cannot be written: {why}.", code or NOTHING_DONE) if why else code


def _run() -> int:
    """The exit code of the command, whose errors are said."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:  # click's word for KeyboardInterrupt, and for a prompt left by Ctrl-D
        raise KeyboardInterrupt from None
    except SystemExit as left:
        code = left.code
    except click.ClickException as error:
        error.show()
        return USAGE
    except LockedError as error:
        return _say(str(error), LOCKED)
    except ConfigError as error:
        return _say(str(error), USAGE)
    except TaggerError as error:
        return _say(str(error), NOTHING_DONE)
    except BrokenPipeError:
        # `tagger ls | head`: nobody reads any more, and the interpreter's flush must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    with suppress(OSError):  # nothing can be said where standard error itself is full
        click.echo(f"tagger: {message}", err=True)
    return code
