"""The plug-in within real beets, in processes of its own, on a library of its own with small real files."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mutagen
import numpy as np
import pytest

from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.tracks import Heard, TrackAnalysis
from tests import media
from tests.conftest import Ran, environment, tree

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("beets") is None, reason="beets is not installed: pip install '.[beets]'"
)

ANYTHING = "  threshold: 0\n  margin: 0\n  jobs: 2\n"
"""Settings with which whatever was heard is given: made-up music is no genre of anybody's."""

NO_WRITING = "import:\n  write: no"

Beet = Callable[..., Ran]


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An album of three tracks, the second of which has a genre already, and a file that is no music."""
    folder = tmp_path_factory.mktemp("album")
    for seed, (container, genre) in enumerate((("flac", ""), ("mp3", "Zouk"), ("m4a-aac", ""))):
        tags = {"title": f"Song {seed}", "artist": "Someone", "album": "Album"}
        if genre:
            tags["genre"] = genre
        suffix = media.CONTAINERS[container].suffix
        media.make(folder / f"{seed}.{suffix}", container, seconds=5, seed=seed, tags=tags)
    return folder


@pytest.fixture
def beet(tmp_path: Path) -> Beet:
    """Run `beet` with a library of its own and these lines in the plug-in's section."""
    home = tmp_path / "beets"
    home.mkdir()

    def run(*args: object, section: str = ANYTHING, settings: str = "", code: int = 0) -> Ran:
        (home / "config.yaml").write_text(
            f"directory: {tmp_path / 'music'}\nlibrary: {home / 'library.db'}\nplugins: taggergenre\n"
            f"{settings}\ntaggergenre:\n{section}"
        )
        done = subprocess.run(
            [sys.executable, "-m", "beets", *map(str, args)],
            env=environment(tmp_path) | {"BEETSDIR": str(home)},
            capture_output=True, stdin=subprocess.DEVNULL, timeout=240, check=False,
        )  # fmt: skip
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ran.err
        assert ran.code == code, ran.err
        return ran

    return run


def in_files(folder: Path) -> dict[str, list[str]]:
    """The genre in each file, by its title."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        tags = mutagen.File(path, easy=True)
        found[tags["title"][0]] = list(tags.get("genre", []))
    return found


def in_database(beets: Path, table: str = "items") -> dict[str, list[str]]:
    """The genres in beets' database, by title or by album."""
    name = {"items": "title", "albums": "album"}[table]
    with closing(sqlite3.connect(beets / "library.db")) as database:
        rows = database.execute(f"SELECT {name}, genres FROM {table}").fetchall()
    return {title: [genre for genre in (genres or "").split("\\\u2400") if genre] for title, genres in rows}


def test_the_command_fills_what_is_missing_and_pretend_changes_nothing(
    beet: Beet, songs: Path, tmp_path: Path
) -> None:
    beet("import", "-A", "-q", songs, section="  auto: no\n")
    music, home = tmp_path / "music", tmp_path / "beets"
    assert in_files(music) == {"Song 0": [], "Song 1": ["Zouk"], "Song 2": []}
    before, rows = tree(music), in_database(home)
    assert rows == in_files(music)

    pretended = beet("taggergenre", "-p").out.splitlines()
    assert len(pretended) == 2 and all("sounds like" in line for line in pretended)
    assert tree(music) == before and in_database(home) == rows

    beet("taggergenre")
    files, said = in_files(music), in_database(home)
    assert files == said and all(said.values()) and said["Song 1"] == ["Zouk"]

    (broken,) = music.rglob("*.flac")
    media.truncate(broken, 0.5)
    there = broken.read_bytes()
    forced = beet("taggergenre", "-f", "title:Song 0", ",", "title:Song 1", settings=NO_WRITING, code=1)
    assert "1 of 2 tracks failed" in forced.err and broken.name in forced.err
    assert broken.read_bytes() == there
    assert in_files(music)["Song 1"] == ["Zouk"] != in_database(home)["Song 1"]


def test_import_gives_genres_in_the_names_of_the_section(beet: Beet, songs: Path, tmp_path: Path) -> None:
    names = "".join(f"    {genre}: Tune\n" for genre in read_card(shipped_model_dir("eleven")).genres)
    section = f"{ANYTHING}  mode: append\n  whitelist: [tune, Zouk]\n  names:\n{names}"
    beet("import", "-A", "-q", songs, section=section)
    home = tmp_path / "beets"
    assert in_database(home) == {"Song 0": ["tune"], "Song 1": ["Zouk", "tune"], "Song 2": ["tune"]}
    assert in_database(home, "albums") == {"Album": ["tune"]}
    assert in_files(tmp_path / "music")["Song 0"] == [], "beets writes nothing imported as it is"


