"""Genres as people spell them in tags, and the one spelling each is learnt under.

Case, spaces and hyphens are `tagger.genres.genre_key`'s business; here are other words for the same genre,
and the words that are no genre.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tagger.genres import genre_key

_SAME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Alternative": ("alt", "alternative music"),
        "Alternative Rock": ("alt rock", "alt. rock", "alternrock", "alternative & rock"),
        "Blues": ("the blues",),
        "Chanson": ("chanson française", "chanson francaise", "french chanson"),
        "Children's Music": ("children", "childrens", "childrens music", "kids"),
        "Classical": ("classic", "classical music", "classique", "klassik", "clásica", "classica"),
        "Country": ("country music", "country & western", "country and western"),
        "Drum & Bass": (
            "drum and bass",
            "drum n bass",
            "drum 'n' bass",
            "drum'n'bass",
            "d&b",
            "dnb",
            "d'n'b",
        ),
        "Electronic": ("electronica", "electro", "electronic music", "electronique", "elektronisch"),
        "Folk": ("folk music",),
        "Hard Rock": ("hardrock",),
        "Heavy Metal": ("classic heavy metal",),
        "Hip-Hop": (
            "hiphop music",
            "rap",
            "rap & hip hop",
            "rap & hip-hop",
            "hip hop & rap",
            "hip-hop & rap",
        ),
        "House": ("house music",),
        "Indie Rock": ("indierock",),
        "Jazz": ("jazz music",),
        "Latin": ("latin music", "latino"),
        "Metal": ("metal music",),
        "Pop": ("pop music",),
        "Progressive Rock": ("prog", "prog rock", "progrock", "progressive"),
        "Punk": ("punk rock",),
        "R&B": ("rnb", "r'n'b", "r n b", "r & b", "rhythm and blues", "rhythm & blues"),
        "Reggae": ("reggae music",),
        "Rock": ("rock music",),
        "Rock & Roll": ("rock and roll", "rock n roll", "rock 'n' roll", "rock'n'roll"),
        "Singer-Songwriter": ("singer & songwriter", "singer/songwriter"),
        "Soundtrack": ("ost", "original soundtrack", "score", "film score", "soundtracks", "bande originale"),
        "Techno": ("techno music",),
        "Trip-Hop": ("triphop",),
        "World": ("world music", "worldmusic", "musique du monde", "weltmusik"),
    }
)
_CANONICAL = MappingProxyType(
    {genre_key(word): name for name, words in _SAME.items() for word in (name, *words)}
)

_NO_GENRE = frozenset(
    map(
        genre_key,
        (
            "", "-", "?", "audiobook", "audio book", "audiobooks", "books & spoken", "default", "genre",
            "hörbuch", "hörspiel", "interview", "lecture", "misc", "miscellaneous", "mixed", "music", "n/a",
            "na", "no genre", "none", "null", "other", "others", "podcast", "podcasts", "sound clip",
            "sound effects", "speech", "spoken", "spoken word", "unclassifiable", "undefined", "unknown",
            "unknown genre", "unspecified", "untagged", "various", "voice memo",
        ),
    )
)  # fmt: skip


def canonical(name: str) -> str:
    """The spelling under which a genre is learnt; a genre of nobody else's keeps its own.

    Examples
    --------
    >>> canonical("drum n bass"), canonical("RNB"), canonical("zouk ")
    ('Drum & Bass', 'R&B', 'zouk')
    """
    return _CANONICAL.get(genre_key(name), name.strip())


def is_genre(name: str) -> bool:
    """False for what stands in genre fields without being one: ``"Other"``, ``"Podcast"``, ``"Unknown"``.

    Speech is nobody's genre: a head taught it would give it to quiet music.
    """
    return genre_key(name) not in _NO_GENRE
