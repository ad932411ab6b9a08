"""From an exception while listening to the status of a track and its reason."""

from __future__ import annotations

from tagger.errors import (
    AudioError,
    ChangedMeanwhileError,
    RefusedError,
    TaggerError,
    TimeLimitError,
    UnknownKindError,
)
from tagger.tracks import Status, display

_STATUS = {
    AudioError: Status.UNREADABLE,
    UnknownKindError: Status.UNREADABLE,
    TimeLimitError: Status.TIMED_OUT,
    RefusedError: Status.REFUSED,
    ChangedMeanwhileError: Status.CHANGED_MEANWHILE,
    TaggerError: Status.FAILED,
}


def explain_failure(path: bytes, error: BaseException) -> tuple[Status, str]:
    """The status of a file that could not be listened to, and the sentence that says why."""
    name = display(path)
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status, str(error)
    if isinstance(error, MemoryError):
        return Status.UNREADABLE, f"{name}: decoding it takes more memory than a worker may have"
    return Status.FAILED, f"{name}: {type(error).__name__} while listening, which is a bug: please report it"
