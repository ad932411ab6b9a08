"""The extra fields: written with a genre and never without, in the same journalled edit, undone with it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import mutagen
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen import id3 as m
from tinytag import TinyTag

from tagger.extras import extra_values, plan_extras, says_something, taken_back
from tagger.formats.digest import audio_digest
from tagger.formats.id3 import set_genre
from tagger.formats.names import ASF_NAMES, ID3_NAMES, MP4_NAMES, PLAIN_NAMES
from tagger.job import Told
from tagger.replace import FileStat, write_genre
from tagger.store import Store
from tagger.store.columns import edit_from_json, edit_to_json, state_from_json
from tagger.tags import read_tags
from tagger.tracks import ExtraChange, ExtraTag, FileTags, GenreState, Outcome, Status, TagEdit
from tagger.undo import undo_run
from tagger.verify import verify
from tagger.writing import Subject, apply_edit, edit_of, settle_unfinished
from tests import media
from tests.collections_made import Made, make_database
from tests.conftest import CONTAINERS, Tagger, tree
from tests.inprocess import Here, here
from tests.test_end_to_end import ANY

__all__ = ["here"]

CONFIDENCE, MODEL, VERSION, TEMPO = ExtraTag
VALUES = {CONFIDENCE: "0.87", MODEL: "eleven@1", VERSION: "0.1.0", TEMPO: "128"}
OTHERS = {CONFIDENCE: "0.55", VERSION: "0.2.0", TEMPO: "90"}
NAMES = {
    "mp3": ID3_NAMES, "wav": ID3_NAMES, "aiff": ID3_NAMES, "tta": ID3_NAMES, "dsf": ID3_NAMES,
    "m4a-aac": MP4_NAMES, "m4a-alac": MP4_NAMES, "wma": ASF_NAMES,
}  # fmt: skip
README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "t.db") as store:
        yield store


def copy_of(made_library: Path, name: str, folder: Path) -> Path:
    return Path(shutil.copy(made_library / f"{name}.{media.CONTAINERS[name].suffix}", folder))


def write(store: Store, path: Path, genre: str, values: dict[ExtraTag, str] | None = None) -> int:
    """Write a genre as a run does; its id."""
    named = os.fsencode(path)
    subject = Subject(named, None, FileStat.of(named), audio_digest(named), read_tags(named))
    run_id = store.begin_run("write", model_id=None, options={}, version="1")
    done = Outcome(named, Status.TAGGED, "", after=(genre,))
    edit = edit_of(subject, [genre], values)
    outcome = apply_edit(
        store, run_id, subject, edit, done, settings_key="", preserve_mtime=False, hardlinks=False
    )
    assert outcome == done
    store.finish_run(run_id, state="done", exit_code=0, counts={})
    return run_id


def undo(store: Store, run_id: int) -> Outcome:
    told = Told()
    undo_run(store, run_id, told)
    (outcome,) = told.outcomes
    return outcome


def extras_in(path: Path) -> dict[ExtraTag, Any]:
    return dict(read_tags(os.fsencode(path)).extras or {})


def by_mutagen(path: Path) -> dict[str, object]:
    """All fields but the genre, by the library's own names."""
    tags = mutagen.File(path).tags or {}
    pairs = tags.items() if hasattr(tags, "items") else tags
    genres = ("genre", "tcon", "\xa9gen", "wm/genre")
    return {key: repr(value) for key, value in pairs if key.lower() not in genres}


# ---- the whole way, container by container --------------------------------------------------------------


