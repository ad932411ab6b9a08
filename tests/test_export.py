"""`tagger export` and `tagger import`: lists that come out whole, safe to open, and go in again."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagger.config import Config
from tagger.errors import ListError
from tagger.export import cell, csv_line, csv_lines, playlist_lines, uncell, write_file
from tagger.intake import match, read_lines
from tagger.store import Store
from tagger.store.rows import TrackRow
from tagger.tags import read_tags
from tagger.tracks import Status
from tests import media
from tests.collections_made import Made, make_database, some_tracks
from tests.inprocess import Here, here

__all__ = ["here"]

ODD = (b"/music/\xff\xfe.mp3", b"/music/line\nbreak.mp3", b"/music/tab\there.mp3", b"/music/#1.mp3",
       b"/music/ space .mp3", "/music/ü, \"quoted\"; 'x'.mp3".encode(), b"/music/a\\xff.mp3",
       b"/music/=1+1.mp3",
       b"/music/\xe2\x80\xae.mp3", b"/music/http:/x.mp3", b"/elsewhere/y.mp3")  # fmt: skip


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "tagger.db"
    path.parent.mkdir()
    make_database(path, [*some_tracks(20), *(Made(path, "jazz", 0.9, title="T", artist="A") for path in ODD)])
    return path


def rows(db: Path) -> list[TrackRow]:
    with Store.open(db, read_only=True) as store:
        return store.list_tracks()


# --- tempo ---


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [
        ("100-130", 100, 130),
        ("130-", 130, 999),
        ("-100", 0, 100),
        ("115", 112.7, 117.3),
        ("88.5-96", 88.5, 96),
    ],
)
def test_a_playlist_by_tempo(db: Path, here: Here, asked: str, low: float, high: float) -> None:
    lines = here("export", "--format", "jsonl", "--tempo", asked, "--sort", "-tempo").lines
    found = [line["tempo_bpm"] for line in lines]
    known = [row.tempo_bpm for row in rows(db) if row.tempo_bpm is not None]
    assert found == sorted((bpm for bpm in known if low <= bpm <= high), reverse=True) and found
    assert "no track answers" in here("ls", "--tempo", "300-").err.lower()


def test_the_order_by_tempo_ends_with_those_of_none(db: Path, here: Here) -> None:
    for order in ("tempo", "-tempo"):
        found = [line["tempo_bpm"] for line in here("ls", "--json", "--sort", order).lines]
        n = sum(bpm is not None for bpm in found)
        assert 0 < n < len(found) and found[n:] == [None] * (len(found) - n)
        assert found[:n] == sorted(found[:n], reverse=order == "-tempo")
    table = here("ls", "--sort", "tempo").out.splitlines()
    assert table[0].split()[:5] == ["in", "the", "file", "heard", "conf."] and " 85 " in table[1]


@pytest.mark.parametrize("wrong", ["fast", "130-120", "-", "", "1e400", "nan-5", "--5"])
def test_a_tempo_that_is_none(db: Path, here: Here, wrong: str) -> None:
    done = here("ls", "--tempo", wrong)
    assert done.code == 2 and "is no tempo: write it like" in done.err


# --- CSV ---


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cell_is_no_formula_and_comes_back(text: str) -> None:
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert uncell(cell(text)) == text


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=5))
def test_a_line_of_csv_comes_back(values: list[str]) -> None:
    (found,) = csv.reader(io.StringIO(csv_line(values).decode(), newline=""))
    assert [uncell(value) for value in found] == values


def test_csv_goes_out_is_filled_in_and_comes_back(db: Path, here: Here, tmp_path: Path) -> None:
    with Store.open(db) as store:
        store.set_labels(3, ["Zouk", "@Kompa"], "user")
        store.set_labels(22, ["=Jazz"], "user")
    out = tmp_path / "all.csv"
    done = here("export", "-o", out)
    assert done.code == 0 and "32 tracks" in done.err
    again = tmp_path / "again.db"
    make_database(again, [*some_tracks(20), *(Made(path, "jazz", 0.9) for path in ODD if b"\\" not in path)])
    lines = here("import", out, "--db", again, "--json").lines
    assert {line["genre"] for line in lines if line["taken"]} == {"Zouk; @Kompa", "=Jazz"}
    with Store.open(again, read_only=True) as store:
        assert store.said() == {3: ["Zouk", "@Kompa"], 22: ["=Jazz"]}
        assert {label.source for label in store.labels()} == {"import"}
        assert store.track(22).path == ODD[0], "it is not UTF-8"  # type: ignore[union-attr]
    repeated = here("import", out, "--db", again, "--json").lines
    assert not any(line["taken"] for line in repeated)
    assert sum(line["reason"] == "was said before" for line in repeated) == 2


@settings(deadline=None)
@given(
    odd=st.lists(st.binary(min_size=1, max_size=12).filter(lambda name: not {0, 47} & set(name)), unique=True)
)
def test_every_path_is_found_again(odd: list[bytes]) -> None:
    paths = [b"/m/" + name for name in odd if name not in (b".", b"..")]
    with Store.open(None) as store:
        run_id = store.begin_run("run", model_id=None, options={}, version="1")
        from tagger.tracks import Heard, Track

        for path in paths:
            heard = Heard(path, failure=Status.UNREADABLE, reason="made up")
            store.record_heard(run_id, Track(path, b"/m", 1, 1), heard, model_id="m")
        said = {row.id: ["Jazz"] for row in store.list_tracks()}
        text = b"".join(csv_lines(store.list_tracks(), said))
        found = match(store, _lines(text), Config(db=Path("x")), folder=b"/")
        refused = [line for line in found if line.failed]
        assert all(line.left_out == "several tracks are shown like this" for line in refused)
        assert all("\\" in line.path for line in refused), "only what is shown with a backslash is in doubt"
        taken = {line.track.path for line in found if line.track is not None and not line.left_out}
        assert len(taken) == len(paths) - len(refused)


def test_import_writes_into_files_where_asked(tmp_path: Path, here: Here) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    song, other = (
        media.make(folder / name, "flac", seconds=5, seed=len(name)) for name in ("a.flac", "bb.flac")
    )
    assert here("scan", folder).code == 0
    out = tmp_path / "list.csv"
    assert here("export", "-o", out).code == 0
    table = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8-sig"))))
    assert [os.fsencode(line["path"]) for line in table] == [song, other]
    out.write_bytes(csv_line(("path", "genre")) + csv_line((table[0]["path"], "Zouk, hiphop")))
    before = [Path(os.fsdecode(path)).read_bytes() for path in (song, other)]
    assert here("import", out, "--dry-run", "--write").code == 0
    assert [Path(os.fsdecode(path)).read_bytes() for path in (song, other)] == before
    done = here("import", out, "--write")
    assert done.code == 0 and "1 track written" in done.out
    assert read_tags(song).genres == ("Zouk", "Hip-Hop") and read_tags(other).genres == ()
    assert here("undo", "--yes").code == 0 and read_tags(song).genres == ()
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
        assert store.said() == {}, "the label goes with the genre"


def test_what_was_said_before_is_written_where_it_is_asked_for(tmp_path: Path, here: Here) -> None:
    (tmp_path / "music").mkdir()
    song = media.make(tmp_path / "music" / "a.flac", "flac", seconds=5)
    assert here("scan", tmp_path / "music").code == 0
    out = tmp_path / "list.csv"

    def take(genres: str, *options: str) -> str:
        out.write_bytes(csv_line(("path", "genre")) + csv_line((os.fsdecode(song), genres)))
        done = here("import", out, *options)
        assert done.code == 0, done.err
        return done.out

    assert "1 track taken" in take("Jazz, Blues")
    assert "1 passed over: was said before" in take("jazz; Blues, Jazz")
    assert "1 track would be taken" in take("Jazz, Blues", "--write", "--dry-run")
    assert "1 track written" in take("Jazz, Blues", "--write")
    assert read_tags(song).genres == ("Jazz", "Blues")
    again = take("Jazz, Blues", "--write")
    assert "1 track already as they should be" in again and "written" not in again
    # The first genre is the one that players show.
    assert "1 track taken" in take("Blues, Jazz") and "1 passed over" in take("Blues, Jazz")
    assert "1 track written" in take("Blues, Jazz", "--write")
    assert read_tags(song).genres == ("Blues", "Jazz")


def _lines(text: bytes) -> list:  # type: ignore[type-arg]
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        return read_lines(os.fsencode(file.name))


def test_import_says_what_it_leaves_out(db: Path, here: Here, tmp_path: Path) -> None:
    made = [row.path.decode() for row in rows(db) if row.path.startswith(b"/music/pop/")]
    (tmp_path / "a.csv").write_text(
        "Comment;PATH;Genre\r\n"
        f"x;{made[0]};Rock\r\n"
        f'"two\nlines";{made[0]};"Jazz, Blues"\r\n'
        "x;/music/nowhere.mp3;Pop\r\n"
        f"x;{made[1]};a/b\r\n"
        f"x;{made[1]};\r\n"
        "x;;Pop\r\n\r\n"
        "x;/music/a\\xff.mp3;Pop\r\n",
        encoding="utf-8-sig",
    )
    with Store.open(db) as store:  # a second path that looks the same
        run_id = store.begin_run("run", model_id=None, options={}, version="1")
        from tagger.tracks import Heard, Track

        twin = Heard(b"/music/a\xff.mp3", failure=Status.UNREADABLE, reason="x")
        store.record_heard(run_id, Track(twin.path, b"/music", 1, 1), twin, model_id="m")
    before = db.read_bytes()
    dry = here("import", "-n", tmp_path / "a.csv")
    assert dry.code == 1 and "would be taken" in dry.out and db.read_bytes() == before
    done = here("import", tmp_path / "a.csv", "--json")
    assert done.code == 1
    reasons = {line["line"]: (line["taken"], line["failed"], line["reason"]) for line in done.lines}
    assert reasons[3] == (True, False, "")
    assert reasons[2] == (False, False, "line 3 is about the same track, and counts")
    assert reasons[5][1] and "not in the database" in reasons[5][2]
    assert reasons[6][1] and "'/'" in reasons[6][2]
    assert reasons[7] == (False, False, "no genre is given")
    assert reasons[8][1] and "no path" in reasons[8][2]
    assert reasons[10][1] and "several tracks" in reasons[10][2]
    with Store.open(db, read_only=True) as store:
        assert list(store.said().values()) == [["Jazz", "Blues"]]
    table = here("import", tmp_path / "a.csv").out
    assert "left out because" in table and "1 passed over: was said before" in table
    assert "0 tracks taken, 4 refused" in table


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "must name the columns"), (b"path,artist\n", "must name the columns"),
     (b"path,genre\n\xff\xfe,x\n", "line 2 is not UTF-8"), (b'path,genre\n"a,b\n', "is not CSV")],
)  # fmt: skip
def test_what_is_no_list_is_a_sentence(
    db: Path, here: Here, tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    done = here("import", tmp_path / "a.csv")
    assert done.code == 3 and why in done.err
    none = here("import", tmp_path / "none.csv")
    assert none.code == 3 and "none.csv: cannot be read: there is no such file" in none.err
    assert here("import", tmp_path).code == 3


# --- playlists ---


def parsed(playlist: bytes) -> list[bytes]:
    """The entries, as players that know of no encoding read them."""
    head, *lines = playlist.split(b"\n")
    assert head == b"#EXTM3U"
    return [line for line in lines if line and not line.startswith(b"#")]


names = st.binary(min_size=1, max_size=20).filter(
    lambda name: not {0, 47} & set(name) and name not in (b".", b"..")
)


@settings(deadline=None)
@given(st.lists(st.lists(names, min_size=1, max_size=4), max_size=5), st.lists(names, max_size=3))
def test_every_path_of_a_playlist_is_the_very_path(ways: list[list[bytes]], folder: list[bytes]) -> None:
    paths = [b"/" + b"/".join(way) for way in ways]
    at = b"/" + b"/".join(folder)
    tracks = [_row(path) for path in paths]
    kept = [path for path in paths if not {10, 13} & set(path)]
    out: list[bytes] = []
    assert parsed(b"".join(playlist_lines(tracks, left_out=out.append))) == kept
    assert len(out) == len(paths) - len(kept)
    if {10, 13} & set(at):
        return
    relative = parsed(b"".join(playlist_lines(tracks, relative_to=at)))
    assert [os.path.normpath(os.path.join(at, path)) for path in relative] == kept
    assert all(path.startswith((b"./", b"../")) for path in relative)


def _row(path: bytes, **fields: object) -> TrackRow:
    import dataclasses

    empty = {field.name: None for field in dataclasses.fields(TrackRow)}
    return TrackRow(
        **(empty | {"id": 1, "path": path, "title": "", "artist": "", "duration_s": 61.5} | fields)
    )  # type: ignore[arg-type]


def test_extinf_is_one_line() -> None:
    (_, entry) = playlist_lines([_row(b"/a.mp3", title="A\nB\x85C", artist="#EXT ü")])
    assert entry == "#EXTINF:62,#EXT ü - A B C\n/a.mp3\n".encode()


def test_a_playlist_of_a_query(db: Path, here: Here, tmp_path: Path) -> None:
    out = tmp_path / "jazz.m3u8"
    done = here("export", "--genre", "jazz", "--min-confidence", "0.85", "--sort", "-confidence", "-o", out)
    assert done.code == 1 and "line break" in done.err
    wanted = [row.path for row in rows(db) if row.genre == "jazz" and (row.confidence or 0) >= 0.85]
    assert sorted(parsed(out.read_bytes())) == sorted(path for path in wanted if b"\n" not in path)
    assert here("export", "--format", "m3u8", "/music/pop").out.startswith("#EXTM3U\n#EXTINF:30,Artist")
    relative = here("export", "--genre", "pop", "--relative", "-o", tmp_path / "p.m3u8")
    assert relative.code == 0
    entries = parsed((tmp_path / "p.m3u8").read_bytes())
    assert entries and all(entry.startswith(b"../") and entry.endswith(b".mp3") for entry in entries)


def test_a_playlist_for_each_genre(db: Path, here: Here, tmp_path: Path) -> None:
    done = here("export", "--per-genre", "-o", tmp_path / "lists", "--min-confidence", "0.5")
    assert done.code == 1, "one path has a line break"
    found = {path.name: len(parsed(path.read_bytes())) for path in (tmp_path / "lists").iterdir()}
    by_genre: dict[str, int] = {}
    for row in rows(db):
        if row.genre and (row.confidence or 0) >= 0.5 and b"\n" not in row.path:
            by_genre[row.genre] = by_genre.get(row.genre, 0) + 1
    assert found["Disco.m3u8"] == by_genre["disco"] and sum(found.values()) == sum(by_genre.values())
    assert here("export", "--per-genre").code == 2


# --- JSON lines and files ---


def test_json_lines_are_those_of_ls(db: Path, here: Here) -> None:
    exported, listed = here("export", "--format", "jsonl", "/music"), here("ls", "/music", "--json")
    assert exported.out == listed.out and len(exported.lines) == 31
    paths = {os.fsencode(line["path"]) for line in exported.lines}
    assert paths == {row.path for row in rows(db)} - {ODD[-1]}
    assert here("ls", "/music/pop", "/music", "--limit", "3", "--json").lines == json.loads(
        json.dumps(here("ls", "/music/pop", "/music", "--json").lines[:3])
    )


def test_a_single_file_may_be_asked_for(db: Path, here: Here) -> None:
    path = os.fsdecode(rows(db)[0].path)
    (line,) = here("ls", "--json", path).out.splitlines()
    assert json.loads(line)["path"] == path
    assert here("export", "--format", "jsonl", path).out.splitlines() == [line]
    assert here("write", "-n", path).out.startswith("1 track in ")
    assert here("ls", os.path.dirname(path), path).code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("ls",),
        ("export",),
        ("export", "--per-genre", "-o", "made"),
        ("write",),
        ("undo", "--yes", "--in"),
        ("undo", "-n", "--in"),
    ],
    ids=" ".join,
)
def test_a_path_of_which_nothing_is_known_is_a_slip(
    db: Path, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = here(*command, "/nope")
    assert ran.code == 3 and "/nope: there is no such file or folder" in ran.err
    assert not (tmp_path / "made").exists()
    here_but_empty = here(*command, tmp_path)
    assert here_but_empty.code == 0 and "no such file" not in here_but_empty.err


def test_writing_goes_on_where_one_of_the_paths_is_a_slip(db: Path, here: Here) -> None:
    ran = here("write", "-n", "/nope", rows(db)[0].path)
    assert ran.code == 1 and "/nope: there is no such" in ran.err and "1 track in " in ran.out


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "list.csv"
    target.write_text("former")
    target.chmod(0o640)

    def broken() -> object:
        yield b"half"
        raise ListError("stopped")

    with pytest.raises(ListError, match="stopped"):
        write_file(bytes(target), broken())  # type: ignore[arg-type]
    assert target.read_text() == "former" and os.listdir(tmp_path) == ["list.csv"]
    link = tmp_path / "link.csv"
    link.symlink_to("list.csv")
    write_file(bytes(link), [b"new"])
    assert link.is_symlink() and target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    with pytest.raises(ListError, match=r"none/x\.csv: cannot be written"):
        write_file(bytes(tmp_path / "none" / "x.csv"), [b""])


@pytest.mark.parametrize("name", ["song.mp3", "list", "x.csv/"])
def test_no_song_is_written_over(db: Path, here: Here, tmp_path: Path, name: str) -> None:
    (tmp_path / "song.mp3").write_bytes(b"music")
    assert here("export", "-o", str(tmp_path) + "/" + name).code == 2
    assert here("export", "--format", "m3u8", "-o", tmp_path / "x.csv").code == 2
    assert (tmp_path / "song.mp3").read_bytes() == b"music"
