"""The database: one SQLite file that remembers every track, run and edit.

`Store` is the way in; the rows it gives are frozen dataclasses.
"""

from tagger.store.filters import EVERYTHING, TrackFilter
from tagger.store.library import Order
from tagger.store.rows import (
    EditRow,
    ErrorGroup,
    LabelRow,
    OutcomeRow,
    RunKind,
    RunRow,
    RunState,
    Summary,
    TrackRow,
)
from tagger.store.store import Store

__all__ = [
    "EVERYTHING",
    "EditRow",
    "ErrorGroup",
    "LabelRow",
    "Order",
    "OutcomeRow",
    "RunKind",
    "RunRow",
    "RunState",
    "Store",
    "Summary",
    "TrackFilter",
    "TrackRow",
]
