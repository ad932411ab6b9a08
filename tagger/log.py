"""A log file that keeps itself small, for runs nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tagger.errors import ConfigError, TaggerError

if TYPE_CHECKING:
    import logging

MAX_BYTES = 1 << 20
"""Size at which a new file is begun."""
KEPT = 3
"""Former files that are kept, as FILE.1 to FILE.3."""

Say = Callable[[str], None]


@contextmanager
def logged(path: Path | None) -> Iterator[Say]:
    """A log to write lines to; what ends the block by raising is logged, too. No file, no log.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    if path is None:
        yield lambda _line: None
        return
    import logging  # with its handlers a twentieth of what a run with nothing to do takes to start

    handler = _handler(path)
    logger = logging.Logger("tagger.log")  # of its own: no other library's lines get in
    logger.addHandler(handler)
    say: Say = lambda line: logger.info("%s", line)  # noqa: E731
    try:
        yield say
    except TaggerError as error:
        say(str(error))
        raise
    except KeyboardInterrupt:
        say("Interrupted.")
        raise
    finally:
        try:
            handler.close()
        except OSError:
            handler.handleError(logging.makeLogRecord({}))


def _complain(path: Path, error: BaseException | None) -> None:
    why = error.strerror if isinstance(error, OSError) else error
    with suppress(OSError):
        print(f"tagger: The log file {path} cannot be written any more: {why}.", file=sys.stderr)


def _handler(path: Path) -> logging.Handler:
    """Appends to the file; says once that it cannot, and costs nobody a run.

    Raises
    ------
    ConfigError
        The file cannot be opened.
    """
    import logging.handlers

    class Handler(logging.handlers.RotatingFileHandler):
        failed = False

        def handleError(self, _record: logging.LogRecord) -> None:
            if not self.failed:
                self.failed = True
                _complain(path, sys.exception())

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = Handler(
            path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8", errors="surrogateescape"
        )
    except OSError as error:
        raise ConfigError(f"The log file {path} cannot be written: {error.strerror}.") from error
    handler.setFormatter(logging.Formatter("%(asctime)s [%(process)d] %(message)s", "%Y-%m-%d %H:%M:%S"))
    return handler