@pytest.mark.parametrize("name", CONTAINERS)
def test_R10_R13_written_replaced_and_taken_back(
    name: str, made_library: Path, tmp_path: Path, store: Store
) -> None:
    path = copy_of(made_library, name, tmp_path)
    original, digest, fields = path.read_bytes(), audio_digest(os.fsencode(path)), by_mutagen(path)
    names = set(NAMES.get(name, PLAIN_NAMES).values())
    first = write(store, path, "Rock", VALUES)
    assert extras_in(path) == {tag: (value,) for tag, value in VALUES.items()}
    second = write(store, path, "Jazz", OTHERS)
    assert extras_in(path) == {CONFIDENCE: ("0.55",), VERSION: ("0.2.0",), TEMPO: ("128",)}
    assert audio_digest(os.fsencode(path)) == digest
    left = {key: value for key, value in by_mutagen(path).items() if key.upper() not in
            {known.upper() for known in names}}  # fmt: skip
    assert left == fields, "no other field is touched"
    assert not list(verify(store))
    assert undo(store, second).reason == "put back"
    assert extras_in(path) == {tag: (value,) for tag, value in VALUES.items()}
    assert undo(store, first).reason == "put back"
    assert path.read_bytes() == original
    redone = store.edits_of_run(4)[0].run_id
    assert undo(store, redone).reason == "put back", "an undo can be undone"
    assert extras_in(path) == {tag: (value,) for tag, value in VALUES.items()}


@pytest.mark.parametrize("name", CONTAINERS)
def test_R16_other_programs_read_them(name: str, made_library: Path, tmp_path: Path, store: Store) -> None:
    path = copy_of(made_library, name, tmp_path)
    write(store, path, "Rock", VALUES)
    own = {f"TAGGER_{tag.upper()}": value for tag, value in VALUES.items() if tag is not TEMPO}
    with av.open(str(path)) as container:
        found = {**container.metadata, **container.streams.audio[0].metadata}
    if name != "tta":  # in which ffmpeg reads an APE tag, and this program writes ID3
        assert own.items() <= found.items()
        # ffmpeg leaves the tempo of MP4 out.
        tempo = {found.get(key) for key in ("TBPM", "BPM", "WM/BeatsPerMinute")}
        assert "128" in tempo or name.startswith("m4a")
    if name not in ("wv", "dsf"):  # which tinytag does not know
        other = TinyTag.get(path).other
        assert {key: other[key.lower()] for key in own} == {key: [value] for key, value in own.items()}
        assert [str(value) for value in other["bpm"]] == ["128"]
    assert b"COMM" not in path.read_bytes() or b"COMM" in (made_library / path.name).read_bytes()


def test_the_readmes_table_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| `(.+?)` \| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", README, re.M)
    expected = [
        (tag.value, ID3_NAMES[tag], PLAIN_NAMES[tag], MP4_NAMES[tag], ASF_NAMES[tag]) for tag in ExtraTag
    ]
    assert rows == expected


# ---- what a person wrote --------------------------------------------------------------------------------


@pytest.mark.parametrize(("container", "key", "value"), [
    ("mp3", "TBPM", m.TBPM(encoding=1, text=["127.6"])), ("flac", "bpm", ["127.6"]),
    ("m4a-aac", "tmpo", [127]), ("wma", "WM/BeatsPerMinute", ["127"]), ("wv", "Bpm", "127"),
    ("wma", "WM/BeatsPerMinute", [mutagen.asf.ASFDWordAttribute(127)]),
    ("wv", "BPM", mutagen.apev2.APEValue(b"\x7f", mutagen.apev2.BINARY)),
])  # fmt: skip
def test_a_persons_tempo_is_never_changed(
    container: str, key: str, value: Any, made_library: Path, tmp_path: Path, store: Store
) -> None:
    path = copy_of(made_library, container, tmp_path)
    tagged = mutagen.File(path)
    tagged[key] = value
    tagged.save()
    original, before = path.read_bytes(), by_mutagen(path)[key]
    run_id = write(store, path, "Rock", VALUES)
    assert by_mutagen(path)[key] == before
    assert extras_in(path)[CONFIDENCE] == ("0.87",)
    undo(store, run_id)
    assert path.read_bytes() == original


def test_a_tempo_in_an_APE_tag_beside_ID3_counts_too(
    made_library: Path, tmp_path: Path, store: Store
) -> None:
    path = copy_of(made_library, "mp3", tmp_path)
    tag = mutagen.apev2.APEv2()
    tag["BPM"], tag["TAGGER_MODEL"] = "127", "not ours to change here"
    tag.save(path)
    original = path.read_bytes()
    run_id = write(store, path, "Rock", VALUES)
    assert extras_in(path) == {tag: (value,) for tag, value in VALUES.items() if tag is not TEMPO} | {
        TEMPO: None
    }
    assert mutagen.apev2.APEv2(path)["TAGGER_MODEL"] == "not ours to change here"
    undo(store, run_id)
    assert path.read_bytes() == original


