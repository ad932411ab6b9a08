"""What readers of tags share: what they find, a bounded view of a file for mutagen, texts made readable."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tagger.errors import RefusedError, TagError, TaggerError
from tagger.files import os_failure, read_at
from tagger.formats.containers import Extent
from tagger.formats.id3_frames import UnsafeError
from tagger.formats.splice import TAG_LIMIT_BYTES
from tagger.tracks import IGNR, ExtraTag, display


@dataclass(slots=True)
class Found:
    """What a reader finds, filled in as it goes along."""

    values: tuple[str, ...] = ()
    """The genre as stored, as in `GenreState`."""
    genres: tuple[str, ...] = ()
    title: str = ""
    artist: str = ""
    album: str = ""
    date: str = ""
    note: str = ""
    id3v1: int | None = None
    extras: dict[ExtraTag, tuple[str, ...] | None] = field(default_factory=dict)
    """As in `FileTags`."""
    others: list[Any] = field(default_factory=list)
    """Everything except the genre and the extra fields, in a form that `feed` can hash."""

    def fill(self, texts: Mapping[str, str]) -> None:
        """Take over what is still empty."""
        for name, text in texts.items():
            if not getattr(self, name):
                setattr(self, name, text)

    def fill_from(self, lists: Mapping[str, Iterable[object]], **keys: str) -> None:
        """Take over what is still empty from lists of values; several keys, divided by spaces, in order."""
        for name, candidates in keys.items():
            for key in candidates.split(" "):
                self.fill({name: joined(lists.get(key, ()))})

    def extra(self, tag: ExtraTag, texts: Iterable[str]) -> None:
        """Values of an extra field, after those found before."""
        found = self.extras.get(tag, ())
        self.extras[tag] = None if found is None else (*found, *texts)

    def secondary(self, where: str, genres: tuple[str, ...]) -> None:
        """A genre in a place that counts only while the proper one is empty."""
        if genres and not self.genres:
            self.genres = genres
            self.note = f"the genre is only in {where}"
        elif genres and {genre.casefold() for genre in genres} != {genre.casefold() for genre in self.genres}:
            self.note = f"{where} says {joined(genres)!r} beside {joined(self.genres)!r}"

    def id3v1_texts(self, data: bytes) -> None:
        """The texts of an ID3v1 tag, and its genre byte."""
        self.id3v1 = data[127]
        self.others.append(data[:127])
        places = {"title": (3, 33), "artist": (33, 63), "album": (63, 93), "date": (93, 97)}
        self.fill({name: decoded(data[start:end]) for name, (start, end) in places.items()})

    def riff_info(self, data: bytes) -> None:
        """The texts of a RIFF INFO list."""
        texts, at = {}, 0
        while at + 8 <= len(data):
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            texts[data[at : at + 4]] = decoded(data[at + 8 : at + 8 + length])
            at += 8 + length + length % 2
        names = {"title": b"INAM", "artist": b"IART", "album": b"IPRD", "date": b"ICRD"}
        self.fill({name: texts.get(key, "") for name, key in names.items()})
        if b"IGNR" in texts:
            self.values = (IGNR + texts[b"IGNR"], *self.values)
            self.secondary("the RIFF INFO list", cleaned([texts[b"IGNR"]]))
            texts[b"IGNR"] = ""
        self.others.append(texts)


class Window(io.RawIOBase):
    """A part of a file as a file for mutagen, which believes sizes that it finds in files.

    Python makes room for as much as is asked for before it reads; here nobody can ask for more than there is.
    """

    def __init__(self, file: BinaryIO, extent: Extent) -> None:
        self._file, (self._start, self._end) = file, extent
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end - self._start}[whence]
        if base + offset < 0:
            raise ValueError("seek before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._end - self._start - self._at)
        size = left if size is None or size < 0 else min(size, left)
        if size > TAG_LIMIT_BYTES:
            raise UnsafeError("its tag is larger than 64 MB")
        data = read_at(self._file, self._start + self._at, size)
        self._at += len(data)
        return data


@contextmanager
def guarded(path: bytes, doing: str) -> Iterator[None]:
    """Turn whatever goes wrong with a file into one error that names it."""
    try:
        yield
    except TaggerError:
        raise
    except UnsafeError as error:
        raise RefusedError(f"{display(path)}: {error}, so it was left alone") from error
    except OSError as error:
        if error.errno is None:  # mutagen's errors of old descend from it
            raise TagError(f"{display(path)}: cannot {doing}: the tags are damaged ({error})") from error
        raise os_failure(doing, path, error) from error
    except Exception as error:
        # Damaged files make mutagen raise IndexError, ValueError, struct.error, MemoryError and others too.
        reason = str(error) or type(error).__name__
        raise TagError(f"{display(path)}: cannot {doing}: the tags are damaged ({reason})") from error


def grouped(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Values by key in lower case, in order."""
    lists: dict[str, list[Any]] = {}
    for key, value in pairs:
        lists.setdefault(key.lower(), []).append(value)
    return lists


def joined(texts: Iterable[object]) -> str:
    """Several values as one text to show."""
    return ", ".join(dict.fromkeys(cleaned(map(str, texts))))


def cleaned(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts without blanks around them, and without empty ones."""
    return tuple(filter(None, (text.strip(" \0\r\n\t") for text in texts)))


def decoded(data: bytes) -> str:
    """A text up to its NUL, in UTF-8 if it is that, else in Latin-1."""
    data = data.partition(b"\0")[0]
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        return data.decode("latin-1").strip()


def feed(digest: Any, value: object) -> None:
    """Hash what mutagen's objects hold: nested lists, dicts, texts, bytes, objects by their attributes."""
    digest.update(type(value).__name__.encode() + b":")
    if isinstance(value, (bytes, bytearray)):
        digest.update(len(value).to_bytes(8, "little") + value)
    elif isinstance(value, (list, tuple)):
        digest.update(len(value).to_bytes(8, "little"))
        for item in value:
            feed(digest, item)
    elif isinstance(value, dict):
        feed(digest, list(value.items()))
    elif isinstance(value, (str, int)) or not hasattr(value, "__dict__"):
        text = repr(value).encode("utf-8", "backslashreplace")
        digest.update(len(text).to_bytes(8, "little") + text)
        return
    if hasattr(value, "__dict__"):
        feed(digest, vars(value))
