"""Where the tags of a file begin and end, in the cases that have gone wrong."""

from __future__ import annotations

from pathlib import Path

from tagger.formats.containers import layout
from tagger.tags import read_tags
from tests import media


def test_an_ape_tag_whose_head_looks_like_id3v1_is_not_id3v1(tmp_path: Path) -> None:
    """An APE tag whose head begins 131 bytes before the end has the letters TAG where ID3v1 has them."""
    path = media.make(tmp_path / "a.wv", "wv", seconds=1, tags={"title": "wv", "artist": "Someone"})
    data = Path(tmp_path / "a.wv").read_bytes()
    assert data[-131:-123] == b"APETAGEX", "the file no longer shows the case"
    with (tmp_path / "a.wv").open("rb") as file:
        assert layout(file).trailer.id3v1 is None
    tags = read_tags(path)
    assert (tags.title, tags.artist, tags.genres) == ("wv", "Someone", ())