@pytest.mark.parametrize(("container", "key", "value"), [
    ("mp3", "TBPM", m.TBPM(encoding=0, text=["0"])), ("flac", "bpm", ["0"]), ("m4a-aac", "tmpo", [0]),
    ("wv", "BPM", ""), ("ogg-opus", "Bpm", [" "]),
])  # fmt: skip
def test_no_tempo_may_be_written_as_0_or_nothing_and_comes_back_so(
    container: str, key: str, value: Any, made_library: Path, tmp_path: Path, store: Store
) -> None:
    path = copy_of(made_library, container, tmp_path)
    tagged = mutagen.File(path)
    tagged[key] = value
    tagged.save()
    original = path.read_bytes()
    run_id = write(store, path, "Rock", VALUES)
    assert extras_in(path)[TEMPO] == ("128",)
    undo(store, run_id)
    assert path.read_bytes() == original


def test_undo_leaves_what_somebody_changed_since(made_library: Path, tmp_path: Path, store: Store) -> None:
    path = copy_of(made_library, "flac", tmp_path)
    run_id = write(store, path, "Rock", VALUES)
    tagged = mutagen.File(path)
    tagged["BPM"] = "64"
    del tagged["TAGGER_MODEL"]
    tagged.save()
    assert not list(verify(store)), "the genre is still ours"
    assert undo(store, run_id).reason == "put back"
    assert read_tags(os.fsencode(path)).genres == ()
    assert extras_in(path) == {TEMPO: ("64",)}


def test_where_ID3v1_is_all_there_is_nothing_is_written_beside_the_genre(
    made_library: Path, tmp_path: Path, store: Store
) -> None:
    path = copy_of(made_library, "mp3", tmp_path)
    tags = m.ID3(path)
    tags.delete(path)
    path.write_bytes(path.read_bytes() + b"TAG" + b"Title".ljust(124, b"\0") + b"\xff")
    before = path.read_bytes()
    write(store, path, "Rock", VALUES)
    assert path.read_bytes() == before[:-1] + bytes([17])


# ---- ID3 in its forms -----------------------------------------------------------------------------------

CHANGES = tuple(ExtraChange(tag, (), (value,)) for tag, value in VALUES.items())
BACK = tuple(ExtraChange(change.tag, change.after, change.before) for change in CHANGES)


def _tag_of(version: int, texts: dict[str, str], coding: int = 1, flags: int = 0) -> bytes:
    tag = m.ID3()
    for key, text in texts.items():
        tag.add(m.TXXX(encoding=coding, desc=key, text=[text]) if key[0] == "t" or len(key) > 4
                else getattr(m, key)(encoding=coding, text=[text]))  # fmt: skip
    made = io.BytesIO()
    tag.save(made, v2_version=version, padding=lambda info: 50)
    data = made.getvalue()
    return data[:5] + bytes([flags]) + data[6:]


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("coding", [0, 1])
def test_ID3_keeps_version_coding_and_spelling(version: int, coding: int) -> None:
    texts = {"TIT2": "T", "tagger_model": "former", "TXXX_OTHER": "x", "TPE1": "A"}
    tag = _tag_of(version, texts, coding)
    change = [ExtraChange(MODEL, ("former",), ("new",))]
    new = set_genre(tag, ["Rock"], change)
    read = m.ID3(io.BytesIO(new), translate=False)
    assert read.version == (2, version, 0)
    assert read["TXXX:TAGGER_MODEL"].text == ["new"] and read["TXXX:TAGGER_MODEL"].encoding == coding
    assert read["TXXX:TXXX_OTHER"].text == ["x"] and "TXXX:tagger_model" not in read
    other_way = set_genre(new, [], [ExtraChange(MODEL, ("new",), ("former",))])
    # The spelling of the description alone is not brought back.
    assert (
        other_way.replace("TAGGER_MODEL".encode("utf-16-le"), "tagger_model".encode("utf-16-le")).replace(
            b"TAGGER_MODEL", b"tagger_model"
        )
        == tag
    )


