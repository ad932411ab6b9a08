"""What the dashboard asks the database: filters, pages, counts, the order of a review. No Streamlit here."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")

from dashboards import export, queries
from dashboards.filters import GONE, NO_GENRE, LibraryFilter, prepare
from tagger import atlas
from tagger import review as worklist
from tagger.review import disagree
from tagger.store import Store
from tagger.store.columns import to_json
from tagger.tracks import GenreState, Status, TagEdit
from tests.collections_made import GENRES, MODEL_ID, Made, make_database, some_tracks


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("db") / "tagger.db"
    make_database(path, some_tracks(40))
    return path


@pytest.fixture
def store(db: Path) -> Iterator[Store]:
    with Store.open(db, read_only=True) as store:
        yield prepare(store)


def names(store: Store, **conditions: object) -> set[str]:
    which = LibraryFilter(**conditions)  # type: ignore[arg-type]
    found = queries.tracks(store, which, limit=1000)
    assert len(found) == queries.count(store, which) == queries.overview(store, which)["n"].sum()
    return set(found["path"])


def test_every_filter_finds_what_it_says(store: Store) -> None:
    made = {made.path.decode(): made for made in some_tracks(40)}
    expected = {
        "text": lambda m: m.title == "Song 17",
        "genre": lambda m: m.genre == "jazz",
        "status": lambda m: m.status == "uncertain",
        "confidence": lambda m: m.heard and 0.65 <= m.confidence <= 0.75,
        "artist": lambda m: m.artist == "Artist 3",
        "folder": lambda m: m.path.startswith(b"/music/pop/"),
        "years": lambda m: m.year is not None and 1970 <= m.year <= 1990,
        "tagged": lambda m: bool(m.in_file),
    }
    given: dict[str, object] = {
        "text": "song 17", "genre": "jazz", "status": "uncertain", "confidence": (0.65, 0.75),
        "artist": "artist 3", "folder": "/music/pop", "years": (1970, 1990), "tagged": True,
    }  # fmt: skip
    for name, fits in expected.items():
        wanted = {path for path, m in made.items() if fits(m)}
        assert wanted and names(store, **{name: given[name]}) == wanted, name
    both = {path for path, m in made.items() if expected["genre"](m) and expected["years"](m)}
    assert names(store, genre="jazz", years=(1970, 1990)) == both
    assert names(store, tagged=False) == {path for path, m in made.items() if not m.in_file}
    assert names(store, genre=NO_GENRE) == {path for path, m in made.items() if m.genre is None}
    wrong = {path for path, m in made.items() if m.genre and m.in_file == ("Opera",)}
    assert wrong and names(store, disagrees=True) == wrong
    above = tuple((genre, "Opera") for genre in GENRES if genre != "pop")
    popular = {path for path, m in made.items() if m.genre == "pop"} & wrong
    assert names(store, disagrees=True, parents=above) == popular < wrong
    assert names(store, disagrees=True, parents=(*above, ("pop", "Opera"))) == set()
    assert names(store, status=GONE) == set()


@pytest.mark.parametrize(
    "text", ['"', "a'b", "%", "_", "*", "NEAR(", "title:x", "\ud800", "\0", "]][", "ORDER BY"]
)
def test_no_text_of_a_person_breaks_a_question(store: Store, text: str) -> None:
    for field in ("text", "artist", "folder", "genre"):
        names(store, **{field: text})


def test_a_kind_of_a_genre_does_not_disagree() -> None:
    cases = {
        ("rock", ("Alternative Rock",)): False,
        ("hiphop", ("Hip-Hop/Rap",)): False,
        ("hiphop", ("Hip Hop",)): False,
        ("pop", ("Synthpop",)): False,
        ("rock", ("Jazz", "Classic Rock")): False,
        ("rock", ("Jazz",)): True,
        ("jazz", ("",)): True,
        ("jazz", ()): False,
    }
    assert {case: disagree(to_json(case[1]), case[0]) for case in cases} == cases


@pytest.mark.parametrize("order", queries.ORDERS)
def test_pages_follow_one_another(store: Store, order: str) -> None:
    pages = [
        queries.tracks(store, LibraryFilter(), order=order, limit=7, offset=at) for at in range(0, 49, 7)
    ]
    ids = [i for page in pages for i in page["id"]]
    assert len(ids) == len(set(ids)) == 41
    assert ids == list(queries.tracks(store, LibraryFilter(), order=order, limit=100)["id"])


def test_sorted_as_asked(store: Store) -> None:
    sure = queries.tracks(store, LibraryFilter(), order="most sure", limit=100)["confidence"].dropna()
    assert list(sure) == sorted(sure, reverse=True)
    unsure = queries.tracks(store, LibraryFilter(), order="least sure", limit=100)["confidence"].dropna()
    assert list(unsure) == sorted(unsure)
    fast = queries.tracks(store, LibraryFilter(), order="fastest", limit=100)["tempo_bpm"]
    assert list(fast.dropna()) == sorted(fast.dropna(), reverse=True) and fast.isna().iloc[-1]


def test_overview_counts(store: Store) -> None:
    found = queries.overview(store, LibraryFilter())
    made = some_tracks(40)
    by_genre = found.groupby("genre")["n"].sum()
    assert by_genre["jazz"] == sum(m.genre == "jazz" for m in made)
    assert by_genre[""] == sum(m.genre is None for m in made)
    assert found["n_with_tag"].sum() == sum(bool(m.in_file) for m in made)
    assert found.groupby("decade")["n"].sum()[1970] == sum(m.year in range(1970, 1980) for m in made)
    assert found["step"].dropna().between(0, queries.CONFIDENCE_STEPS - 1).all()


def test_choices(store: Store) -> None:
    assert set(queries.labels(store)) <= set(GENRES)
    assert queries.folders(store) == ["/music", "/music/bad", *(f"/music/{genre}" for genre in GENRES)]
    assert queries.years(store) == (1963, 2077)


def test_folders_of_names_that_are_no_text(tmp_path: Path) -> None:
    paths = [b"/m/\xff\n/a/b.mp3", b"/m/b.mp3", b"/m/z/c/d.mp3", b"/m/z/e.mp3", b"/m/~/f.mp3", b"/m/a0/g.mp3"]
    make_database(tmp_path / "t.db", [Made(path) for path in paths], root=b"/m")
    with Store.open(tmp_path / "t.db", read_only=True) as store:
        assert queries.folders(store) == sorted(["/m", r"/m/\xff\n", "/m/z", "/m/~", "/m/a0"])
        prepare(store)
        assert names(store, folder=r"/m/\xff\n") == {r"/m/\xff\n/a/b.mp3"}


def test_sureness_counts_what_would_be_written(store: Store) -> None:
    confidence, tagged = queries.sureness(store, MODEL_ID)
    made = [m for m in some_tracks(40) if m.heard]
    assert (confidence >= 0.75).sum() == sum(m.confidence >= 0.75 for m in made)
    assert tagged.sum() == sum(bool(m.in_file) for m in made)
    # The second genre has a ninth of the rest: at a margin no track has, none is sure enough.
    assert not queries.sureness(store, MODEL_ID, margin=0.99)[0].any()
    assert (queries.sureness(store, MODEL_ID, margin=0.5)[0] > 0).sum() == sum(
        m.confidence - (1 - m.confidence) / 9 >= 0.5 for m in made
    )


def test_a_review_begins_with_what_teaches_most(tmp_path: Path) -> None:
    def made(name: str, genre: str | None, sure: float, *tags: str) -> Made:
        return Made(f"/music/{name}.mp3".encode(), genre, sure, in_file=tags)

    tracks = [
        made("sure", "jazz", 0.9),
        made("agreed", "jazz", 0.9, "Acid Jazz"),
        made("unsure", None, 0.3),
        made("torn", None, 0.11),
        made("denied", "jazz", 0.95, "Metal"),
        made("hardly denied", "jazz", 0.7, "Metal"),
        Made(b"/music/bad.mp3", status=Status.UNREADABLE, reason="damaged", heard=False),
    ]
    ids = make_database(tmp_path / "t.db", tracks)
    with Store.open(tmp_path / "t.db") as store:
        prepare(store)
        found = [Path(store.track(i).path.decode()).stem for i in worklist.worklist(store)]  # type: ignore[union-attr]
        assert found == ["torn", "denied", "unsure", "hardly denied"]
        assert worklist.counts(store) == {"everything": 4, "uncertain": 2, "disagreeing": 2, "failed": 1}
        assert worklist.worklist(store, "failed") == [ids[-1]]
        assert worklist.worklist(store, limit=1) == [ids[3]]
        store.add_label(ids[3], "jazz", "user")
        store.add_label(ids[4], "Metal", "tags")  # not a person's word: still to be asked about
        assert worklist.worklist(store, limit=1) == [ids[4]]


def test_runs_and_what_they_changed(db: Path, tmp_path: Path) -> None:
    copy = tmp_path / "t.db"
    ids = make_database(copy, some_tracks(3))
    with Store.open(copy) as store:
        run_id = store.begin_run("write", model_id=MODEL_ID, options={}, version="1")
        edit = TagEdit(GenreState(("Rock", "Pop")), GenreState(("Jazz",)))
        edit_id = store.intend(run_id, ids[0], b"/music/\xff.mp3", edit, size_bytes=1, mtime_ns=1)
        store.settle(edit_id, "done", size_bytes=2, mtime_ns=2)
        store.finish_run(run_id, state="done", exit_code=1, counts={"tagged": 1, "failed": 2})
        found = queries.runs(store)
        assert list(found["id"]) == [2, 1]
        assert (
            found["n_written"].iloc[0] == 1
            and found["n_failed"].iloc[0] == 2
            and found["n_edits"].iloc[0] == 1
        )
        changed = queries.changes(store, run_id)
        assert list(changed["before"]) == ["Rock · Pop"] and list(changed["after"]) == ["Jazz"]
        assert queries.n_failed(store) == 1


def test_the_map_keeps_the_main_directions(store: Store) -> None:
    found = atlas.load_embeddings(store, MODEL_ID)
    at = atlas.flat(found)
    _, spread, _ = np.linalg.svd(found.vectors - found.vectors.mean(axis=0), full_matrices=False)
    raw = found.vectors.astype(np.float64)
    assert at.shape == (40, 2) and np.abs(at).max() == pytest.approx(1)
    assert abs(np.corrcoef(at.T)[0, 1]) < 1e-6
    length = np.linalg.norm(at, axis=0)
    expected = spread[:2] / np.array([np.abs((raw - raw.mean(0)) @ d).max() for d in _directions(raw)])
    assert length == pytest.approx(expected, rel=1e-4)
    points = queries.map_points(store, found.ids, at)
    assert list(points["id"]) == list(found.ids) and list(points["x"]) == list(at[:, 0])


def _directions(vectors: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][:2]


def test_the_map_of_hardly_anything() -> None:
    nothing = atlas.Embeddings(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
    assert atlas.flat(nothing).shape == (0, 2)
    one = atlas.Embeddings(np.ones(1, np.int64), np.zeros((1, 4), np.float32))
    assert atlas.flat(one).tolist() == [[0, 0]]


def test_csv_holds_what_was_found_and_no_formula(tmp_path: Path) -> None:
    db = tmp_path / "t.db"
    evil = '=HYPERLINK("http://x","y")'
    ids = make_database(
        db,
        [Made(b"/m/a\xff,\n.mp3", title=evil, artist="+1", in_file=("@x",)), Made(b"/m/b.mp3", "pop")],
        root=b"/m",
    )
    text = export.to_csv(db, LibraryFilter(), ()).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["path"] for row in rows] == [r"/m/a\xff,\n.mp3", "/m/b.mp3"]
    assert rows[0]["title"] == f"'{evil}" and rows[0]["artist"] == "'+1" and rows[0]["file_genres"] == "'@x"
    assert rows[1]["model_genre"] == "pop" and rows[1]["confidence"] == "0.8000"
    only = list(csv.DictReader(io.StringIO(export.to_csv(db, LibraryFilter(), ids[1:]).decode("utf-8-sig"))))
    assert [row["path"] for row in only] == ["/m/b.mp3"]
    assert len(export.to_csv(db, LibraryFilter(genre="pop"), ()).splitlines()) == 2


def test_playlist_holds_the_very_paths(tmp_path: Path) -> None:
    db = tmp_path / "t.db"
    made = [
        Made(b"/m/\xff.mp3", title="A\nB", artist="C"),
        Made(b"/m/line\nbreak.mp3"),
        Made("/m/ü.mp3".encode()),
    ]
    make_database(db, made, root=b"/m")
    lines = export.to_m3u8(db, LibraryFilter(), ()).split(b"\n")
    assert lines == [
        b"#EXTM3U",
        b"#EXTINF:30,C - A B",
        b"/m/\xff.mp3",
        "#EXTINF:30,ü.mp3".encode(),
        "/m/ü.mp3".encode(),
        b"",
    ]


def test_questions_need_no_streamlit() -> None:
    code = (
        "import sys; from dashboards import charts, trackcharts, modelcharts, evaluation, export, filters, "
        "listening, palette, pictures, queries, timeline; "
        "assert 'streamlit' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
