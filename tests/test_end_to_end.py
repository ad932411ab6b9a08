"""The main job on real files of every container: tag, do nothing the second time, undo."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import tinytag

from tests import media
from tests.conftest import CONTAINERS, Ran, Tagger, tree

ANY = ("--threshold", "0", "--margin", "0")
"""Synthetic music sounds like nothing in particular: take the best guess."""


@pytest.fixture
def library(made_library: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_library, tmp_path / "music"))


def genre_of(path: Path) -> str | None:
    """As a reader reads it that has nothing to do with ours."""
    return tinytag.TinyTag.get(path).genre


READ_BY_TINYTAG = frozenset(CONTAINERS) - {"wv", "tta", "dsf"}
"""tinytag does not know the others."""


def test_a_library_is_tagged_left_alone_and_put_back(library: Path, tagger: Tagger) -> None:
    before = tree(library)

    dry = tagger("run", "--dry-run", *ANY, "--json", library)
    assert dry.code == 0, dry.err
    assert {line["status"] for line in dry.lines} == {"tagged"}
    assert tree(library) == before, "a dry run changed a file"
    assert not (library.parent / "data").exists(), "a dry run made a database"

    first = tagger("run", *ANY, "--json", library)
    assert first.code == 0, first.err
    assert len(first.lines) == len(CONTAINERS)
    for name, line in first.by_name().items():
        assert line["status"] == "tagged", line
        assert line["before"] == []
        assert line["after"] == [line["genre"]]
        assert abs(sum(line["genres"].values()) - 1) < 0.01
        assert line["genres"] == dry.by_name()[name]["genres"], "a dry run hears something else"
    for path in library.iterdir():
        if path.stem in READ_BY_TINYTAG:
            assert genre_of(path) == first.by_name()[path.name]["genre"], path

    written = tree(library)
    second = tagger("run", *ANY, "--json", library)
    assert second.code == 0
    assert {line["status"] for line in second.lines} == {"unchanged"}
    assert tree(library) == written, "the second run touched a file"

    undone = tagger("undo", "--yes", "--json")
    assert undone.code == 0, undone.err
    assert len(undone.lines) == len(CONTAINERS)
    assert all(line["after"] == [] for line in undone.lines)
    for path in library.iterdir():
        if path.stem in READ_BY_TINYTAG:
            assert genre_of(path) is None, path

    third = tagger("run", *ANY, "--json", library)
    assert {line["status"] for line in third.lines} == {"unchanged"}, "what was undone is not written again"

    assert tagger("status", "--json").lines[0]["status"] == {"unchanged": len(CONTAINERS)}
    nothing = tagger("undo", "--yes")
    assert nothing.code == 3, "there is nothing left to undo, and undoing is no such thing"
    undo_id = tagger("runs", "--json").lines[1]["run"]
    redone = tagger("undo", undo_id, "--yes", "--json")
    assert {line["status"] for line in redone.lines} == {"tagged"}, "an undo can be undone"
    assert tagger("status", "--json").lines[0]["status"] == {"tagged": len(CONTAINERS)}
    for path in library.iterdir():
        if path.stem in READ_BY_TINYTAG:
            assert genre_of(path) == first.by_name()[path.name]["genre"], path


def test_undo_leaves_what_somebody_changed_since(library: Path, tagger: Tagger) -> None:
    import mutagen

    tagger("run", *ANY, library)
    by_hand = library / "flac.flac"
    file = mutagen.File(by_hand)
    file["genre"] = "Krautrock"
    file.save()
    lines = tagger("undo", "--yes", "--json").by_name()
    assert lines["flac.flac"]["status"] == "kept"
    assert "Krautrock" in lines["flac.flac"]["reason"]
    assert genre_of(by_hand) == "Krautrock"
    assert genre_of(library / "mp3.mp3") is None


def test_a_dry_run_leaves_the_database_as_it_is(library: Path, tagger: Tagger) -> None:
    tagger("run", *ANY, library)
    media.make(library / "new.mp3", "mp3", seconds=5, seed=99)
    data, music = tree(library.parent / "data"), tree(library)
    dry = tagger("run", "-n", *ANY, "--mode", "overwrite", "--json", library)
    assert dry.by_name()["new.mp3"]["status"] == "tagged"
    assert tree(library) == music
    assert tree(library.parent / "data") == data


def test_moved_copied_retagged_and_deleted_files(library: Path, tagger: Tagger) -> None:
    import mutagen

    first = tagger("run", *ANY, "--json", library).by_name()
    (library / "new").mkdir()
    (library / "mp3.mp3").rename(library / "new" / "moved.mp3")
    shutil.copy2(library / "flac.flac", library / "copy.flac")
    file = mutagen.File(library / "ogg-opus.opus")
    file["title"] = "Another title"
    file.save()
    (library / "wav.wav").unlink()

    plain = tagger("run", *ANY, library)
    assert plain.code == 0, plain.err
    assert "missing" in plain.out
    assert tagger("status", "--json").lines[0]["missing"] == 1
    rows = {os.path.basename(line["path"]): line for line in tagger("ls", "--json").lines}
    assert len(rows) == len(CONTAINERS), "one is gone, one is a copy"
    assert rows["moved.mp3"]["genre"] is not None
    assert rows["moved.mp3"]["file_genres"] == first["mp3.mp3"]["after"]
    assert rows["copy.flac"]["genres"] == rows["flac.flac"]["genres"]
    assert rows["ogg-opus.opus"]["title"] == "Another title"
    assert [os.path.basename(line["path"]) for line in tagger("ls", "--missing", "--json").lines] == [
        "wav.wav"
    ]


def test_scan_then_write_is_run(library: Path, tagger: Tagger) -> None:
    before = tree(library)
    assert tagger("scan", library).code == 0
    assert tree(library) == before
    written = tagger("write", *ANY, "--json", library)
    assert written.code == 0, written.err
    assert {line["status"] for line in written.lines} == {"tagged"}
    assert genre_of(library / "mp3.mp3") == written.by_name()["mp3.mp3"]["genre"]


def test_another_mode_decides_again_without_listening(library: Path, tagger: Tagger) -> None:
    media.make(library / "mine.mp3", "mp3", seconds=5, seed=50, tags={"genre": "Krautrock"})
    assert tagger("run", *ANY, "--json", library).by_name()["mine.mp3"]["status"] == "kept"
    appended = tagger("run", *ANY, "--mode", "append", "--json", library).by_name()
    assert appended["mine.mp3"]["after"] == ["Krautrock", appended["mine.mp3"]["genre"]]
    assert appended["flac.flac"]["status"] == "unchanged"
    replaced = tagger("run", *ANY, "--mode", "overwrite", "--json", library).by_name()
    assert replaced["mine.mp3"]["after"] == [replaced["mine.mp3"]["genre"]]


def test_the_users_names_are_written(library: Path, tagger: Tagger, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    labels = next(line for line in tagger("models", "--json").lines if line["used"])["genres"]
    config.write_text("[genres]\n" + "".join(f'{label} = "My {label.title()}"\n' for label in labels))
    lines = tagger("run", "--config", config, *ANY, "--json", library).lines
    assert all(line["genre"].startswith("My ") for line in lines)
    assert genre_of(
        library / "flac.flac",
    ).startswith("My ")  # type: ignore[union-attr]


def test_names_that_are_not_utf8(tmp_path: Path, tagger: Tagger) -> None:
    folder = os.fsencode(tmp_path / "music")
    os.mkdir(folder)
    name = b"-caf\xe9\n \xf0\x9f\x8e\xb5.mp3"
    media.make(os.path.join(folder, name), "mp3", seconds=5)
    ran = tagger("run", *ANY, "--json", folder)
    assert ran.code == 0, ran.err
    assert os.fsencode(ran.lines[0]["path"]) == os.path.join(folder, name)
    assert ran.lines[0]["status"] == "tagged"
    for command in (["ls"], ["status"], ["errors"], ["runs"], ["run", "-v", folder], ["undo", "--yes"]):
        assert tagger(*command).code == 0


def test_undo_of_a_folder_and_of_a_genre(library: Path, tagger: Tagger) -> None:
    (library / "jazz").mkdir()
    (library / "mp3.mp3").rename(library / "jazz" / "mp3.mp3")
    tagger("run", *ANY, library)
    dry = tagger("undo", "--in", library / "jazz", "--dry-run", "--json")
    assert [os.path.basename(line["path"]) for line in dry.lines] == ["mp3.mp3"]
    assert genre_of(library / "jazz" / "mp3.mp3")
    assert tagger("undo", "--in", library / "jazz", "--yes").code == 0
    assert genre_of(library / "jazz" / "mp3.mp3") is None
    genre = genre_of(library / "flac.flac")
    assert genre
    assert tagger("undo", "--genre", genre.upper(), "--yes").code == 0
    assert genre_of(library / "flac.flac") is None
    assert tagger("undo", "--genre", genre).code == 2, "nobody can be asked in a test"


def test_mode_own_replaces_our_values_but_no_persons(
    made_library: Path, tmp_path: Path, tagger: Tagger
) -> None:
    from tagger.store import Store

    library = tmp_path / "music"
    library.mkdir()
    for name in ("mp3.mp3", "flac.flac"):
        shutil.copy(made_library / name, library)
    tagger("run", *ANY, library)
    with Store.open(tmp_path / "data" / "tagger.db") as store:
        corrected = store.find(os.fsencode(library / "flac.flac"))
        assert corrected is not None
        store.add_label(corrected.id, "Krautrock", "user")
    config = tmp_path / "config.toml"
    labels = next(line for line in tagger("models", "--json").lines if line["used"])["genres"]
    config.write_text("[genres]\n" + "".join(f'{label} = "My {label.title()}"\n' for label in labels))
    again = tagger("run", "--mode", "own", "--config", config, *ANY, "--json", library).by_name()
    assert again["mp3.mp3"]["status"] == "tagged"
    assert again["mp3.mp3"]["after"][0].startswith("My ")
    assert again["flac.flac"]["status"] == "kept", "a person has had a word on it"


def test_quiet_prints_only_trouble_and_names_the_file(library: Path, tagger: Tagger) -> None:
    assert tagger("run", "--quiet", *ANY, library) == Ran(0, "", "")
    (library / "broken.mp3").write_text("no music at all")
    ran = tagger("run", "--quiet", *ANY, library)
    assert (ran.code, ran.out) == (1, "")
    assert f"{library / 'broken.mp3'}: unreadable: " in ran.err
    assert tagger("run", "--quiet", *ANY, library) == Ran(0, "", ""), "told once, not every night"
    assert tagger("run", "--quiet", "--retry", *ANY, library).code == 1