def test_ID3v22_and_unsynchronised_tags() -> None:
    frame = b"TT2" + (4).to_bytes(3, "big") + b"\0Old"
    for flags, title in (
        (0, frame),
        (0x80, frame.replace(b"\0Old", b"\0\xff\0\xe0l").replace(b"\4", b"\4", 1)),
    ):
        body = title + bytes(20)
        tag = b"ID3\2\0" + bytes([flags]) + bytes([0, 0, 0, len(body)]) + body
        new = set_genre(tag, ["Rock"], CHANGES)
        read = m.ID3(io.BytesIO(new), translate=False)
        assert read["TXXX:TAGGER_CONFIDENCE"].text == ["0.87"] and read["TBPM"].text == ["128"]
        assert set_genre(new, [], BACK) == tag


def test_a_new_tag_goes_when_all_of_it_is_taken_back_and_only_then() -> None:
    tag = set_genre(b"", ["Rock"], CHANGES)
    assert tag == b""
    from tagger.formats.fields import new_ape_tag, set_ape_genre
    from tagger.formats.id3 import new_tag

    assert set_genre(new_tag(["Rock"], CHANGES), [], BACK) == b""
    assert set_genre(new_tag(["Rock"], CHANGES), [], BACK[:3]) != b""
    assert set_ape_genre(new_ape_tag(["Rock"], CHANGES), [], BACK) == b""
    # The last frame goes and another comes: the tag must not be lost in between.
    only = new_tag(["Rock"])
    assert m.ID3(io.BytesIO(set_genre(only, [], CHANGES[:1])))["TXXX:TAGGER_CONFIDENCE"].text == ["0.87"]


# ---- the journal ----------------------------------------------------------------------------------------

TEXTS = st.lists(st.text(max_size=5), max_size=2).map(tuple)
STATES = st.builds(GenreState, TEXTS, st.none() | st.integers(0, 255))
EXTRAS = st.lists(
    st.builds(ExtraChange, st.sampled_from(ExtraTag), TEXTS, TEXTS), unique_by=lambda extra: extra.tag
).map(tuple)


@given(st.builds(TagEdit, STATES, STATES, EXTRAS))
def test_the_journal_gives_back_what_it_was_given(edit: TagEdit) -> None:
    before, after = edit_to_json(edit)
    assert edit_from_json(before, after) == edit
    assert (state_from_json(before), state_from_json(after)) == (edit.before, edit.after)


def test_rows_of_before_are_read_and_edits_without_extra_fields_are_written_as_then() -> None:
    edit = TagEdit(GenreState(), GenreState(("Rock",), 17))
    assert edit_from_json("[[],null]", '[["Rock"],17]') == edit
    assert edit_to_json(edit) == ("[[],null]", '[["Rock"],17]')
    assert len(json.loads(edit_to_json(TagEdit(edit.before, edit.after, CHANGES))[0])) == 3


@pytest.mark.parametrize("renamed", [False, True])
def test_R03_an_edit_whose_disk_is_away_waits_for_it(renamed: bool, tmp_path: Path) -> None:
    folder = tmp_path / "disk" / "album"
    folder.mkdir(parents=True)
    named = bytes(media.make(folder / "a.flac", "flac", seconds=1))
    make_database(tmp_path / "t.db", [Made(named)], root=bytes(tmp_path))
    with Store.open(tmp_path / "t.db") as store:
        row = store.track(1)
        assert row is not None
        subject = Subject(named, 1, FileStat.of(named), None, read_tags(named))
        run_id = store.begin_run("write", model_id=None, options={}, version="1")
        edit = edit_of(subject, ["Rock"])
        edit_id = store.intend(run_id, 1, named, edit, size_bytes=1, mtime_ns=1)
        write_genre(named, edit, expected=subject.stat, digest=None)  # and here the plug was pulled
        (tmp_path / "disk").rename(tmp_path / "away")
        settle_unfinished(store)
        (kept,) = store.edits_of_run(run_id)
        assert kept.state == "intended"
        (tmp_path / "away").rename(tmp_path / "disk")
        if renamed:
            (folder / "a.flac").rename(folder / "b.flac")
            named = bytes(folder / "b.flac")
            store._conn.execute("UPDATE tracks SET path = ? WHERE id = 1", (named,))
        settle_unfinished(store)
        (done,) = store.edits_of_run(run_id)
        assert (done.id, done.state) == (edit_id, "done")
        row = store.track(1)
        assert row is not None and row.file_genres == ("Rock",)


