"""The views and the SQL of the README, as people use them with tools of their own."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tagger.store import Store
from tagger.tracks import GenreState, TagEdit
from tests.collections_made import Made, make_database, some_tracks

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", README, re.S)


@pytest.fixture
def conn(tmp_path: Path) -> sqlite3.Connection:
    ids = make_database(tmp_path / "t.db", [*some_tracks(30), Made(b"/music/\xff.mp3", in_file=("A", "Ü"))])
    with Store.open(tmp_path / "t.db") as store:
        store.set_labels(ids[3], ["Zouk", "Pop"], "user")
        store.add_label(ids[3], "Opera", "tags")
        run_id = store.begin_run("write", model_id=None, options={}, version="1")
        edit = TagEdit(GenreState(("Opera",)), GenreState(("Zouk", "Pop"), 17))
        store.settle(store.intend(run_id, ids[3], b"/music/x.mp3", edit, size_bytes=1, mtime_ns=1), "done",
                     size_bytes=2, mtime_ns=2)  # fmt: skip
        store.intend(run_id, None, b"/music/\xffgone.mp3", edit, size_bytes=1, mtime_ns=1)
        store.finish_run(run_id, state="done", exit_code=0, counts={"tagged": 1})
    return sqlite3.connect(f"file:{tmp_path / 't.db'}?mode=ro", uri=True)


def test_the_views_spell_out_what_is_there(conn: sqlite3.Connection) -> None:
    with closing(conn):
        conn.row_factory = sqlite3.Row
        rows = {row["path"]: dict(row) for row in conn.execute("SELECT * FROM library")}
        assert len(rows) == 32 and rows[r"/music/\xff.mp3"]["in_file"] == "A; Ü"
        said = next(row for row in rows.values() if row["said"])
        assert said["said"] == "Zouk; Pop" and said["in_file"] == "Zouk; Pop" and said["missing"] == 0
        assert (
            rows["/music/bad/broken.mp3"]["heard"] is None and rows["/music/bad/broken.mp3"]["in_file"] == ""
        )
        first, second = conn.execute("SELECT * FROM changes ORDER BY id")
        assert (first["before"], first["after"], first["state"]) == ("Opera", "Zouk; Pop", "done")
        assert first["at"].startswith("20") and second["state"] == "intended"
        assert bytes.fromhex(second["path"]) == b"/music/\xffgone.mp3"
        runs = conn.execute("SELECT run, kind, seconds FROM history ORDER BY run").fetchall()
        assert [(row["run"], row["kind"]) for row in runs] == [(1, "run"), (2, "write")]
        assert all(row["seconds"] >= 0 for row in runs)


@pytest.mark.parametrize("sql", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_of_the_readme_find_something(conn: sqlite3.Connection, sql: str) -> None:
    with closing(conn):
        for statement in filter(str.strip, sql.split(";\n")):
            assert conn.execute(statement).fetchall(), statement


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 1
