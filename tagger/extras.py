"""The fields beside the genre that are written when somebody asks for them: what they say, when they change.

They are written with a genre, in the very same edit, and never without one. ``TAGGER_…`` fields are this
program's: whenever it writes a genre they come to tell of that one, or go where nobody asks for them any
more. The tempo's field is everybody's: it is written only where there is none, and then stays. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tagger import __version__
from tagger.tracks import ExtraChange, ExtraTag, TagEdit


def extra_values(
    asked: Collection[ExtraTag], *, confidence: float, model_id: str, tempo_bpm: float | None
) -> dict[ExtraTag, str]:
    """What the fields that are asked for say of a track, as text; those that would say nothing are left out.

    Parameters
    ----------
    confidence
        Of the genre that is written, 0-1. Two digits, so that players that compare texts compare right.
    model_id
        Who heard it.
    tempo_bpm
        Beats a minute. Whole ones are written: MP4 and ID3 have no others.
    """
    known = {
        ExtraTag.CONFIDENCE: f"{confidence:.2f}",
        ExtraTag.MODEL: model_id,
        ExtraTag.VERSION: __version__,
        ExtraTag.TEMPO: "" if tempo_bpm is None else str(round(tempo_bpm)),
    }
    return {tag: known[tag] for tag in ExtraTag if tag in asked and known[tag] not in ("", "0")}


def plan_extras(
    found: Mapping[ExtraTag, tuple[str, ...] | None], values: Mapping[ExtraTag, str]
) -> tuple[ExtraChange, ...]:
    """What becomes of the extra fields of a file that gets a genre.

    Parameters
    ----------
    found
        As in `FileTags.extras`.
    values
        What is to be written: see `extra_values`.
    """
    changes = []
    for tag in ExtraTag:
        before = found.get(tag, ())
        after = (values[tag],) if tag in values else ()
        if before is None or before == after:
            continue
        if tag is ExtraTag.TEMPO and (not after or says_something(before)):
            continue
        changes.append(ExtraChange(tag, before, after))
    return tuple(changes)


def says_something(tempo: tuple[str, ...]) -> bool:
    """Whether a tempo is given: many programs write an empty one or 0 for "not known"."""
    return any(text.strip().strip("0.") for text in tempo)


def taken_back(edit: TagEdit, found: Mapping[ExtraTag, tuple[str, ...] | None]) -> tuple[ExtraChange, ...]:
    """What undoes the extra fields of an edit: those that somebody has changed since are left to them."""
    return tuple(
        ExtraChange(extra.tag, extra.after, extra.before)
        for extra in edit.extras
        if found.get(extra.tag, ()) == extra.after
    )
