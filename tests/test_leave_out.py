"""Leaving genres and collections out of the training; folds that stay when sources are added."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs the extra [train]")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from tagger.card import read_card
from tests.recipes_made import GENRES, call, make_data
from training.dataset import NO_GENRE, artist_folds
from training.folds import EVERY_FOLD, source_folds
from training.leave import SUMMARY_FILE, without_genre, without_source
from training.recipe import load_clips, read_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labelled collections, one of them without rock but with folk, which the recipe does not know."""
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    rng = np.random.default_rng(2)
    np.savez(
        folder / "other.npz",
        X=rng.integers(0, 256, (24, 128, 110), dtype=np.uint8),
        track=np.array([f"other{i}" for i in range(24)]),
        genre=np.array(["blues", "jazz", "folk"] * 8),
        artist=np.array([f"band{i % 12}" for i in range(24)]),
    )
    text = (folder / "recipe.toml").read_text(encoding="utf-8")
    added = """[[data]]
source = "other"
arrays = "other.npz"
hold_out = "artists"
soften = { blues = { rock = 0.3 }, rock = { jazz = 0.2 } }

[network]"""
    (folder / "recipe.toml").write_text(text.replace("[network]", added), encoding="utf-8")
    return folder


def test_a_recipe_without_a_genre_does_not_mention_it(data: Path) -> None:
    recipe = without_genre(read_recipe(data / "recipe.toml"), "rock")
    assert recipe.genres == ("blues", "jazz")
    assert [dict(d.soften) for d in recipe.data] == [{}, {}, {"blues": {}}]
    clips = load_clips(recipe, data)
    assert (clips.genre[clips.source == "made"] == NO_GENRE).sum() == 8


def test_a_recipe_without_a_collection_holds_it_out(data: Path) -> None:
    recipe = without_source(read_recipe(data / "recipe.toml"), "made")
    assert {d.source: d.hold_out for d in recipe.data} == {"made": "all", "none": "none", "other": "artists"}


@pytest.mark.slow
def test_each_genre_is_a_stranger_in_turn(data: Path, tmp_path: Path) -> None:
    work, recipe, odd = tmp_path / "work", data / "recipe.toml", f"odd={data / 'none.npz'}"
    said = call("leave-out", "genres", recipe, work, "--data", data, "--also", odd)
    found = json.loads((work / SUMMARY_FILE).read_text(encoding="utf-8"))
    assert found["what"] == "genres"
    assert list(found["found"]) == list(GENRES)
    assert [one["strangers"]["n_tracks"] for one in found["found"].values()] == [16, 16, 8]
    about = json.loads((work / "without-rock" / "run.json").read_text(encoding="utf-8"))
    assert about["recipe"]["genres"] == ["blues", "jazz"]
    report = json.loads((work / "without-rock" / "report.json").read_text(encoding="utf-8"))
    # learnt from: all but rock and the artists held out; those were measured instead
    n_held_out = report["held_out"]["all"]["n_tracks"] + report["none_of_these"]["other"]["n_tracks"]
    assert about["n_clips"] == 24 - 8 + 24 + 3 - n_held_out
    assert report["none_of_these"]["odd"]["n_tracks"] == 3
    assert "rock" in report["trade_off"][0]
    # a second call only measures
    before = (work / "without-jazz" / "model.keras").stat().st_mtime_ns
    again = call("leave-out", "genres", recipe, work, "--data", data)
    assert (work / "without-jazz" / "model.keras").stat().st_mtime_ns == before
    assert "step" in said
    assert "step 1" not in again