def test_R03_an_edit_of_a_forgotten_track_that_is_gone_is_abandoned(tmp_path: Path, store: Store) -> None:
    run_id = store.begin_run("write", model_id=None, options={}, version="1")
    edit = TagEdit(GenreState(), GenreState(("Rock",)))
    store.intend(run_id, None, bytes(tmp_path / "gone.mp3"), edit, size_bytes=1, mtime_ns=1)
    settle_unfinished(store)
    assert [row.state for row in store.edits_of_run(run_id)] == ["abandoned"]


@pytest.mark.parametrize("step", ["copied", "edited", "verified", "fsynced", "replaced"])
def test_R03_a_killed_run_is_settled(step: str, made_library: Path, tmp_path: Path, store: Store) -> None:
    class Pulled(BaseException):
        pass

    def at_step(name: str) -> None:
        if name == step:
            raise Pulled

    path = copy_of(made_library, "m4a-aac", tmp_path)
    original, named = path.read_bytes(), os.fsencode(path)
    subject = Subject(named, None, FileStat.of(named), None, read_tags(named))
    run_id = store.begin_run("write", model_id=None, options={}, version="1")
    with pytest.raises(Pulled):
        edit, done = edit_of(subject, ["Rock"], VALUES), Outcome(named, Status.TAGGED, "")
        apply_edit(store, run_id, subject, edit, done, settings_key="", preserve_mtime=False,
                   hardlinks=False, on_step=at_step)  # fmt: skip
    assert settle_unfinished(store) == 1
    (row,) = store.edits_of_run(run_id)
    assert row.state == ("done" if step == "replaced" else "abandoned")
    if step == "replaced":
        assert extras_in(path)[MODEL] == ("eleven@1",)
        assert undo(store, run_id).reason == "put back"
    assert path.read_bytes() == original


def test_a_file_whose_extra_fields_changed_meanwhile_is_left_alone(
    made_library: Path, tmp_path: Path, store: Store
) -> None:
    path = copy_of(made_library, "mp3", tmp_path)
    named = os.fsencode(path)
    subject = Subject(named, None, FileStat.of(named), None, read_tags(named))
    edit = edit_of(subject, ["Rock"], VALUES)
    write(store, path, "Pop", {TEMPO: "64"})
    before = path.read_bytes()
    run_id = store.begin_run("write", model_id=None, options={}, version="1")
    late = TagEdit(read_tags(named).state, edit.after, edit.extras)
    subject = Subject(named, None, FileStat.of(named), None, read_tags(named))
    outcome = apply_edit(store, run_id, subject, late, Outcome(named, Status.TAGGED, ""), settings_key="",
                         preserve_mtime=False, hardlinks=False)  # fmt: skip
    assert outcome.status is Status.CHANGED_MEANWHILE
    assert path.read_bytes() == before


# ---- what they say, and when ----------------------------------------------------------------------------


def test_what_they_say() -> None:
    every = extra_values(list(ExtraTag), confidence=0.8749, model_id="eleven@1", tempo_bpm=127.6)
    assert every[CONFIDENCE] == "0.87" and every[MODEL] == "eleven@1" and every[TEMPO] == "128"
    assert re.fullmatch(r"\d+\.\d+\.\d+", every[VERSION])
    assert extra_values([TEMPO], confidence=1, model_id="x", tempo_bpm=None) == {}
    assert extra_values([], confidence=1, model_id="x", tempo_bpm=100) == {}


