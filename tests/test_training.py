"""Training: the pure parts by property, and two real steps that end in a bundle the program loads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("keras", reason="training needs the extra [train]")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import soundfile

from tagger.bundle import shipped_model_dir, shipped_models
from tagger.card import read_card
from tagger.errors import TaggerError
from tagger.feature_config import FeatureConfig
from tagger.features import log_mel, mels_from_cache, normalise
from tagger.learning.reference import read_reference
from tagger.model import load_model
from tests.recipes_made import GENRES, RECIPE, call, make_data
from training import augment, evaluate
from training.batches import Batches
from training.bundle import evidence
from training.dataset import NO_GENRE, Clips, DatasetError, artist_folds, concatenate, read_arrays
from training.folds import as_chunks, random_folds
from training.nonmusic import make_nonmusic
from training.page import page as make_page
from training.recipe import held_out, load_clips, read_recipe

TRAINING = Path(__file__).resolve().parents[1] / "training"
RECIPES, CARDS = TRAINING / "recipes", TRAINING / "cards"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


@pytest.mark.slow
def test_two_steps_end_in_a_loadable_bundle(data: Path, tmp_path: Path) -> None:
    run, bundle, page = tmp_path / "run", tmp_path / "bundle", tmp_path / "page.md"
    recipe = data / "recipe.toml"
    call("train", recipe, run, "--data", data)
    call("evaluate", recipe, run, "--data", data, "--also", f"odd={data / 'none.npz'}")
    leaky = tmp_path / "leaky"
    leaky.mkdir()
    (leaky / "leaky.json").write_text('{"chunk_accuracy": 0.9, "n_chunks": 9, "n_folds": 2}')
    more = ("--page", page, "--seed-run", run, "--leaky", leaky, "--precision", "float32")
    said = call("export", recipe, run, bundle, *more)

    model = load_model(bundle)
    assert model.card.genres == GENRES
    assert model.card.metrics["speed_one_thread"]["largest_difference_from_keras"] < 1e-4
    assert "tiny@1" in said
    assert model.card.training["n_clips"] == 24 + 3 - model.card.metrics["held_out"]["all"]["n_tracks"]
    logits, embedding = model.predict(np.zeros((3, 52, 128), np.float32))
    assert (logits.shape, embedding.shape) == ((3, 3), (3, 8))
    written = page.read_text(encoding="utf-8")
    assert "| held out: all |" in written
    assert "Accuracy of 2 seeds" in written
    assert "at random, as is often done, it would seem to be 0.90" in written
    details = json.loads((bundle / "metrics.json").read_text(encoding="utf-8"))
    assert [row["step"] for row in details["curve"]] == [1, 2]
    for what in ("coverage", "odd"):  # the higher the threshold, the fewer get a genre
        shares = [row[what] for row in details["trade_off"]]
        assert shares == sorted(shares, reverse=True)
    assert "| threshold | named | right | odd |" in written
    assert details["seeds"]["deviation"] == 0
    honest = details["held_out"]["all"]["chunk_accuracy"]
    assert model.card.metrics["leaky"]["honest_chunk_accuracy"] == honest
    assert model.card.metrics["none_of_these"]["odd"]["n_tracks"] == 3

    n_learnt = 24 - model.card.metrics["held_out"]["all"]["n_tracks"]
    assert f"{n_learnt} tracks" in call("reference", recipe, bundle, "--data", data)
    assert read_reference(bundle, load_model(bundle).card) is not None

    # a finished run has nothing to resume, and another recipe may not take its checkpoint over
    curve = json.loads((run / "curve.json").read_text(encoding="utf-8"))
    assert [row["step"] for row in curve] == [1, 2]
    call("train", recipe, run, "--data", data)
    assert json.loads((run / "curve.json").read_text(encoding="utf-8")) == curve
    refusal = call("train", recipe, run, "--data", data, "--set", "train.steps=3", code=1)
    assert "is of another recipe" in refusal


@pytest.mark.parametrize("folds", [False, True])
def test_the_seeds_of_folds_stand_apart(tmp_path: Path, folds: bool) -> None:
    def run(name: str, accuracy: float) -> Path:
        (tmp_path / name).mkdir()
        part = {"accuracy": accuracy, "n_tracks": 20}
        report = {"held_out": {"all": part, "gtzan": part | {"n_tracks": 15}}}
        (tmp_path / name / "report.json").write_text(json.dumps(report), encoding="utf-8")
        about = {"n_folds": 5} if folds and name == "measured" else {}
        (tmp_path / name / "run.json").write_text(json.dumps(about), encoding="utf-8")
        return tmp_path / name

    found = evidence(run("measured", 0.9), [run("one", 0.5), run("two", 0.7)])["seeds"]
    assert found["apart"] is folds
    assert found["accuracy"] == ([0.5, 0.7] if folds else [0.9, 0.5, 0.7])
    assert found["mean"] == (0.6 if folds else 0.7) and found["n_tracks"] == 20
    assert found["by_source"]["gtzan"]["n_tracks"] == 15


@pytest.mark.parametrize("name", shipped_models())
def test_a_models_page_says_what_its_bundle_says(name: str) -> None:
    bundle = shipped_model_dir(name)
    details = json.loads((bundle / "metrics.json").read_text(encoding="utf-8"))
    assert (CARDS / f"{name}.md").read_text(encoding="utf-8") == make_page(read_card(bundle), details)


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_never_stopped(data: Path, tmp_path: Path) -> None:
    from training import train as module

    recipe = read_recipe(
        data / "recipe.toml", {"train.steps": 4, "network.dropout": 0.0, "network.dense_dropout": 0.0}
    )
    clips = load_clips(recipe, data)
    whole = module.train(clips, {}, recipe, seed=3)

    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("step 3"):
            raise Stop

    with pytest.raises(Stop):
        module.train(clips, {}, recipe, seed=3, folder=tmp_path, say=stop)
    done = module.train(clips, {}, recipe, seed=3, folder=tmp_path)
    assert [row["step"] for row in done.curve][-1] == 4
    for a, b in zip(whole.network.get_weights(), done.network.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("leaky", [False, True])
def test_crossvalidation_hears_every_track_once(data: Path, tmp_path: Path, leaky: bool) -> None:
    settings = ["--set", "train.steps=1", "--folds", "2", *(["--leaky"] if leaky else [])]
    said = call("crossvalidate", data / "recipe.toml", tmp_path, "--data", data, *settings)
    if leaky:
        assert f"of {24 * 3} chunks" in said
        assert "LEAKY" in said
        assert json.loads((tmp_path / "leaky.json").read_text(encoding="utf-8"))["n_chunks"] == 24 * 3
        assert not (tmp_path / "report.json").exists()
    else:
        report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert report["held_out"]["all"]["n_tracks"] == 24
        assert report["none_of_these"] == {}, "what every network learns from says nothing"
        # the folds are there, so that a second call only measures, and what one fold held out is told apart
        before = [path.read_bytes() for path in sorted(tmp_path.glob("fold*/model.keras"))]
        odd = f"odd={data / 'none.npz'}"
        call("crossvalidate", data / "recipe.toml", tmp_path, "--data", data, *settings, "--also", odd)
        assert [path.read_bytes() for path in sorted(tmp_path.glob("fold*/model.keras"))] == before != []
        again = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert again["held_out"] == report["held_out"]
        assert again["none_of_these"]["odd"]["n_tracks"] == 2 * 3, "heard by both networks"
        refusal = call(
            "crossvalidate", data / "recipe.toml", tmp_path, "--data", data, *settings, "--seed", 7, code=1
        )
        assert "another recipe or seed" in refusal


@pytest.mark.slow
def test_networks_of_the_folds_teach_the_one_that_ships(data: Path, tmp_path: Path) -> None:
    recipe, work = data / "recipe.toml", tmp_path / "folds"
    call("crossvalidate", recipe, work, "--data", data, "--set", "train.steps=1", "--folds", "2")
    taught = [part for k in range(2) for part in ("--distil-from", work / f"fold{k}")]
    call("train", recipe, tmp_path / "all", "--data", data, "--all", *taught)
    call("train", recipe, tmp_path / "alone", "--data", data, "--all")
    page = tmp_path / "page.md"
    more = ("--report", work, "--page", page)
    call("export", recipe, tmp_path / "all", tmp_path / "bundle", *more)
    card = load_model(tmp_path / "bundle").card
    report = json.loads((work / "report.json").read_text(encoding="utf-8"))
    assert card.calibration.temperature == report["temperature"]
    assert card.training["distilled_from"] == card.training["figures_are_of_n_networks"] == 2
    written = page.read_text(encoding="utf-8")
    assert "those of 2 networks" in written
    assert "taught by the 2 others" in written
    a, b = (
        keras.models.load_model(tmp_path / name / "model.keras").get_weights() for name in ("all", "alone")
    )
    assert any(not np.allclose(x, y) for x, y in zip(a, b, strict=True))


def test_what_an_ensemble_says_of_a_crop_is_part_of_its_target(data: Path) -> None:
    recipe = read_recipe(data / "recipe.toml", {"train.distil_weight": 0.25})
    clips = load_clips(recipe, data)
    said = [np.full((8, 3), 0.0), np.tile(np.log([0.7, 0.2, 0.1]), (8, 1))]

    class Fixed:
        def __init__(self, logits: np.ndarray) -> None:
            self.logits = logits

        def predict_on_batch(self, x: np.ndarray) -> dict[str, np.ndarray]:
            return {"logits": self.logits}

    plain = Batches(clips, {}, recipe, seed=1)
    taught = Batches(clips, {}, recipe, seed=1, ensemble=[Fixed(s) for s in said])
    for step in range(4):
        x, wanted, _ = plain.batch(step)
        y, mixed, _ = taught.batch(step)
        np.testing.assert_array_equal(x, y)
        share = [[1 / 3] * 3, [0.7, 0.2, 0.1]][step % 2]
        np.testing.assert_allclose(
            mixed["logits"], 0.75 * wanted["logits"] + 0.25 * np.array(share), atol=1e-6
        )


def test_an_unfinished_run_is_not_measured(data: Path, tmp_path: Path) -> None:
    said = call("evaluate", data / "recipe.toml", tmp_path, "--data", data, code=1)
    assert "holds no trained network" in said


def test_prepare_makes_the_features_of_the_program(tmp_path: Path) -> None:
    sr = FeatureConfig().sr
    rng = np.random.default_rng(0)
    sounds = {"jazz/a.flac": 31, "jazz/b.wav": 46, "rock/c.flac": 5, "rock/short.flac": 1}
    for name, seconds in sounds.items():
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        y = 0.1 * rng.standard_normal(seconds * sr) * np.linspace(0.05, 1, seconds * sr)
        soundfile.write(path, y, sr, subtype="PCM_16")
    (tmp_path / "music/jazz/broken.mp3").write_bytes(b"not music")
    (tmp_path / "music/jazz/.hidden").write_bytes(b"")
    soundfile.write(tmp_path / "music/rock/silent.wav", np.zeros(6 * sr), sr)

    out = tmp_path / "arrays" / "made.npz"
    said = call("prepare", tmp_path / "music", out)
    assert said.count("left out: ") == 3
    for name in ("broken.mp3", "short.flac", "silent.wav"):
        assert name in said
    clips = read_arrays(out, source="made", genres=("rock", "jazz"))
    assert sorted(zip(clips.track.tolist(), clips.genre.tolist(), strict=True)) == [
        ("jazz/a", 1),
        ("jazz/b", 1),
        ("jazz/b", 1),
        ("rock/c", 0),
    ]
    with np.load(out) as stored:
        assert stored["fingerprint"] == FeatureConfig().fingerprint()
    y, _ = soundfile.read(tmp_path / "music/jazz/a.flac", dtype="float32", frames=30 * sr)
    wanted = normalise(log_mel(y, FeatureConfig()))
    np.testing.assert_allclose(clips.mel[clips.track == "jazz/a"][0], wanted, atol=0.02)


def test_prepare_of_nothing(tmp_path: Path) -> None:
    assert "holds no usable audio" in call("prepare", tmp_path, tmp_path / "x.npz", code=1)


@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3)), min_size=1, max_size=80),
    st.integers(2, 6),
    st.integers(0, 9),
)
def test_no_artist_is_on_both_sides_of_a_fold(rows: list[tuple[int, int]], n_folds: int, seed: int) -> None:
    artist = np.array([f"artist {a}" for a, _ in rows])
    genre = np.array([g for _, g in rows])
    fold = artist_folds(artist, genre, n_folds, seed)
    assert set(fold.tolist()) <= set(range(n_folds))
    for name in set(artist.tolist()):
        assert len(set(fold[artist == name].tolist())) == 1


def test_folds_of_equal_artists_are_even() -> None:
    artist = np.array([f"a{i // 2}" for i in range(200)])
    genre = np.array([i // 2 % 5 for i in range(200)])
    fold = artist_folds(artist, genre, 5, seed=0)
    counts = np.array([[(fold[genre == g] == k).sum() for k in range(5)] for g in range(5)])
    assert (counts == 8).all()


@pytest.mark.parametrize("recipe", sorted(p.name for p in RECIPES.glob("*.toml")))
def test_shipped_recipes_read_and_hold_out_whole_artists(recipe: str, tmp_path: Path) -> None:
    read = read_recipe(RECIPES / recipe)
    shared = Path(os.environ.get("TAGGER_TEST_DATA", RECIPES.parents[2] / "shared" / "data")).resolve()
    if not (shared / "gtzan-mel").exists():
        pytest.skip(f"the mel arrays are not in {shared} (set TAGGER_TEST_DATA)")
    data = tmp_path / "data"
    data.mkdir()
    for folder in shared.iterdir():
        if folder.is_dir():  # not what is made below: it would be written through the link
            (data / folder.name).symlink_to(folder)
    make_nonmusic(data / "nonmusic.npz", n_speech=0, n_noise=6, seed=0)
    clips = load_clips(read, data)
    kept = held_out(read, clips)
    assert 0.15 < kept.mean() < 0.4
    for source in set(clips.source.tolist()):
        here = clips.source == source
        tracks = set(clips.track[here & kept]) & set(clips.track[here & ~kept])
        artists = set(clips.artist[here & kept]) & set(clips.artist[here & ~kept])
        assert not tracks
        if source != "gtzan":  # the published split has a few artists on both sides under other names
            assert not artists
    assert (clips.genre[clips.source == "gtzan"] != NO_GENRE).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 1 =", "cannot be read"),
        (RECIPE.replace("[network]", "[network]\ncolour = 3"), "settings that do not exist: colour"),
        (RECIPE.replace('arrays = "made.npz"', ""), "is incomplete"),
        ('name = "x"\nversion = "1"\ngenres = ["a", "b"]', "names no data"),
    ],
)
def test_bad_recipes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_recipe(tmp_path / "recipe.toml")


def test_a_damaged_array_file(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(TaggerError, match="is not a file of mel arrays"):
        read_arrays(tmp_path / "x.npz", source="x", genres=GENRES)
    with pytest.raises(TaggerError, match="is not a file of mel arrays"):
        read_arrays(tmp_path / "gone.npz", source="x", genres=GENRES)


def some_clips(n: int = 12, frames: int = 90) -> Clips:
    mel = np.random.default_rng(0).standard_normal((n, frames, 128)).astype(np.float32)
    names = np.array([f"t{i}" for i in range(n)])
    return Clips(mel, np.arange(n) % 3, names, names, np.full(n, "made"), np.full(n, "train"), GENRES)


def test_clips_of_other_genres_do_not_mix() -> None:
    clips = some_clips()
    other = Clips(
        *(getattr(clips, f) for f in ("mel", "genre", "track", "artist", "source", "split")), ("a",)
    )
    with pytest.raises(DatasetError, match="same genres"):
        concatenate([clips, other])


def test_the_leaky_split_leaks_and_is_only_for_show() -> None:
    chunks, rows = as_chunks(some_clips(frames=52 + 26 * 3))
    assert chunks.mel.shape == (48, 52, 128)
    np.testing.assert_array_equal(chunks.mel[0, 26:], chunks.mel[1, :26])
    fold = random_folds(len(chunks), 5, seed=0)
    assert any(len(set(fold[rows == r].tolist())) > 1 for r in range(12))


BATCH = some_clips(6, 52).mel


@given(st.floats(0, 0.6), st.floats(0, 0.5), st.integers(0, 99))
@settings(max_examples=25)
def test_distorting_keeps_the_scale(tilt: float, curve: float, seed: int) -> None:
    """What is filtered and compressed is normalised again, as the program would have done."""
    clips = normalise(np.random.default_rng(seed).standard_normal((6, 300, 128)).astype(np.float32))
    config = augment.AugmentConfig(tilt=tilt, curve=curve, noise=0.0, compression=0.5)
    loudness = clips.mean(axis=2).var(axis=1)
    x = augment.distort(clips, clips.mean(axis=1), loudness, config, np.random.default_rng(seed))
    np.testing.assert_allclose(x.mean(axis=(1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(x.std(axis=(1, 2)), 1, atol=0.05)


@given(arrays(np.float64, 6, elements=st.integers(-5, 5).map(float)))
def test_whole_shifts_move_bins(shifts: Any) -> None:
    moved = augment.shift_pitch(BATCH, shifts)
    for x, y, k in zip(BATCH, moved, shifts.astype(int), strict=True):
        inner = slice(max(k, 0), 128 + min(k, 0))
        source = slice(max(-k, 0), 128 - max(k, 0))
        np.testing.assert_allclose(y[:, inner], x[:, source], atol=1e-6)


def test_masks_blank_and_leave_the_rest() -> None:
    x = BATCH.copy()
    augment.mask(x, augment.AugmentConfig(time_masks=2, band_masks=2), np.random.default_rng(0))
    assert 0.01 < (x == 0).mean() < 0.6
    np.testing.assert_array_equal(x[x != 0], BATCH[x != 0])


def test_styles_are_mixed_without_touching_the_music() -> None:
    x = augment.mix_styles(BATCH, 1.0, np.random.default_rng(0))
    assert np.abs(x - BATCH).max() > 0.1
    for a, b in zip(BATCH, x, strict=True):
        for band in (0, 64, 127):
            assert np.corrcoef(a[:, band], b[:, band])[0, 1] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(augment.mix_styles(BATCH, 0.0, np.random.default_rng(0)), BATCH, atol=1e-5)


@given(st.integers(0, 99))
def test_the_crop_itself_is_never_the_lesser_part(seed: int) -> None:
    weight = augment.mixing_weights(50, augment.AugmentConfig(mixup_share=0.5), np.random.default_rng(seed))
    assert ((weight >= 0.5) & (weight <= 1)).all()
    assert (weight == 1).any()


def test_crops_at_full_speed_are_the_clip() -> None:
    clips = some_clips()
    rows = np.array([3, 5])
    x = augment.crops(clips.mel, rows, np.array([0.0, 17.0]), np.zeros(2), 52)
    np.testing.assert_array_equal(x[0], clips.mel[3, :52])
    np.testing.assert_array_equal(x[1], clips.mel[5, 17:69])


def heard(logits: Any, genre: Any) -> evaluate.HeardTracks:
    genre = np.asarray(genre, dtype=np.int64)
    names = np.array([f"t{i}" for i in range(len(genre))])
    chunks = tuple(np.asarray(c, dtype=np.float32) for c in logits)
    return evaluate.HeardTracks(chunks, genre, names, names, np.full(len(genre), "made"))


def test_the_figures_of_a_case_worked_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.45, 0.55], [0.2, 0.8]])
    said = heard([[np.log(row)] for row in p], [0, 1, 1, 1])
    m = evaluate.measure(said, ("a", "b"), p, np.array([True, False, False, True]))
    assert m["accuracy"] == m["chunk_accuracy"] == 0.75
    assert m["confusion"]["rows_are_reference"] == [[1, 0], [1, 2]]
    assert m["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-3)
    assert m["ece"] == pytest.approx((0.1 + 0.6 + 0.45 + 0.2) / 4, abs=1e-3)
    assert (m["coverage"], m["precision_when_given"]) == (0.5, 1.0)
    assert m["per_genre"]["a"]["precision"] == 0.5
    low, high = m["accuracy_95"]
    assert low < 0.75 < high
    assert m["risk_coverage"][0]["precision"] == m["risk_coverage"][1]["precision"] == 1


def test_the_temperature_undoes_a_known_one() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3000, 1, 4)) * 2
    p = evaluate.softmax(logits[:, 0])
    genre = [rng.choice(4, p=row) for row in p]
    assert evaluate.fit_temperature(heard(logits * 3, genre)) == pytest.approx(3, rel=0.15)


def test_the_threshold_has_the_precision_it_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(2000)
    p = np.stack([confidence, 1 - confidence], axis=1)
    p.sort(axis=1)
    correct = rng.random(2000) < p.max(axis=1)
    threshold = evaluate.precision_threshold(p, correct, 0.9)
    assert 0.7 < threshold < 0.9
    assert correct[p.max(axis=1) >= threshold].mean() >= 0.9
    assert evaluate.precision_threshold(p, np.zeros(2000, bool), 0.9) == 1.0


def test_a_track_is_the_mean_of_all_its_clips() -> None:
    clips = some_clips(4)
    clips = Clips(
        clips.mel,
        np.array([0, 1, 0, 1]),
        np.array(["x", "y", "x", "y"]),
        clips.artist,
        clips.source,
        clips.split,
        GENRES,
    )
    logits = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
    tracks = evaluate.by_track(clips, logits)
    assert tracks.track.tolist() == ["x", "y"]
    assert tracks.genre.tolist() == [0, 1]
    np.testing.assert_array_equal(tracks.chunks[0], np.concatenate([logits[0], logits[2]]))


def test_cached_arrays_come_back() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 128, 60), dtype=np.uint8)
    np.testing.assert_allclose(mels_from_cache(x).std(axis=(1, 2)), 1, atol=1e-4)