@pytest.mark.slow
def test_each_collection_is_new_in_turn(data: Path, tmp_path: Path) -> None:
    work, run = tmp_path / "work", tmp_path / "run"
    call("leave-out", "collections", data / "recipe.toml", work, "--data", data)
    found = json.loads((work / SUMMARY_FILE).read_text(encoding="utf-8"))["found"]
    assert list(found) == ["made", "other"]
    assert found["other"]["itself"]["n_tracks"] == 16
    assert found["other"]["strangers"]["n_tracks"] == 8, "nothing knows folk"
    assert found["made"]["itself"]["n_tracks"] == 16
    assert found["made"]["strangers"]["n_tracks"] == 8, "nothing else has rock"
    about = json.loads((work / "without-other" / "run.json").read_text(encoding="utf-8"))
    assert about["n_clips"] == 24 + 3 - found["other"]["others"]["n_tracks"]

    page, bundle = tmp_path / "page.md", tmp_path / "bundle"
    call("train", data / "recipe.toml", run, "--data", data)
    call("evaluate", data / "recipe.toml", run, "--data", data)
    call("export", data / "recipe.toml", run, bundle, "--page", page, "--left-out", work)
    written = page.read_text(encoding="utf-8")
    assert "Each collection left out, as that of a new user" in written
    assert f"| made | 16 | {found['made']['itself']['accuracy']:.3f} " in written
    details = json.loads((bundle / "metrics.json").read_text(encoding="utf-8"))
    assert details["left_out"]["collections"] == found
    summary = work / "left_out.json"
    told = json.loads(summary.read_text(encoding="utf-8"))
    assert told["of"] == read_card(bundle).model_id
    summary.write_text(json.dumps(told | {"of": "made@0"}), encoding="utf-8")
    call("export", data / "recipe.toml", run, bundle, "--page", page, "--left-out", work)
    assert "Each collection left out, by the recipe of made@0, as that" in page.read_text(encoding="utf-8")


def test_sources_that_hold_nothing_out_do_not_move_the_folds(data: Path) -> None:
    recipe = read_recipe(data / "recipe.toml")
    clips = load_clips(recipe, data)
    without = dataclasses.replace(recipe, data=(recipe.data[0], recipe.data[2]))
    others = load_clips(without, data)
    fold = source_folds(recipe, clips, 3, seed=1)
    assert (fold[clips.source == "none"] == EVERY_FOLD).all()
    kind = np.array([f"{s}/{g}" for s, g in zip(others.source, others.genre, strict=True)])
    assert (fold[clips.source != "none"] == artist_folds(others.artist, kind, 3, seed=1)).all()


@pytest.mark.slow
def test_folds_go_on_from_the_same_folds_alone(data: Path, tmp_path: Path) -> None:
    recipe, first, second = data / "recipe.toml", tmp_path / "first", tmp_path / "second"
    more = ("--data", data, "--folds", "2")
    call("crossvalidate", recipe, first, *more)
    # trained on with next to no learning rate it is still the first; begun at random it is another
    still = ("--set", "train.learning_rate=1e-9", "--set", "train.warmup_steps=0")
    call("crossvalidate", recipe, second, *more, *still, "--init", first)
    call("crossvalidate", recipe, tmp_path / "random", *more, *still, "--seed", 3)
    a, b, c = (
        keras.models.load_model(work / "fold0" / "model.keras").get_layer("hidden").get_weights()[0]
        for work in (first, second, tmp_path / "random")
    )
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert not np.allclose(a, c, atol=1e-2)
    with_other_start = call("crossvalidate", recipe, second, *more, *still, code=1)
    assert "another start" in with_other_start
    for wrong, message in (
        (("--init", first, "--seed", 7), "of other folds"),
        (("--init", first, "--set", "network.hidden=6"), "of other genres or another size"),
        (("--init", tmp_path), "holds no trained network"),
        (("--init", first, "--leaky"), "leave --init out"),
    ):
        assert message in call("crossvalidate", recipe, tmp_path / "x", *more, *wrong, code=1)
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_left_out_is_said_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    more = ("--data", data)
    said = call("leave-out", "genres", data / "recipe.toml", tmp_path, *more, "--only", "polka", code=1)
    assert "has no polka to leave out; it has blues, jazz, rock" in said
    alone = tmp_path / "alone.toml"
    text = (data / "recipe.toml").read_text(encoding="utf-8")
    alone.write_text(text.replace('arrays = "other.npz"', 'arrays = "none.npz"'), encoding="utf-8")
    said = call("leave-out", "collections", alone, tmp_path, *more, code=1)
    assert "there is nothing left to learn from" in said
