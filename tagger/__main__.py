"""`tagger` and `python -m tagger`: signals are met before anything else is imported."""

from __future__ import annotations

import sys
from contextlib import suppress

from tagger import interrupts, streams

INTERRUPTED = 130
_GOODBYE = "Interrupted; what was done so far is kept, and the next run does the rest."


def main() -> None:
    """Run the command line and exit: with its code, or 130 when a signal ended it."""
    interrupts.install()
    try:
        streams.prepare()
        from tagger.cli import run_command

        code = run_command()
        interrupts.finish()
    except BaseException as error:
        # An import cut short by the signal may end in another exception than the signal's.
        if not isinstance(error, KeyboardInterrupt) and not interrupts.requested():
            raise
        code = INTERRUPTED
        with suppress(OSError):  # a closed terminal hears nothing
            print(f"tagger: {_GOODBYE}", file=sys.stderr)
        streams.unwritable()
        interrupts.finish()
        # CPython remembers a KeyboardInterrupt that passed through an exec() of source (dataclasses make
        # their methods by one) and then ends `python -m` by SIGINT, whatever the code; another exec()
        # makes it forget.
        exec("")
    sys.exit(code)


if __name__ == "__main__":
    main()
