"""Is a file a candidate for music? By its suffix where that is well known, else by its content.

A suffix of music makes a file a candidate without opening it: whether it really is audio shows when it is
decoded. A suffix of anything else keeps it closed. Only what is left is opened.
"""

from __future__ import annotations

import os

from tagger.errors import TagError
from tagger.files import open_regular, read_at
from tagger.formats.containers import layout
from tagger.formats.frames import mpeg_frame_length

AUDIO_SUFFIXES = frozenset(
    b".mp3 .mp2 .mpga .flac .fla .ogg .oga .opus .spx .m4a .m4b .m4p .m4r .mp4 .aac .wav .wave .bwf .rf64"
    b" .aif .aiff .aifc .wma .asf .ape .wv .mpc .mp+ .mpp .dsf .tta".split()
)
"""Lower case. ``.mp4`` is among them: much of it is music, and where it is a film its outcome says so."""

OTHER_SUFFIXES = frozenset(
    # pictures, documents, what rippers and shops put beside music
    b".jpg .jpeg .jpe .png .gif .bmp .webp .tif .tiff .heic .avif .svg .ico .psd .pdf .epub .mobi .doc .docx"
    b" .odt .rtf .txt .md .nfo .log .cue .toc .accurip .m3u .m3u8 .pls .xspf .wpl .asx .fpl .lrc .srt .htm"
    b" .html .url .webloc .xml .json .toml .yaml .yml .csv .tsv .ini .cfg .conf .plist .desktop .lnk"
    b" .torrent .sfv .md5 .sha1 .sha256 .ffp .st5 .par2 .itl .itdb .asd .reapeaks .pk .sfk .ovw"
    # programs, archives, databases, disk images
    b" .py .sh .bat .exe .dll .so .dmg .pkg .apk .zip .rar .7z .gz .bz2 .xz .zst .tar .tgz .db .sqlite"
    b" .sqlite3 .db-wal .db-shm .db-journal .iso .bin .img .nrg .mdf .dat .pak"
    # films, scores and projects: sound, but not a track
    b" .avi .mkv .mka .mov .webm .wmv .m4v .mpg .mpeg .vob .ts .flv .ogv .3gp .mid .midi .kar .mod .xm .it"
    b" .s3m .als .flp .logic .sf2 .sfz .musicxml .mxl .mscz .ptb .gp5"
    # not finished, or a copy of what is there already
    b" .part .partial .crdownload .download .aria2 .!ut .!qb .tmp .temp .bak .old .orig .swp .lock".split()
)
"""Lower case. Files of these suffixes are never opened."""

_LIKELY = dict.fromkeys(OTHER_SUFFIXES, False) | dict.fromkeys(AUDIO_SUFFIXES, True)
_DOT = ord(".")

_FILM_BRANDS = (b"qt  ", b"M4V ", b"M4VH", b"M4VP", b"f4v ")
"""Major brands of MP4 files that hold films; ``M4A`` and the general brands may hold music."""


def by_suffix(name: bytes) -> bool | None:
    """Whether a file of this name is a candidate; None where only its content can tell.

    A backup copy, ``song.mp3~``, is not.
    """
    # Asked of every file of a collection: `splitext` takes three times as long, and is right about more.
    dot = name.rfind(b".")
    suffix = name[dot:] if dot > 0 and name[0] != _DOT else os.path.splitext(name)[1]
    likely = _LIKELY.get(suffix.lower())
    return False if likely is None and name.endswith(b"~") else likely


def by_content(path: bytes) -> bool:
    """Whether a file's content begins as a supported kind of audio does, after the tags in front of it.

    Stricter than `tagger.formats.containers.layout`: nothing in the name says music, so frames of audio
    somewhere inside are not enough: a game's data file may hold them, and must not get a tag. Raw AAC is not
    taken.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    """
    try:
        with open_regular(path) as file:
            found = layout(file)
            start = found.body[0]
            head = read_at(file, start, 12)
            following = read_at(file, start + mpeg_frame_length(head), 4)
    except TagError:  # no longer a regular file
        return False
    match found.container:
        case "mp3":
            # Eleven set bits begin much else, UTF-16 text for one: another frame of its kind must follow.
            return (
                mpeg_frame_length(head) > 0
                and mpeg_frame_length(following) > 0
                and (head[1] ^ following[1]) & 0xFE == 0
                and (head[2] ^ following[2]) & 0x0C == 0
            )
        case "aac":  # raw AAC has hardly more to know it by than that
            return False
        case "mp4":
            return head[8:12] not in _FILM_BRANDS
        case container:
            return bool(container)
