"""What the extra fields are called in each kind of tag.

As MusicBrainz Picard, Mp3tag and foobar2000 call such fields: a name of its own under one prefix where the
field is ours, the field that is there for it where it is the tempo.
"""

from __future__ import annotations

from tagger.tracks import ExtraTag

PREFIX = "TAGGER_"
MP4_MEAN = "com.apple.iTunes"


def own_name(tag: ExtraTag) -> str:
    """The name of a field of ours: in ID3 the description of a TXXX frame, in MP4 that of a ``----`` box."""
    return PREFIX + tag.upper()


_OWN = {tag: own_name(tag) for tag in ExtraTag if tag is not ExtraTag.TEMPO}

ID3_NAMES = {tag: f"TXXX:{name}" for tag, name in _OWN.items()} | {ExtraTag.TEMPO: "TBPM"}
"""As mutagen has them: frame, and description."""

PLAIN_NAMES = _OWN | {ExtraTag.TEMPO: "BPM"}
"""In Vorbis comments and APE tags."""

MP4_NAMES = {tag: f"----:{MP4_MEAN}:{name}" for tag, name in _OWN.items()} | {ExtraTag.TEMPO: "tmpo"}
"""As mutagen has them."""

ASF_NAMES = _OWN | {ExtraTag.TEMPO: "WM/BeatsPerMinute"}


def _tags(names: dict[ExtraTag, str]) -> dict[str, ExtraTag]:
    return {name.casefold(): tag for tag, name in names.items()}


ID3_TAGS, PLAIN_TAGS, MP4_TAGS, ASF_TAGS = map(_tags, (ID3_NAMES, PLAIN_NAMES, MP4_NAMES, ASF_NAMES))
"""For `tag_called`."""


def tag_called(name: str, tags: dict[str, ExtraTag]) -> ExtraTag | None:
    """The extra field of this name, in any case of the letters, if it is one."""
    return tags.get(name.casefold())
