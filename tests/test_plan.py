"""From tags, estimate and policy to an edit: the table of modes, and what must hold for any of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.plan import WritePolicy, plan_edit
from tagger.tracks import FileTags, GenreEstimate, GenreState, Status, WriteMode

ROCK = GenreEstimate("rock", 0.9, {"rock": 0.9, "pop": 0.1}, "")
UNSURE = GenreEstimate(None, 0.4, {"rock": 0.4, "pop": 0.35}, "best guess rock at 0.40, below 0.60")


def tags(*genres: str, raw: tuple[str, ...] | None = None, id3v1: int | None = None) -> FileTags:
    return FileTags("mp3", GenreState(genres if raw is None else raw, id3v1), genres)


@pytest.mark.parametrize(
    ("mode", "has", "status", "after"),
    [
        ("missing", (), Status.TAGGED, ("Rock",)),
        ("missing", ("Jazz",), Status.KEPT, None),
        ("missing", ("Rock",), Status.KEPT, None),
        ("append", (), Status.TAGGED, ("Rock",)),
        ("append", ("Jazz",), Status.TAGGED, ("Jazz", "Rock")),
        ("append", ("Jazz", "rock"), Status.UNCHANGED, None),
        ("overwrite", (), Status.TAGGED, ("Rock",)),
        ("overwrite", ("Jazz",), Status.TAGGED, ("Rock",)),
        ("overwrite", ("Rock",), Status.UNCHANGED, None),
        ("overwrite", ("Rock", "Jazz"), Status.TAGGED, ("Rock",)),
        ("own", (), Status.TAGGED, ("Rock",)),
        ("own", ("Jazz",), Status.KEPT, None),
    ],
)
def test_what_each_mode_does(
    mode: str, has: tuple[str, ...], status: Status, after: tuple[str, ...] | None
) -> None:
    plan = plan_edit(tags(*has), ROCK, WritePolicy(WriteMode(mode)), None)
    assert (plan.status, plan.after) == (status, after)
    assert plan.reason


def test_a_file_with_a_genre_is_kept_however_unsure_the_model_is() -> None:
    assert plan_edit(tags("Jazz"), UNSURE, WritePolicy(), None).status is Status.KEPT
    assert plan_edit(tags("Jazz"), UNSURE, WritePolicy(WriteMode.OWN), None).status is Status.KEPT
    assert plan_edit(tags(), UNSURE, WritePolicy(), None).status is Status.UNCERTAIN
    assert plan_edit(tags("Jazz"), UNSURE, WritePolicy(WriteMode.OVERWRITE), None).status is Status.UNCERTAIN


def test_own_replaces_what_this_program_wrote_and_nobody_changed() -> None:
    file = tags("Pop")
    assert plan_edit(file, ROCK, WritePolicy(WriteMode.OWN), file.state).after == ("Rock",)
    assert plan_edit(file, ROCK, WritePolicy(WriteMode.OWN), GenreState(("Jazz",))).after is None


def test_append_keeps_raw_values_and_spells_out_a_lone_id3v1_genre() -> None:
    policy = WritePolicy(WriteMode.APPEND)
    assert plan_edit(tags("Jazz", raw=("(8)",)), ROCK, policy, None).after == ("(8)", "Rock")
    assert plan_edit(tags("Jazz", raw=(), id3v1=8), ROCK, policy, None).after == ("Jazz", "Rock")


def test_the_users_names_are_written_and_dropped_labels_are_not() -> None:
    assert plan_edit(tags(), ROCK, WritePolicy(names={"rock": "Rock & Roll"}), None).after == ("Rock & Roll",)
    dropped = plan_edit(tags(), ROCK, WritePolicy(names={"rock": ""}), None)
    assert (dropped.status, dropped.after) == (Status.UNCERTAIN, None)
    assert plan_edit(tags(), ROCK, WritePolicy(whitelist=("Jazz",)), None).after is None


@given(
    mode=st.sampled_from(WriteMode),
    has=st.lists(st.sampled_from(["Jazz", "Rock", "rock", "Hip-Hop", "(17)"]), unique=True).map(tuple),
    own=st.none() | st.just(GenreState(("Jazz",))),
)
def test_a_models_word_never_clears_a_genre(
    mode: WriteMode, has: tuple[str, ...], own: GenreState | None
) -> None:
    assert plan_edit(tags(*has), UNSURE, WritePolicy(mode), own).after is None
    after = plan_edit(tags(*has), ROCK, WritePolicy(mode), own).after
    assert after is None or after[-1] == "Rock"
    if mode is WriteMode.APPEND and after is not None:
        assert after[:-1] == has


def test_the_key_changes_with_anything_that_decides() -> None:
    base = WritePolicy()
    others = [
        WritePolicy(WriteMode.APPEND),
        WritePolicy(threshold=0.7),
        WritePolicy(margin=0.1),
        WritePolicy(names={"rock": "Rock & Roll"}),
        WritePolicy(whitelist=("Rock",)),
    ]
    keys = {policy.key("a@1") for policy in (base, *others)} | {base.key("a@2")}
    assert len(keys) == len(others) + 2
    assert WritePolicy(names={"a": "A", "b": "B"}).key("m") == WritePolicy(names={"b": "B", "a": "A"}).key(
        "m"
    )
