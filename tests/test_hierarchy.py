"""Several genres a track, and genres above genres: what is written, what is read, what settings may say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.config import Config
from tagger.decision import choose
from tagger.errors import ConfigError
from tagger.genres import display_name, genre_key, same_genre
from tagger.learning.hierarchy import (
    ancestors,
    check_max_genres,
    check_parents,
    covers,
    descendants,
    is_above,
    leaf,
    most_specific,
)
from tagger.plan import FURTHER, WritePolicy, genres_to_write, plan_edit
from tagger.review import counts, disagree, lesson, lineage, why, worklist
from tagger.store import Store
from tagger.store.columns import to_json
from tagger.tags import read_tags
from tagger.tracks import ONLY_ID3V1, FileTags, GenreEstimate, GenreState, Status, WriteMode
from tests.collections_made import Made, make_database
from tests.inprocess import Here, here

__all__ = ["here"]

PARENTS = {"House": "Electronic", "Deep House": "house", "Techno": "Electronic", "Zouk Love": "Zouk"}
HOUSE = GenreEstimate("House", 0.6, {"House": 0.6, "Techno": 0.3, "jazz": 0.08, "rock": 0.02})


def tags(*genres: str, state: GenreState | None = None) -> FileTags:
    return FileTags("mp3", state or GenreState(genres), genres)


# --- what is written ---


def names(estimate: GenreEstimate, **policy: object) -> tuple[str, ...]:
    return tuple(genres_to_write(estimate, WritePolicy(**policy)))  # type: ignore[arg-type]


def test_the_first_genre_alone_unless_more_are_asked_for() -> None:
    assert names(HOUSE) == ("House",)
    assert names(HOUSE, max_genres=2) == names(HOUSE, max_genres=5) == ("House", "Techno")
    assert names(HOUSE, parents=PARENTS) == ("House",), "parents are not written unless asked for"
    assert names(HOUSE, parents=PARENTS, write_parents=True) == ("House", "Electronic")
    assert names(HOUSE, max_genres=2, parents=PARENTS, write_parents=True) == (
        "House", "Techno", "Electronic",
    )  # fmt: skip


def test_names_dropped_labels_and_the_whitelist_hold_for_every_genre() -> None:
    assert names(HOUSE, max_genres=2, names={"techno": ""}) == ("House",)
    assert names(HOUSE, max_genres=2, names={"house": ""}) == (), "a second genre is no stand-in"
    assert names(HOUSE, max_genres=2, names={"Techno": "house"}) == ("House",)
    assert names(HOUSE, max_genres=2, whitelist=("House",), parents=PARENTS, write_parents=True) == ("House",)
    renamed = {"House": "Garage", "electronic": "Electronica"}
    assert names(HOUSE, names=renamed, parents=PARENTS, write_parents=True) == ("Garage", "Electronica")
    unsure = GenreEstimate(None, 0.5, {"House": 0.5, "Techno": 0.5}, "unsure")
    assert names(unsure, max_genres=3, parents=PARENTS, write_parents=True) == ()


@pytest.mark.parametrize(
    ("mode", "has", "after"),
    [
        ("missing", (), ("House", "Techno", "Electronic")),
        ("missing", ("Jazz",), None),
        ("append", ("Jazz", "techno"), ("Jazz", "techno", "House", "Electronic")),
        ("append", ("House", "Techno", "electronic"), None),
        ("overwrite", ("House",), ("House", "Techno", "Electronic")),
        ("overwrite", ("House", "Techno", "Electronic"), None),
        ("own", ("Jazz",), None),
    ],
)
def test_modes_with_several(mode: str, has: tuple[str, ...], after: tuple[str, ...] | None) -> None:
    policy = WritePolicy(WriteMode(mode), max_genres=2, parents=PARENTS, write_parents=True)
    plan = plan_edit(tags(*has), HOUSE, policy, None)
    assert (plan.genre, plan.after) == ("House", after)
    assert "House (0.60), Techno (0.30)" in plan.reason or plan.status is Status.UNCHANGED
    if mode == "own":
        own = GenreState(has)
        assert plan_edit(tags(*has), HOUSE, policy, own).after == ("House", "Techno", "Electronic")


def test_id3v1_gets_the_one_it_has_room_for() -> None:
    estimate = GenreEstimate("rock", 0.6, {"rock": 0.6, "pop": 0.3, "jazz": 0.1})
    lone = tags(state=GenreState((ONLY_ID3V1,), 255))
    assert plan_edit(lone, estimate, WritePolicy(max_genres=3), None).after == ("Rock",)


LABELS = ("rock", "pop", "House", "Techno", "jazz", "Deep House")


@given(
    st.lists(st.floats(0.001, 1), min_size=len(LABELS), max_size=len(LABELS)),
    st.integers(1, 5),
    st.dictionaries(st.sampled_from(LABELS), st.sampled_from(["Electronic", "House", "Rock", "Techno"])),
    st.booleans(),
    st.sampled_from([(), ("Rock", "House", "Electronic")]),
)
def test_whatever_is_asked_for(
    weights: list[float], most: int, parents: dict[str, str], write: bool, whitelist: tuple[str, ...]
) -> None:
    total = sum(weights)
    ordered = sorted(((w / total, label) for w, label in zip(weights, LABELS, strict=True)), reverse=True)
    estimate = GenreEstimate(ordered[0][1], ordered[0][0], {label: p for p, label in ordered})
    policy = WritePolicy(max_genres=most, parents=parents, write_parents=write, whitelist=whitelist)
    found = genres_to_write(estimate, policy)
    heard = {name: p for name, p in found.items() if p is not None}
    assert len(heard) <= most
    assert len({genre_key(name) for name in found}) == len(found)
    assert list(heard.values()) == sorted(heard.values(), reverse=True)
    assert all(p >= FURTHER for p in list(heard.values())[1:])
    assert not whitelist or set(found) <= set(whitelist)
    if found:
        assert next(iter(found)) == display_name(estimate.genre or "", whitelist=whitelist)
        assert list(found)[: len(heard)] == list(heard), "parents come last"
    if not write:
        assert heard == found
    fewer = list(genres_to_write(estimate, WritePolicy(max_genres=1, whitelist=whitelist)))
    assert fewer == list(heard)[:1]


def test_the_key_changes_with_what_is_asked_for_alone() -> None:
    base = WritePolicy()
    assert base.key("m") == WritePolicy(parents=PARENTS).key("m") == WritePolicy(write_parents=True).key("m")
    others = [
        WritePolicy(max_genres=2),
        WritePolicy(parents=PARENTS, write_parents=True),
        WritePolicy(parents={"House": "Electronic"}, write_parents=True),
    ]
    assert len({policy.key("m") for policy in (base, *others)}) == 4


# --- the hierarchy ---


def test_ancestors_and_their_spelling() -> None:
    assert ancestors("deep-house", PARENTS) == ("house", "Electronic")
    assert ancestors("Jazz", PARENTS) == ()
    assert is_above("electronica", "Deep House", PARENTS), "another word for electronic"
    assert not is_above("House", "House", PARENTS) and not is_above("Deep House", "House", PARENTS)


SOME = st.sampled_from(("a", "b", "c", "d", "Electronic", "electronica"))


@given(st.dictionaries(SOME, SOME), SOME)
def test_descendants_are_those_that_one_is_above(parents: dict[str, str], genre: str) -> None:
    below = descendants(genre, parents)
    assert below == tuple(child for child in parents if is_above(genre, child, parents))


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")), st.sampled_from("abcdef"))
def test_circles_are_refused_and_never_walked_twice(parents: dict[str, str], genre: str) -> None:
    above = ancestors(genre, parents)
    assert len(above) == len(set(above)) <= 6
    circle = any(genre in ancestors(genre, parents) for genre in parents)
    if circle:
        with pytest.raises(ValueError, match="circle"):
            check_parents(parents)
    else:
        assert dict(check_parents(parents)) == parents
        assert genre not in above


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Electronic > House", "House"),
        ("Electronic>House>Deep House", "Deep House"),
        ("Electronic \u00bb Anything New", "Anything New"),
        ("Jazz > Bebop", "Bebop"),
        ("Nowhere > Bebop", "Nowhere > Bebop"),
        ("Electronic/House", "House"),
        ("electronica / deep house", "deep house"),
        ("Electronic|Techno", "Techno"),
        ("House/Electronic", "House/Electronic"),
        ("Rock/Pop", "Rock/Pop"),
        ("Electronic/Rock", "Electronic/Rock"),
        ("> House", "> House"),
        ("House", "House"),
        ("", ""),
    ],
)
def test_branches_in_tags(text: str, expected: str) -> None:
    assert leaf(text, PARENTS, ("Jazz", "Rock")) == expected


@given(st.text(max_size=30))
def test_without_a_hierarchy_every_tag_is_as_it_was(text: str) -> None:
    assert leaf(text, {}) == text
    assert most_specific([text, "Jazz"], {}) == text


@given(st.lists(st.sampled_from([*PARENTS, "Electronic", "Zouk", "Jazz"]), min_size=1))
def test_the_most_specific_is_the_first_or_below_it(found: list[str]) -> None:
    chosen = most_specific(found, PARENTS)
    assert chosen in found
    assert same_genre(chosen, found[0]) or is_above(found[0], chosen, PARENTS)


# --- settings ---


@pytest.mark.parametrize("wrong", [0, 6, -1, True, 1.5, "2", None])
def test_numbers_of_genres_that_make_no_sense(wrong: object) -> None:
    with pytest.raises(ValueError, match="whole number from 1 to 5"):
        check_max_genres(wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("House", "must be a table"),
        ({"House": 3}, "in quotes"),
        ({"House": "Rock/Pop"}, "splits?|split it"),
        ({"House": ""}, "is empty"),
        ({"House": "A", "house ": "B"}, "same genre"),
        ({"House": "house"}, "circle: House > house"),
    ],
)
def test_hierarchies_that_make_no_sense(wrong: object, why: str) -> None:
    with pytest.raises(ValueError, match=re.compile(why)):
        check_parents(wrong)


def test_settings_reach_the_files(made_library: Path, tmp_path: Path, here: Here) -> None:
    """Every container the library has, all genres that are likely enough, parents beside them; and back."""
    with pytest.raises(ConfigError, match="--max-genres is 9"):
        Config().with_options(max_genres=9)
    config = tmp_path / "config.toml"
    above = "\n".join(f'{label} = "Music of {label}"' for label in ("blues", "jazz", "pop", "rock", "hiphop",
        "classical", "country", "disco", "electronic", "metal", "reggae"))  # fmt: skip
    config.write_text(f"max_genres = 3\nwrite_parents = true\n[parents]\n{above}\n", encoding="utf-8")
    folder = tmp_path / "music"
    shutil.copytree(made_library, folder)
    before = {path: read_tags(bytes(path)).state for path in sorted(folder.iterdir())}
    done = here("run", "--config", config, "--threshold", "0", "--margin", "0", folder)
    assert done.code == 0, done.err
    n_several = 0
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
        for row in store.list_tracks():
            if row.status is not Status.TAGGED:
                continue
            found = read_tags(row.path).genres
            likely = [label for label, p in list(row.probabilities.items())[:3] if p >= FURTHER]
            first = next(iter(row.probabilities))
            labels = [first, *(label for label in likely if label != first)]
            expected = [display_name(label) for label in labels] + [f"Music of {label}" for label in labels]
            assert list(found) == expected
            n_several += len(labels) > 1
    again = here("run", "--config", config, "--threshold", "0", "--margin", "0", "--json", folder)
    assert {line["status"] for line in again.lines if "status" in line} <= {"unchanged"}
    assert here("undo", "--yes").code == 0
    assert {path: read_tags(bytes(path)).state for path in before} == before
    assert n_several >= 1


# --- the genre above, where none below is sure enough ---

BELOW = ("House", "Techno", "Deep House", "electronic", "jazz", "rock")


def chosen(p: list[float], *, threshold: float = 0.6, margin: float = 0.0, **more: object) -> GenreEstimate:
    parents = more.pop("parents", PARENTS)
    return choose(BELOW, np.array(p), threshold=threshold, margin=margin, parents=parents, **more)  # type: ignore[arg-type]


def test_a_genre_above_has_the_probability_of_all_below() -> None:
    found = chosen([0.3, 0.3, 0.1, 0.1, 0.15, 0.05])
    assert (found.genre, found.confidence) == ("electronic", pytest.approx(0.8)), "the model's own label"
    assert chosen([0.3, 0.1, 0.35, 0.0, 0.2, 0.05]).genre == "House", "the nearest that is sure enough"
    assert (
        chosen([0.3, 0.3, 0.1, 0.1, 0.15, 0.05], parents={"House": "Club", "Techno": "Club"}).genre == "Club"
    )


def test_where_it_may_not_be_given() -> None:
    spread = [0.3, 0.3, 0.1, 0.1, 0.15, 0.05]
    assert chosen(spread, parents={}).genre is None
    assert chosen(spread, abstain="silence").genre is None
    assert chosen(spread, threshold=0.85).genre is None
    assert chosen(spread, margin=0.7).genre is None
    assert chosen([0.1, 0.1, 0.1, 0.1, 0.4, 0.2]).genre is None, "what is most probable has none above it"
    assert chosen([0.7, 0.1, 0.1, 0.0, 0.1, 0.0]).genre == "House", "sure enough as it is"


@given(
    st.lists(st.floats(0.001, 1), min_size=len(BELOW), max_size=len(BELOW)),
    st.floats(0, 1),
    st.floats(0, 0.5),
)
def test_a_genre_above_changes_no_decision_and_passes_the_same_limits(
    weights: list[float], threshold: float, margin: float
) -> None:
    p = [weight / sum(weights) for weight in weights]
    plain = chosen(p, threshold=threshold, margin=margin, parents={})
    found = chosen(p, threshold=threshold, margin=margin)
    assert found.probabilities == plain.probabilities
    if plain.genre is not None or found.genre is None:
        assert found == plain
        return
    inside = {label for label in BELOW if covers(found.genre, label, PARENTS)}
    share = sum(found.probabilities[label] for label in inside)
    assert next(iter(found.probabilities)) in inside
    assert found.confidence == pytest.approx(share) and share >= threshold - 1e-9
    assert share - max(found.probabilities[label] for label in set(BELOW) - inside) >= margin - 1e-9


def test_what_is_given_from_above_is_written(tmp_path: Path) -> None:
    found = chosen([0.35, 0.3, 0.0, 0.0, 0.3, 0.05])
    policy = WritePolicy(write_parents=True, parents=PARENTS)
    plan = plan_edit(tags(), found, policy, None)
    assert plan.after == ("Electronic",) and plan.reason == "sounds like Electronic (0.65)"
    several = plan_edit(tags(), found, WritePolicy(max_genres=2, write_parents=True, parents=PARENTS), None)
    assert several.after == ("Electronic", "House")


def test_a_run_explain_and_predict_give_the_genre_above(
    made_library: Path, tmp_path: Path, here: Here
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    path = folder / "flac.flac"
    shutil.copy(made_library / "flac.flac", path)
    config = tmp_path / "config.toml"
    labels = ("blues", "jazz", "pop", "rock", "hiphop", "classical", "country", "disco", "electronic",
              "metal", "reggae")  # fmt: skip
    above = "\n".join(f'{label} = "Everything"' for label in labels)
    config.write_text(f"threshold = 0.999\nwrite_parents = true\n[parents]\n{above}\n", encoding="utf-8")
    assert here("explain", path, "--config", config, "--json").lines[0]["genre"] == "Everything"
    assert here("predict", path, "--config", config, "--json").lines[0]["genre"] == "Everything"
    assert here("run", "--config", config, folder).code == 0
    assert read_tags(bytes(path)).genres == ("Everything",)
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
        (row,) = store.list_tracks()
        assert row.genre == "Everything" and row.confidence == pytest.approx(1.0, abs=0.001)
    assert "sounds like Everything" in here("explain", path, "--config", config).out


# --- what contradicts what, in a review ---


@pytest.mark.parametrize(
    ("in_file", "label", "contradicts"),
    [
        (("Electronic",), "House", False),
        (("electronica",), "Deep House", False),
        (("House",), "electronic", False),
        (("French House",), "electronic", False),
        (("Electronic/House",), "Deep House", False),
        (("Jazz", "Electronic"), "House", False),
        (("Techno",), "House", True),
        (("Electronic > Techno",), "House", True),
        (("Electronic Jazz",), "House", True),
        (("House",), "Zouk", True),
        (("",), "House", True),
        ((), "House", False),
    ],
)
def test_what_lies_above_or_below_does_not_contradict(
    in_file: tuple[str, ...], label: str, contradicts: bool
) -> None:
    assert disagree(to_json(in_file), label, lineage(PARENTS)) is contradicts


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")), st.sampled_from("abcdef"),
       st.sampled_from("abcdef"))  # fmt: skip
def test_one_line_of_descent_agrees(parents: dict[str, str], said: str, label: str) -> None:
    related = covers(said, label, parents) or covers(label, said, parents)
    assert disagree(to_json([said]), label, lineage(parents)) is not related
    assert disagree(to_json([said]), label) is (said != label)


def test_a_review_knows_what_lies_above(tmp_path: Path, here: Here) -> None:
    """The list, its counts, its reasons and its command, where files say Dance and disco lies below it."""
    path = tmp_path / "data" / "tagger.db"
    path.parent.mkdir()
    made = [
        Made(b"/music/0.mp3", "disco", 0.9, ("Dance",)),
        Made(b"/music/1.mp3", "jazz", 0.9, ("Dance",)),
        Made(b"/music/2.mp3", "disco", 0.8, ("Dance",)),
        Made(b"/music/3.mp3", None, 0.3, ("Dance",)),
    ]
    ids = make_database(path, made)
    parents = lineage({"disco": "Dance"})
    with Store.open(path) as store:
        assert worklist(store, "disagreeing") == [ids[0], ids[1], ids[2]]
        assert worklist(store, "disagreeing", parents=parents) == [ids[1]]
        assert worklist(store, parents=parents) == [ids[1], ids[3]]
        assert counts(store, parents) == {"everything": 2, "uncertain": 1, "disagreeing": 1, "failed": 0}
        first, other = list(store.tracks_of([ids[0], ids[1]]))
        assert "not what the file says" in why(first)
        assert "not what the file says" not in why(first, parents)
        assert "not what the file says" in why(other, parents)
        store.add_label(ids[0], "disco", "user")
        assert counts(store, parents)["disagreeing"] == 1, "what does not disagree is not taken off, either"
        store.add_label(ids[1], "jazz", "user")
        assert counts(store, parents)["disagreeing"] == 0
        stored = to_json({"disco": 0.9, "jazz": 0.1})
        assert lesson("disco", stored, '["Dance"]') == pytest.approx(0.9)
        assert lesson("disco", stored, '["Dance"]', parents) == pytest.approx(0.2)
    config = tmp_path / "config.toml"
    config.write_text('[parents]\ndisco = "Dance"\n', encoding="utf-8")
    assert [line["path"] for line in here("review", "--json").lines] == ["/music/2.mp3", "/music/3.mp3"]
    assert [line["path"] for line in here("review", "--json", "--config", config).lines] == ["/music/3.mp3"]