def test_several_genres_and_those_above_in_the_names_of_the_section(
    beet: Beet, songs: Path, tmp_path: Path
) -> None:
    """What is above what comes from tagger's own settings; its names and its mode do not."""
    labels = read_card(shipped_model_dir("eleven")).genres
    own = tmp_path / "config" / "tagger" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(
        'mode = "overwrite"\nthreshold = 0.999\nmargin = 0\nwrite_parents = true\n'
        '[genres]\nEverything = "Wrong"\n'
        "[parents]\n" + "".join(f'{label} = "Everything"\n' for label in labels)
    )
    section = "  jobs: 2\n  max_genres: 1\n  names: {everything: Music}\n"
    beet("import", "-A", "-q", songs, section=section)
    home = tmp_path / "beets"
    assert in_database(home) == {"Song 0": ["Music"], "Song 1": ["Zouk"], "Song 2": ["Music"]}
    names = "".join(f"    {genre}: Tune\n" for genre in labels)
    section = f"{ANYTHING}  write_parents: no\n  names:\n{names}"
    beet("taggergenre", "-f", "title:Song 0", section=section, settings=NO_WRITING)
    section = f"{ANYTHING}  parents: {{Tune: Sound, 90s: Years}}\n  names:\n{names}"
    beet("taggergenre", "-f", "title:Song 2", section=section, settings=NO_WRITING)
    assert in_database(home) == {"Song 0": ["Tune"], "Song 1": ["Zouk"], "Song 2": ["Tune", "Sound"]}


def test_a_wrong_setting_ends_an_import_before_it_begins(beet: Beet, songs: Path, tmp_path: Path) -> None:
    ran = beet("import", "-A", "-q", songs, section="  threshold: high\n", code=1)
    assert "taggergenre.threshold is 'high'" in ran.err
    assert not in_database(tmp_path / "beets")
    assert not (tmp_path / "music").exists()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mode", "overwrite", "must be missing or append; to replace, set force"),
        ("mode", "own", "must be missing or append"),
        ("model", "nosuch", "nosuch"),
        ("jobs", -1, "taggergenre.jobs is -1"),
        ("whitelist", [3], "taggergenre.whitelist"),
        ("names", {"jazz": "Jazz/Funk"}, "taggergenre.names"),
        ("max_genres", 9, "taggergenre.max_genres is 9"),
        ("write_parents", "perhaps", "taggergenre.write_parents"),
        ("parents", {1990: 3}, "taggergenre.parents has 3 for '1990'"),
    ],
)
def test_wrong_settings_are_named(key: str, value: object, said: str) -> None:
    import beets
    from beets.ui import UserError

    from beetsplug.taggergenre import TaggerGenre

    plugin = TaggerGenre()
    try:
        beets.config["taggergenre"][key].set(value)
        with pytest.raises(UserError, match=re.escape(said)):
            plugin._ready()
    finally:
        beets.config.clear()


def test_as_many_genres_as_the_settings_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import beets
    from beets.library import Item

    from beetsplug.taggergenre import TaggerGenre

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TAGGER_DB", str(tmp_path / "tagger.db"))
    card = read_card(shipped_model_dir("eleven"))
    likely = {"jazz": 0.55, "blues": 0.3}
    p = np.array([likely.get(genre, 0.15 / (len(card.genres) - 2)) for genre in card.genres])
    logits = (np.log(p) * card.calibration.temperature)[None].astype(np.float16)
    heard = Heard(b"/a.mp3", analysis=TrackAnalysis(logits, np.zeros(3, np.float32), 30.0, 30.0))
    monkeypatch.setattr("tagger.pool.listen_all", lambda *_, **__: (one for one in [heard]))

    said: list[str] = []
    monkeypatch.setattr("beets.ui.print_", said.append)

    def given(**settings: str) -> str:
        for name, value in settings.items():
            monkeypatch.setenv(f"TAGGER_{name.upper()}", value)
        item = Item(path=b"/a.mp3", title="A", artist="B", album="C")
        assert TaggerGenre()._fill([item], force=False, pretend=True, write=False) == 0
        return said.pop().partition(": ")[2].partition(" (")[0]

    try:
        beets.config["format_item"].set("$title")
        assert given(threshold="0.5", margin="0") == "Jazz"
        assert given(max_genres="2") == "Jazz, Blues"
        assert given(parents="jazz=Old Music") == "Jazz, Blues", "not written unless asked for"
        assert given(write_parents="true") == "Jazz, Blues, Old Music"
        assert given(threshold="0.8", parents="jazz=Old Music,blues=Old Music") == "Old Music, Jazz"
    finally:
        beets.config.clear()


def test_settings_of_tagger_hold_where_the_section_is_silent_but_for_what_is_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import beets

    from beetsplug.taggergenre import TaggerGenre

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "tagger").mkdir()
    (tmp_path / "tagger" / "config.toml").write_text(
        'mode = "overwrite"\nthreshold = 0.8\nmodel = "gtzan"\nwhitelist = ["Jazz"]\n'
    )
    try:
        settings = TaggerGenre()._ready().settings
    finally:
        beets.config.clear()
    assert (settings.mode, settings.threshold, settings.model) == ("missing", 0.8, "gtzan")
    assert settings.whitelist == ()
