"""Every error a user can meet. The message is one clear sentence: which file, what is wrong, what to do.

All derive from `TaggerError`; anything else that escapes is a bug of ours.
"""

from __future__ import annotations


class TaggerError(Exception):
    """Root of all expected errors."""


class AudioError(TaggerError):
    """The audio cannot be decoded completely (status ``unreadable``)."""


class TimeLimitError(TaggerError):
    """A track took longer than its time limit (status ``timed_out``)."""


class TagError(TaggerError):
    """The metadata cannot be read or written; the file is as it was (status ``failed``)."""


class UnknownKindError(TagError):
    """A kind of file whose tags are not known here, whatever the decoder makes of it (``unreadable``)."""


class RefusedError(TagError):
    """Writing was refused to protect the file, which is untouched (status ``refused``)."""


class ChangedMeanwhileError(TagError):
    """The file is no longer what was listened to; it was left alone (status ``changed_meanwhile``)."""


class ModelError(TaggerError):
    """A model bundle is missing, damaged or does not fit this program."""


class StoreError(TaggerError):
    """The database cannot be used."""


class LockedError(StoreError):
    """Another run holds the lock."""


class ConfigError(TaggerError):
    """The configuration file or an environment variable is wrong."""


class ScheduleError(TaggerError):
    """A run cannot be planned, or what is planned not be changed."""


class ListError(TaggerError):
    """A list of tracks (CSV, playlist) cannot be read or written."""


class ClusterError(TaggerError):
    """The Dask cluster cannot be reached, or is not fit to listen."""
