"""One file listened to in a process of its own: a file that crashes the decoder costs a sentence, no more."""

from __future__ import annotations

import threading

from tagger.classify import listen
from tagger.pool import listen_all
from tagger.tracks import Heard, ListenTask

TIME_LIMIT_S = 120.0

_one_at_a_time = threading.Lock()
"""The pool's processes are shared by all who have the dashboard open."""


def hear(path: bytes, model_dir: str) -> Heard:
    """What a worker reports on a file; never raises for a bad one."""
    with _one_at_a_time:
        (heard,) = listen_all(
            [ListenTask(path, model_dir, time_limit_s=TIME_LIMIT_S)], worker=listen, n_jobs=1
        )
    return heard
