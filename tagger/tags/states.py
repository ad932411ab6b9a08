"""The genre as a file stores it: what it reads as, and what it becomes when other genres are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mutagen.id3 import TCON

from tagger.formats import mp4
from tagger.formats.reading import cleaned
from tagger.tracks import IGNR, ONLY_ID3V1, GenreState

_NO_ID3V1_GENRE = 255


def genre_state(names: Sequence[str], *, like: GenreState) -> GenreState:
    """The state in which a file has these genres, where it is in the state `like` now.

    Parameters
    ----------
    names : sequence of str
        Names, or values of `like` that are to stay.
    like : GenreState
        The file's present state. Where it has an ID3v1 tag, that gets the number of the first name, or "none"
        (255) if it has no number for it; where a RIFF INFO list holds a genre that is not among the names,
        that becomes the first of them.
        Where ID3v1 is all it has, the number alone is set if there is one for a single name.
    """
    if like.values and like.values[0].startswith(ONLY_ID3V1):
        return _only_id3v1(names)
    marks = (mp4.GNRE, IGNR)
    values = [name for name in names if not name.startswith(marks)]
    if len(values) == len(names) - 1 and not [value for value in like.values if not value.startswith(marks)]:
        # The only genre it had stood in a place that cannot hold another beside it: it is spelled out.
        (mark,) = (name for name in names if name.startswith(marks))
        values = [*readable([mark.removeprefix(IGNR)]), *values]
    number = None if like.id3v1 is None else _id3v1_number("".join(readable(values[:1])))
    if values and any(value.startswith(IGNR) for value in like.values):
        stays = next((name for name in names if name.startswith(IGNR)), IGNR + values[0])
        values.insert(0, stays)
    return GenreState(tuple(values), number)


def _only_id3v1(names: Sequence[str]) -> GenreState:
    wanted = tuple(dict.fromkeys(filter(None, (name.removeprefix(ONLY_ID3V1) for name in names))))
    number = _id3v1_number(wanted[0]) if len(wanted) == 1 else _NO_ID3V1_GENRE
    fits = not wanted or number != _NO_ID3V1_GENRE  # else `tagger.formats.splice` will refuse it
    return GenreState((ONLY_ID3V1 + "".join(wanted),) if fits else wanted, number)


def _id3v1_number(name: str) -> int:
    numbers = {genre.casefold(): number for number, genre in enumerate(TCON.GENRES)}
    return numbers.get(name.casefold(), _NO_ID3V1_GENRE)


def readable(values: Iterable[str]) -> tuple[str, ...]:
    """Names for stored values: ``"(17)"``, ``"17"`` and ``"gnre:18"`` are Rock, ``"RX"`` is Remix."""
    plain = [
        str(int(value[len(mp4.GNRE) :]) - 1) if value.startswith(mp4.GNRE) else value
        for value in values
        if value != f"{mp4.GNRE}0"  # which is no genre
    ]
    return tuple(dict.fromkeys(cleaned(name for name in TCON(text=plain).genres if name != "Unknown")))