@given(
    found=st.dictionaries(st.sampled_from(ExtraTag), st.none() | TEXTS),
    values=st.dictionaries(st.sampled_from(ExtraTag), st.text(min_size=1, max_size=5)),
)
def test_what_changes(found: dict[ExtraTag, Any], values: dict[ExtraTag, str]) -> None:
    changes = plan_extras(found, values)
    now = dict(found)
    for change in changes:
        assert now.get(change.tag, ()) == change.before != change.after
        now[change.tag] = change.after
    for tag in ExtraTag:
        if found.get(tag, ()) is None or (tag is TEMPO and says_something(found.get(tag, ()))):
            assert now.get(tag) == found.get(tag), "what cannot be restored, or is a person's, stays"
        elif tag in values:
            assert now[tag] == (values[tag],)
        elif tag is not TEMPO:
            assert not now.get(tag), "nothing of another genre stays"
    assert plan_extras(now, values) == ()
    edit = TagEdit(GenreState(), GenreState(), changes)
    for change in taken_back(edit, now):
        now[change.tag] = change.after
    assert {tag: texts for tag, texts in now.items() if texts != ()} == {
        tag: texts for tag, texts in found.items() if texts != ()
    }


def test_the_database_does_not_know_them_so_the_file_is_asked(made_library: Path, tmp_path: Path) -> None:
    path = copy_of(made_library, "flac", tmp_path)
    tagged = mutagen.File(path)
    tagged["BPM"] = "99"
    tagged.save()
    as_remembered = FileTags("flac", GenreState())
    subject = Subject(os.fsencode(path), 1, FileStat.of(os.fsencode(path)), None, as_remembered)
    assert {extra.tag for extra in edit_of(subject, ["Rock"], VALUES).extras} == {CONFIDENCE, MODEL, VERSION}
    path.unlink()
    assert edit_of(subject, ["Rock"], VALUES).after == GenreState(("Rock",)), "who writes will miss it"


def test_the_program_writes_updates_and_undoes_them(
    made_library: Path, tmp_path: Path, tagger: Tagger, here: Here
) -> None:
    library = tmp_path / "music"
    library.mkdir()
    for name in ("mp3", "flac", "m4a-aac"):
        copy_of(made_library, name, library)
    media.make(library / "kept.mp3", "mp3", seconds=5, seed=50, tags={"genre": "Krautrock"})
    before, kept = tree(library), (library / "kept.mp3").read_bytes()
    asked = ("--extra-tags", "confidence,model,version")

    ran = tagger("run", *ANY, *asked, "--preserve-mtime", "--json", library)
    assert ran.code == 0, ran.err
    lines = ran.by_name()
    assert lines["kept.mp3"]["status"] == "kept" and (library / "kept.mp3").read_bytes() == kept
    for name in ("mp3.mp3", "flac.flac", "m4a-aac.m4a"):
        found = extras_in(library / name)
        assert found[CONFIDENCE] == (f"{lines[name]['confidence']:.2f}",)
        assert re.fullmatch(r"\w+@\d+", found[MODEL][0]) and found[VERSION]
    once = tree(library)
    assert here("run", *ANY, *asked, library).code == 0
    assert here("run", *ANY, library).code == 0
    assert tree(library) == once, "to ask, or not to ask, is no reason to write again"

    config = tmp_path / "config.toml"
    labels = next(line for line in here("models", "--json").lines if line["used"])["genres"]
    mine = "\n".join(f'{label} = "My {label.title()}"' for label in labels)
    config.write_text(f'extra_tags = ["model"]\n[genres]\n{mine}\n')
    own = ("--mode", "own", "--preserve-mtime", "--config", config)
    assert here("run", *ANY, *own, "--json", library).by_name()["mp3.mp3"]["status"] == "tagged"
    assert set(extras_in(library / "mp3.mp3")) == {MODEL}, "nothing of the former genre stays"
    assert here("correct", library / "flac.flac", "Zouk").code == 0
    assert extras_in(library / "flac.flac") == {}, "a person's word is no model's"
    for _ in range(3):
        assert here("undo", "--yes", env={"TAGGER_PRESERVE_MTIME": "true"}).code == 0
    assert {name: state.split()[0] for name, state in tree(library).items()} == {
        name: state.split()[0] for name, state in before.items()
    }
