"""A log file that keeps itself small, for runs nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tagger.errors import ConfigError, TaggerError

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
    import logging.handlers  # a twentieth of what a run with nothing to do takes to start

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8", errors="surrogateescape"
        )
    except OSError as error:
        raise ConfigError(f"The log file {path} cannot be written: {error.strerror}.") from error
    handler.setFormatter(logging.Formatter("%(asctime)s [%(process)d] %(message)s", "%Y-%m-%d %H:%M:%S"))
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
        handler.close()
