"""What a collection teaches: people's words, the genres in files, never our own; and `tagger learn` on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tagger.learning.canon import canonical, is_genre
from tagger.learning.lessons import Lessons, gather
from tagger.learning.shelf import choices, heads_dir
from tagger.store import Store
from tagger.tracks import GenreState, TagEdit
from tests.heads_made import base, collection, sounds
from tests.inprocess import Here, here

__all__ = ["here"]

CARD, REFERENCE = base()
N_DIMS = REFERENCE.embedding.shape[1]
X = sounds(REFERENCE, 40, seed=5, strange=2.5)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tagger.db"


def found(db: Path, *, from_tags: bool = True, min_tracks: int = 2, **names: str) -> Lessons:
    with Store.open(db, read_only=True) as store:
        return gather(store, CARD, N_DIMS, names, from_tags=from_tags, min_tracks=min_tracks)


def genres(lessons: Lessons) -> dict[str, int]:
    return {one.genre: one.n_people + one.n_tags for one in lessons.taught}


def wrote(store: Store, track_id: int, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """The program writes a genre."""
    row = store.track(track_id)
    assert row is not None
    run = store.begin_run("write", model_id=CARD.model_id, options={}, version="1")
    edit = TagEdit(GenreState(before), GenreState(after))
    edit_id = store.intend(run, track_id, row.path, edit, size_bytes=row.size_bytes, mtime_ns=1)
    store.settle(edit_id, "done", size_bytes=row.size_bytes, mtime_ns=2, file_genres=after)
    store.finish_run(run, state="done", exit_code=0, counts={})


def test_spellings_are_one_genre_and_the_models_own_names_too(db: Path) -> None:
    said = (
        "Zouk",
        "zouk",
        "ZOUK ",
        "Hip Hop",
        "rap",
        "Rap & Hip-Hop",
        "Other",
        "Podcast",
        "drum n bass",
        "D&B",
    )
    collection(db, CARD, [(f"A{i}", "pop", X[i], (name,)) for i, name in enumerate(said)])
    lessons = found(db)
    assert genres(lessons) == {"hiphop": 3, "Zouk": 3, "Drum & Bass": 2}
    assert sorted(set(lessons.genre)) == ["Drum & Bass", "Zouk", "hiphop"]
    spelled = {one.genre: set(one.spellings) for one in lessons.taught}
    assert spelled["Zouk"] == {"Zouk", "zouk", "ZOUK"}


def test_a_genre_that_the_user_named_is_the_models(db: Path) -> None:
    collection(db, CARD, [(f"A{i}", "pop", X[i], ("Kuduro",)) for i in range(3)])
    assert genres(found(db, hiphop="Kuduro")) == {"hiphop": 3}
    assert genres(found(db)) == {"Kuduro": 3}


def test_of_a_branch_and_of_several_the_lowest_counts(db: Path) -> None:
    in_files = [
        ("Electronic > House",), ("Electronic/House",), ("Electronic", "House"), ("House", "Electronic"),
        ("pop > Zouk",), ("Nobody > Knows",), ("Jazz", "House"), ("House/Jazz",),
    ]  # fmt: skip
    collection(db, CARD, [(f"A{i}", "pop", X[i], names) for i, names in enumerate(in_files)])
    parents = {"House": "Electronic"}
    with Store.open(db) as store:
        lessons = gather(store, CARD, N_DIMS, {}, from_tags=True, min_tracks=1, parents=parents)
        assert genres(lessons) == {"House": 4, "Zouk": 1, "Nobody > Knows": 1, "jazz": 1, "House/Jazz": 1}
        store.set_labels(8, ["Electronic", "House"], "user")
        store.set_labels(7, ["House", "Jazz"], "user")
        lessons = gather(store, CARD, N_DIMS, {}, from_tags=False, min_tracks=1, parents=parents)
        assert genres(lessons) == {"House": 2}, "of unrelated ones the first"
    plain = genres(found(db))
    assert plain["House"] == 2 and plain["Electronic/House"] == plain["Electronic > House"] == 1


def test_the_first_real_genre_of_a_file_counts(db: Path) -> None:
    collection(db, CARD, [(f"A{i}", "pop", X[i], ("Unknown", "Zouk", "Pop")) for i in range(2)])
    assert genres(found(db)) == {"Zouk": 2}


def test_few_tracks_or_one_artist_teach_nothing(db: Path) -> None:
    tracks = [("A", "pop", X[i], ("Zouk",)) for i in range(6)] + [("B", "pop", X[7], ("Fado",))]
    collection(db, CARD, tracks)
    lessons = found(db)
    assert {one.genre: one.why_not for one in lessons.taught} == {
        "Zouk": "all by one artist, or nameless in one folder",
        "Fado": "fewer than 2 tracks",
    }
    assert lessons.genre == ()


def test_without_from_tags_only_people_count_and_the_last_word_goes(db: Path) -> None:
    ids = collection(db, CARD, [(f"A{i}", "pop", X[i], ("Pop",)) for i in range(4)])
    with Store.open(db) as store:
        store.add_label(ids[0], "Zouk", "import")
        store.add_label(ids[0], "Fado", "user")
        store.add_label(ids[1], "Fado", "user")
        store.add_label(ids[2], "Zouk", "import")
    assert genres(found(db, from_tags=False)) == {"Fado": 2, "Zouk": 1}
    assert genres(found(db)) == {"Fado": 2, "Zouk": 1, "pop": 1}


def test_what_the_program_wrote_is_nobodys_word(db: Path) -> None:
    ids = collection(db, CARD, [(f"A{i}", "pop", X[i], ()) for i in range(3)])
    ids += collection(db, CARD, [])
    with Store.open(db) as store:
        for track_id in ids:
            wrote(store, track_id, (), ("Metal",))
        wrote(store, ids[0], ("Metal",), ("Metal", "Zouk"))  # appended by us, too
    assert genres(found(db)) == {}


def test_what_a_person_had_counts_beside_what_was_appended_and_after_an_undo(db: Path) -> None:
    ids = collection(db, CARD, [(f"A{i}", "pop", X[i], ("Zouk",)) for i in range(3)])
    with Store.open(db) as store:
        wrote(store, ids[0], ("Zouk",), ("Zouk", "Metal"))
        wrote(store, ids[1], ("Zouk",), ("Metal",))
        (edit,) = store.edits_of_track(ids[1])
        row = store.track(ids[1])
        assert row is not None
        run = store.begin_run("undo", model_id=None, options={}, version="1")
        back = TagEdit(edit.edit.after, edit.edit.before)
        edit_id = store.intend(run, ids[1], row.path, back, size_bytes=1, mtime_ns=2, undoes=edit.id)
        store.settle(edit_id, "done", size_bytes=1, mtime_ns=3, file_genres=("Zouk",))
    assert genres(found(db)) == {"Zouk": 3}


def test_a_copy_of_what_we_wrote_is_not_a_persons_either(db: Path) -> None:
    ids = collection(
        db, CARD, [("A", "pop", X[0], ()), ("B", "pop", X[1], ("Metal",)), ("C", "pop", X[2], ())]
    )
    with Store.open(db) as store:
        wrote(store, ids[0], (), ("Metal",))
        digest = store.track(ids[0])
        assert digest is not None
        store._conn.execute("UPDATE tracks SET digest = ? WHERE id = ?", (digest.digest, ids[1]))
    assert genres(found(db)) == {}


def test_artists_albums_and_folders_keep_tracks_together(db: Path) -> None:
    names = ("Kassav", "KASSAV'", "Kassav feat. X", "", "", "Various Artists", "Other One")
    ids = collection(db, CARD, [(name, "pop", X[i], ("Zouk",)) for i, name in enumerate(names)])
    with Store.open(db) as store:
        store._conn.execute("UPDATE tracks SET album = 'Best of' WHERE id IN (?, ?)", (ids[3], ids[5]))
    group = found(db).group.tolist()
    assert group[0] == group[1] == group[2]
    assert group[3] == group[5]
    assert len({group[0], group[3], group[4], group[6]}) == 4


def test_one_sound_under_two_names_stays_together(db: Path) -> None:
    ids = collection(db, CARD, [(f"A{i}", "pop", X[i], ("Zouk",)) for i in range(3)])
    with Store.open(db) as store:
        store._conn.execute("UPDATE tracks SET digest = x'00' WHERE id IN (?, ?)", (ids[0], ids[2]))
    group = found(db).group.tolist()
    assert group[0] == group[2] != group[1]


def test_embeddings_of_an_earlier_version_are_counted_and_left_out(db: Path) -> None:
    tracks = [(f"A{i}", "pop", X[i] if i else X[i][:96], ("Zouk",)) for i in range(3)]
    collection(db, CARD, tracks)
    lessons = found(db)
    assert (len(lessons.genre), lessons.n_stale, lessons.n_unheard) == (2, 1, 0)
    with Store.open(db, read_only=True) as store:
        assert len(store.other_embeddings(N_DIMS)) == 1


@pytest.mark.parametrize(
    ("name", "shown"), [("rnb", "R&B"), ("Alt. Rock", "Alternative Rock"), ("zouk", "zouk")]
)
def test_canonical_names(name: str, shown: str) -> None:
    assert canonical(name) == shown
    assert canonical(shown) == shown
    assert is_genre(shown)


# ---- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def taught(db: Path) -> Iterator[Path]:
    """Twenty tracks of zouk by ten artists that the model takes for reggae, and some that nobody labelled."""
    tracks = [(f"Z{i // 2}", "reggae", X[i], ("Zouk",)) for i in range(20)]
    tracks += [(f"U{i}", "reggae", X[20 + i], ()) for i in range(6)]
    collection(db, CARD, tracks)
    yield db


LEARN = ("learn", "--model", "gtzan", "--from-tags")


def test_learn_shows_saves_and_is_used(taught: Path, here: Here) -> None:
    shelf = heads_dir(taught)
    dry = here(*LEARN, "--dry-run")
    assert (dry.code, choices(shelf)) == (0, [])
    assert "Nothing was saved." in dry.out
    before = here("write", "--model", "gtzan", "--dry-run", "--json")
    assert "Zouk" not in {line["genre"] for line in before.lines}

    done = here(*LEARN)
    assert done.code == 0, done.err
    assert "mine@1 is in use from now on" in done.out
    assert choices(shelf) == ["mine@1"]
    after = here("write", "--model", "gtzan", "--threshold", "0.3", "--dry-run", "--json")
    nobodys = [line for line in after.lines if not line["before"]]
    assert len(nobodys) == 6
    assert sum(line["genre"] == "Zouk" for line in nobodys) >= 4

    listed = here("models")
    assert "mine@1" in listed.out
    assert f"on {CARD.model_id}" in listed.out
    assert here("models", "back").code == 0
    again = here("write", "--model", "gtzan", "--dry-run", "--json")
    assert [(line["genre"], line["genres"]) for line in again.lines] == [
        (line["genre"], line["genres"]) for line in before.lines
    ]


def test_learn_for_programs(taught: Path, here: Here) -> None:
    ran = here(*LEARN, "--json")
    (line,) = ran.lines
    assert (ran.code, line["head"]) == (0, "mine@1")
    assert line["report"]["accuracy"] > 0.8
    assert line["report"]["in_use"] == CARD.model_id
    card = json.loads((heads_dir(taught) / "mine" / "1" / "card.json").read_text())
    assert card["base_sha256"] == CARD.weights.sha256
    assert card["labels"] == {"Zouk": 20}
    assert card["metrics"]["accuracy"] == line["report"]["accuracy"]


def test_what_is_no_better_is_refused_unless_forced(db: Path, here: Here) -> None:
    rng = np.random.default_rng(0)
    x = REFERENCE.embedding[rng.integers(0, len(REFERENCE.embedding), 24)]
    collection(db, CARD, [(f"A{i}", "jazz", x[i], ("Jazz",)) for i in range(24)])
    refused = here(*LEARN)
    assert refused.code == 1
    assert "Nothing was saved; --force" in refused.out
    assert choices(heads_dir(db)) == []
    assert here(*LEARN, "--force").code == 0
    assert choices(heads_dir(db)) == ["mine@1"]


def test_nothing_to_learn_from_is_said_in_one_sentence(db: Path, here: Here) -> None:
    collection(db, CARD, [("A", "jazz", X[0], ())])
    ran = here(*LEARN)
    assert ran.code == 3
    assert "too little to learn from" in ran.err
    assert here("learn", "--name", "../x").code == 3
