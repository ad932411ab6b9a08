"""Bundles of heads: saved, read strictly, chosen, taken back; and a head on real files, with undo."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tagger.bundle import shipped_model_dir
from tagger.card import read_card
from tagger.errors import ModelError
from tagger.learning.headcard import check_name
from tagger.learning.headfile import WEIGHTS_FILE, read_head, save_head
from tagger.learning.heads import judge
from tagger.learning.shelf import (
    choices,
    choose_head,
    chosen_head,
    find_head,
    head_folder,
    heads_dir,
    list_heads,
    remove_taught,
)
from tagger.model import load_model
from tagger.pooling import pooled_dims
from tagger.store import Store
from tests import media
from tests.conftest import Tagger, tree
from tests.heads_made import base, head_that_says, heard

CARD, _ = base()
N_DIMS = pooled_dims(load_model(shipped_model_dir("gtzan")).n_dims)


def test_a_head_comes_back_as_it_was(tmp_path: Path) -> None:
    made = head_that_says("Zouk", CARD, 240)
    first, second = save_head(tmp_path, made), save_head(tmp_path, made)
    assert (first.card.head_id, second.card.head_id) == ("mine@1", "mine@2")
    assert first.card.key != second.card.key
    back = read_head(tmp_path / "mine" / "1")
    for name in ("mean", "scale", "weights", "bias", "kept", "memory", "nonmusic", "digests", "said"):
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    x, p = np.ones((3, 240), np.float32), np.full((3, 10), 0.1)
    np.testing.assert_array_equal(back.probabilities(x, p), made.probabilities(x, p))
    assert [p.name for p in (tmp_path / "mine").iterdir() if not p.name.isdecimal()] == []


def test_what_is_nearer_to_noises_than_to_music_gets_no_genre() -> None:
    made = head_that_says("Zouk", CARD, N_DIMS)
    music, noise = np.zeros((12, N_DIMS), np.float32), np.full((12, N_DIMS), 2, np.float32)
    head = replace(made, memory=music, nonmusic=noise)
    nearer = heard(np.full(N_DIMS, 0.9, np.float32), len(CARD.genres))
    farther = heard(np.full(N_DIMS, 1.1, np.float32), len(CARD.genres))
    assert judge(nearer, CARD, head, None).genre == "Zouk"
    estimate = judge(farther, CARD, head, None)
    assert estimate.genre is None
    assert estimate.reason == "more like speech or noise than like music"
    assert judge(farther, CARD, replace(made, memory=music), None).genre == "Zouk", "it knows of no noises"


def test_a_head_saved_before_there_were_noises_is_read(tmp_path: Path) -> None:
    save_head(tmp_path, head_that_says("Zouk", CARD, 240))
    folder = tmp_path / "mine" / "1"
    with np.load(folder / WEIGHTS_FILE) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "nonmusic"}
    np.savez(folder / WEIGHTS_FILE, **arrays)
    _card(lambda card: card.update(sha256=_digest(folder)))(folder)
    head = read_head(folder)
    assert head.nonmusic.shape == (0, 240)
    assert np.isinf(head.distance_from_nonmusic(np.ones((2, 240)))).all()


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()


def _card(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        change(card)
        (folder / "card.json").write_text(json.dumps(card))

    return spoil


def _pickled(folder: Path) -> None:
    np.savez(folder / WEIGHTS_FILE, mean=np.array([{}], dtype=object))
    _card(lambda card: card.update(sha256=_digest(folder)))(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "there is no head in"),
        (lambda f: (f / "card.json").write_text("{"), "has a damaged card"),
        (_card(lambda c: c.update(format=9)), "has a card of another format than 1"),
        (_card(lambda c: c.pop("blend")), "does not fit this program: blend"),
        (_card(lambda c: c.update(code="import os")), "does not fit this program: code"),
        (_card(lambda c: c.update(genres=["Zouk"])), "must know two genres"),
        (_card(lambda c: c.update(genres=["Zouk", "Zouk"])), "names a genre twice"),
        (_card(lambda c: c.update(version="1")), "says nothing of use under 'version'"),
        (_card(lambda c: c.update(threshold=2)), "has no number from 0 to 1 for 'threshold'"),
        (_card(lambda c: c.update(n_kept=7)), "has sizes that cannot be"),
        (_card(lambda c: c.update(n_dims=7)), "has weights that do not fit its card"),
        (lambda f: (f / WEIGHTS_FILE).unlink(), "has lost its weights"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes(b"x"), "the SHA-256 of its weights is not its card's"),
        (_pickled, "has damaged weights"),
    ],
)
def test_a_bad_head_is_refused_with_its_own_message(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    save_head(tmp_path, head_that_says("Zouk", CARD, 240))
    spoil(tmp_path / "mine" / "1")
    with pytest.raises(ModelError, match=message):
        read_head(tmp_path / "mine" / "1")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    bad = head_that_says("Zouk", CARD, 240)
    bad.bias[0] = np.nan
    with pytest.raises(ModelError, match="no numbers to reckon with"):
        save_head(tmp_path, bad)


@pytest.mark.parametrize("name", ["", "a/b", "..", "base", "x" * 41, "-x", "a b", "é"])
def test_names_that_no_folder_should_have(name: str) -> None:
    with pytest.raises(ModelError, match="cannot be the name of a head"):
        check_name(name)


def test_choices_are_remembered_and_taken_back(tmp_path: Path) -> None:
    database = tmp_path / "tagger.db"
    tmp_path = heads_dir(database)
    assert chosen_head(tmp_path, CARD) == (None, "")
    for _ in range(2):
        save_head(tmp_path, head_that_says("Zouk", CARD, 240))
    assert find_head(tmp_path, "mine") == "mine@2"
    assert find_head(tmp_path, "mine@1") == "mine@1"
    for wrong in ("mine@3", "other", "../mine", "mine@x"):
        with pytest.raises(ModelError, match=r"there is mine@1, mine@2"):
            find_head(tmp_path, wrong)
    choose_head(tmp_path, ["mine@1", "mine@2"])
    head, unfit = chosen_head(tmp_path, CARD)
    assert head is not None
    assert (head.card.head_id, unfit) == ("mine@2", "")
    remove_taught(database, "mine@2")
    assert choices(tmp_path) == ["mine@1"]
    assert not head_folder(tmp_path, "mine@2").exists()
    (tmp_path / "mine" / "1" / "card.json").write_text("{")
    assert [type(one) for one in list_heads(tmp_path)] == [ModelError]
    with pytest.raises(ModelError, match="damaged"):
        chosen_head(tmp_path, CARD)
    (tmp_path / "chosen.json").write_text("nonsense")
    with pytest.raises(ModelError, match="tagger models use"):
        choices(tmp_path)


def test_a_head_of_another_base_model_is_not_used(tmp_path: Path) -> None:
    import dataclasses

    save_head(tmp_path, head_that_says("Zouk", CARD, 240))
    choose_head(tmp_path, ["mine@1"])
    other = dataclasses.replace(CARD, version="7")
    head, unfit = chosen_head(tmp_path, other)
    assert head is None
    assert f"was learnt on {CARD.model_id} and is not used with gtzan@7" in unfit


def test_a_head_decides_without_listening_and_is_taken_back(tmp_path: Path, tagger: Tagger) -> None:
    """On real files: the head's run writes, undo brings the tags back, `models back` the decisions."""
    music = tmp_path / "music"
    music.mkdir()
    for seed in range(2):
        media.make(music / f"{seed}.flac", "flac", seconds=6, seed=seed, tags={"artist": "Someone"})
    model = ("--model", "gtzan", "--threshold", "0")
    before = tree(music)
    heard = tagger("scan", "--model", "gtzan", "--jobs", 1, music)
    assert heard.code == 0, heard.err
    first = tagger("write", *model, "--dry-run", "--json", music).by_name()
    shelf = heads_dir(tmp_path / "data" / "tagger.db")
    save_head(shelf, head_that_says("Zouk", CARD, N_DIMS))

    used = tagger("models", "use", "mine")
    assert (used.code, "mine@1 decides" in used.out) == (0, True)
    listed = tagger("models", "--json").lines
    assert [line["id"] for line in listed if line["used"]] == [
        read_card(shipped_model_dir()).model_id,
        "mine@1",
    ]

    again = tagger("run", *model, "--json", music)
    assert again.code == 0, again.err
    assert {line["genre"] for line in again.lines} == {"Zouk"}
    assert {line["status"] for line in again.lines} == {"tagged"}
    with Store.open(tmp_path / "data" / "tagger.db", read_only=True) as store:
        (run,) = store.runs(1)
    assert run.options["head"] == "mine@1"
    assert run.tracks_per_s is None, "it listened"
    undone = tagger("undo", "--yes")
    assert undone.code == 0, undone.err
    assert {k: v.split()[0] for k, v in tree(music).items()} == {k: v.split()[0] for k, v in before.items()}

    assert tagger("models", "back").code == 0
    back = tagger("write", *model, "--dry-run", "--json", music).by_name()
    assert {name: (line["genre"], line["genres"]) for name, line in back.items()} == {
        name: (line["genre"], line["genres"]) for name, line in first.items()
    }
    assert tagger("models", "remove", "mine@1").code == 0
    assert tagger("models", "use", "mine").code == 3


def test_an_embedding_of_an_earlier_version_is_made_again_on_request(tmp_path: Path, tagger: Tagger) -> None:
    music = tmp_path / "music"
    music.mkdir()
    media.make(music / "a.flac", "flac", seconds=6, tags={"artist": "Someone"})
    scan = ("scan", "--model", "gtzan", "--jobs", 1, music)
    assert tagger(*scan).code == 0
    db = tmp_path / "data" / "tagger.db"
    with Store.open(db) as store:
        store._conn.execute("UPDATE analyses SET embedding = substr(embedding, 1, 384)")
    save_head(heads_dir(db), head_that_says("Zouk", CARD, N_DIMS))
    assert tagger("models", "use", "mine@1").code == 0
    (line,) = tagger("write", "--model", "gtzan", "--json").lines
    assert (line["status"], line["genre"]) == ("uncertain", None)
    assert "`tagger run --stale` listens again" in line["reason"]
    assert tagger(*scan, "--stale").code == 0
    (line,) = tagger("write", "--model", "gtzan", "--json").lines
    assert (line["status"], line["genre"]) == ("tagged", "Zouk")
