"""Training on from a shipped network: what is handed over, what is learnt, what is kept and used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("keras", reason="training needs the extra [train]")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from tagger.bundle import shipped_model_dir
from tagger.card import ModelCard, read_card
from tagger.errors import ModelError
from tagger.feature_config import FeatureConfig
from tagger.learning.lessons import Lessons, gather
from tagger.learning.shelf import choices, heads_dir, model_in_use, models_dir, own_models
from tagger.learning.tuning import Job, keep_model, open_job, plan_job, renamed, report_on
from tagger.model import load_model
from tagger.store import Store
from tests import media
from tests.conftest import Tagger
from tests.heads_made import base, collection, sounds
from tests.inprocess import Here, here
from training import tune as tuning_core
from training.batches import targets
from training.collection import LEAST_TRACKS, Manifest, Pupil, choose, load, read_manifest
from training.dataset import Clips, DatasetError
from training.export import NETWORK_FILE, save_network, to_litert, write_bundle
from training.network import NetworkConfig, build
from training.probe import PENALTY, fit_layer, with_fitted_layer
from training.recipe import Recipe, SourceConfig
from training.train import predict_logits
from training.tune import OWN, REHEARSAL, n_steps, start_network, tune

__all__ = ["here"]

CARD, REFERENCE = base()
TINY = NetworkConfig(stem=4, widths=(4, 4, 4, 4), hidden=5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelCard, keras.Model]:
    """A bundle with a very small network of two genres."""
    folder = tmp_path_factory.mktemp("bundle")
    keras.utils.set_random_seed(0)
    network = build(TINY, 2)
    recipe = Recipe("tiny", "1", ("blues", "jazz"), (SourceConfig("made", "made.npz"),), network=TINY)
    card = write_bundle(
        folder, to_litert(network), name="tiny", version="1", genres=recipe.genres, features=FeatureConfig(),
        temperature=1.0, threshold=0.5, metrics={},
        training={"recipe": recipe.to_dict(), "network": save_network(folder, network)}, licence="made",
    )  # fmt: skip
    return folder, card, network


def test_a_network_goes_on_from_the_very_weights_of_the_bundle() -> None:
    """What a shipped network says, in half precision, and of a genre that is new nothing in particular."""
    directory = shipped_model_dir("gtzan")
    network, _ = start_network(directory, read_card(directory), 2)
    x = np.random.default_rng(0).standard_normal((16, 52, 128), dtype=np.float32)
    logits = network.predict(x, verbose=0)["logits"]
    shipped, _ = load_model(directory).predict(x)
    np.testing.assert_allclose(logits[:, :-2], shipped, atol=0.15)  # the shipped one multiplies in 8 bits
    np.testing.assert_allclose(
        logits[:, -2:], np.repeat(logits[:, :-2].mean(axis=1), 2).reshape(-1, 2), atol=1e-3
    )


def test_weights_that_are_missing_or_changed_are_refused(
    tiny: tuple[Path, ModelCard, keras.Model], tmp_path: Path
) -> None:
    folder, card, _ = tiny
    with pytest.raises(DatasetError, match="the weights that training could go on from"):
        start_network(folder, replace(card, training={}), 0)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    content = bytearray((copy / NETWORK_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / NETWORK_FILE).write_bytes(content)
    with pytest.raises(DatasetError, match="is damaged"):
        start_network(copy, card, 0)


def clips_of_three(n_each: int = 12) -> Clips:
    """Two of three genres are labelled, one is for rehearsal; genres sound in bands of their own."""
    rng = np.random.default_rng(3)
    genre = np.repeat([0, 2, 1], n_each)
    mel = rng.normal(0, 0.3, (len(genre), 110, 128)).astype(np.float32)
    for row, g in enumerate(genre):
        mel[row, :, 40 * g : 40 * g + 30] += 2
    n = len(genre)
    return Clips(
        mel, genre, np.arange(n).astype(str), np.array([f"a{i // 2}" for i in range(n)]),
        np.where(genre == 1, REHEARSAL, OWN), np.full(n, "train"), ("blues", "jazz", "Zouk"),
    )  # fmt: skip


def test_each_track_is_judged_once_and_work_that_is_done_is_not_done_again(
    tiny: tuple[Path, ModelCard, keras.Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, card, _ = tiny
    clips = clips_of_three()
    fold = (np.arange(len(clips)) // 2) % 2
    said: list[str] = []

    def go() -> tuning_core.Tuned:
        return tune(folder, card, clips, fold, tmp_path, name="t", version="0", steps=4, say=said.append)

    done = go()
    assert done.network.predict(clips.mel[:2, :52], verbose=0)["logits"].shape == (2, 3)
    assert Counter(done.track.tolist()) == Counter(clips.track[clips.source == OWN].tolist())
    np.testing.assert_allclose(done.probabilities.sum(axis=1), 1, atol=1e-6)
    assert done.rehearsed.shape == ((clips.source == REHEARSAL).sum(), 3)

    parts: list[int] = []
    real = tuning_core.train

    def counted(clips: Clips, *args: object, **kwargs: object) -> object:
        parts.append(len(clips))
        return real(clips, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(tuning_core, "train", counted)
    again = go()
    assert parts == [len(clips)]  # the last alone, which goes on from its checkpoint: there is nothing to do
    np.testing.assert_array_equal(again.probabilities, done.probabilities)
    for a, b in zip(again.network.get_weights(), done.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_of_rehearsal_the_network_is_to_say_what_the_bundle_says(
    tiny: tuple[Path, ModelCard, keras.Model],
) -> None:
    folder, card, network = tiny
    clips = clips_of_three()
    _, config = start_network(folder, card, 1)
    recipe = tuning_core.recipe_for(card, config, clips, "t", "0", None)
    wanted = tuning_core.soft_targets(folder, card, clips, recipe)
    np.testing.assert_allclose(wanted.sum(axis=1), 1, atol=1e-5)
    own = clips.source == OWN
    assert (wanted[own].argmax(axis=1) == clips.genre[own]).all() and (wanted[own].max(axis=1) > 0.9).all()
    assert (wanted[~own][:, 2] == 0).all()
    row = int(np.flatnonzero(~own)[0])
    logits = network.predict(np.stack([clips.mel[row, k : k + 52] for k in (0, 26, 52)]), verbose=0)["logits"]
    e = np.exp(logits)
    said = (e / e.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(wanted[row, :2], said, atol=0.01)


def test_the_last_layer_is_fitted_and_nothing_else_is_touched(
    tiny: tuple[Path, ModelCard, keras.Model],
) -> None:
    folder, card, _ = tiny
    clips = clips_of_three()
    start, config = start_network(folder, card, 1)
    recipe = tuning_core.recipe_for(card, config, clips, "t", "0", None)
    fitted = with_fitted_layer(start, recipe, clips, targets(clips, recipe))
    for now, before in zip(fitted.layers, start.layers, strict=True):
        same = all(np.array_equal(a, b) for a, b in zip(now.get_weights(), before.get_weights(), strict=True))
        assert same == (now.name != "logits")
    right = [
        x.mean(axis=0).argmax() == g for x, g in zip(predict_logits(fitted, clips), clips.genre, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_a_fitted_layer_is_where_its_loss_is_least() -> None:
    """Two blobs of unequal size: no gradient is left, and the small one is not lost."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [90, 10])
    x = rng.normal(0, 1, (100, 3)) + y[:, None]
    wanted = np.eye(2)[y]
    weight = np.where(y == 0, 0.5 / 90, 0.5 / 10)
    kernel, bias = fit_layer(x, wanted, weight)
    logits = x @ kernel + bias
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weight @ (p - wanted), 0, atol=1e-4)
    np.testing.assert_allclose(x.T @ ((p - wanted) * weight[:, None]) + 2 * PENALTY * kernel, 0, atol=1e-4)
    assert (p[y == 1].argmax(axis=1) == 1).mean() > 0.6


def test_the_number_of_steps_goes_with_the_labels() -> None:
    found = [n_steps(n, 64) for n in (10, 300, 600, 100_000)]
    assert found == sorted(found) and found[0] < found[1] < found[2] < found[3]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60), st.integers(0, 70))
@settings(max_examples=200, deadline=None)
def test_no_genre_starves_when_there_are_too_many_tracks(tracks: list[tuple[bool, int]], most: int) -> None:
    pupils = [Pupil(b"/x", genre, "", own) for own, genre in tracks]
    chosen = choose(pupils, most)
    assert chosen == sorted(set(chosen)) and len(chosen) == min(most, len(pupils))
    taken = Counter((pupils[i].own, pupils[i].genre) for i in chosen)
    for kind, n in Counter((p.own, p.genre) for p in pupils).items():
        if taken[kind] < n:  # some were left out: then of no other were more taken than one turn ahead
            assert max(taken.values(), default=0) <= taken[kind] + 1


def test_tracks_are_decoded_once_and_damaged_ones_named(tmp_path: Path) -> None:
    media.make(tmp_path / "0.wav", "wav", seconds=4.5, seed=0)
    paths = [tmp_path / f"{i}.wav" for i in range(LEAST_TRACKS)]
    for path in paths[1:]:
        shutil.copy(paths[0], path)
    (tmp_path / "broken.wav").write_bytes(b"not a sound")
    tracks = [*paths, tmp_path / "broken.wav"]
    manifest = Manifest(
        tmp_path, "t", "0", ("a", "b"), None,
        tuple(Pupil(os.fsencode(p), i % 2, str(i), True) for i, p in enumerate(tracks)),
    )  # fmt: skip
    said: list[str] = []
    clips, left_out = load(manifest, tmp_path / "arrays", say=said.append)
    assert sorted(clips.track.tolist(), key=int) == [str(i) for i in range(LEAST_TRACKS)]
    assert len(left_out) == 1 and "broken.wav" in left_out[0]
    for path in paths:
        path.unlink()
    again, _ = load(manifest, tmp_path / "arrays", say=said.append)
    np.testing.assert_array_equal(again.mel, clips.mel)
    fewer = replace(manifest, tracks=manifest.tracks[1:])
    with pytest.raises(DatasetError, match="too few to train a network on"):
        load(fewer, tmp_path / "none", say=said.append)


# ---- the program's side ----------------------------------------------------------------------------------


@pytest.fixture
def taught(tmp_path: Path) -> Path:
    """Thirty tracks that are Zouk by their tags and reggae to the model; forty others it is sure of."""
    db = tmp_path / "data" / "tagger.db"
    zouk = sounds(REFERENCE, 30, seed=5, strange=2.5)
    tracks = [(f"A{i}", "reggae", zouk[i], ("Zouk",)) for i in range(30)]
    tracks += [(f"B{i}", ("jazz", "rock")[i % 2], REFERENCE.embedding[i], ()) for i in range(40)]
    collection(db, CARD, tracks)
    return db


def lessons_of(db: Path) -> tuple[Lessons, Job]:
    with Store.open(db, read_only=True) as store:
        lessons = gather(store, CARD, REFERENCE.embedding.shape[1], {}, from_tags=True, min_tracks=2)
        return lessons, plan_job(store, CARD, lessons)


def test_what_is_rehearsed_is_nobodys_label_and_the_model_was_sure_of_it(taught: Path) -> None:
    lessons, job = lessons_of(taught)
    assert job.genres == (*CARD.genres, "Zouk")
    labelled = {one.path for one in lessons.whose}
    assert Counter(genre for _, genre in job.rehearsed) == {"jazz": 20, "rock": 20}
    assert not labelled & {whose.path for whose, _ in job.rehearsed}
    assert len(job.group) == len(labelled) + len(job.rehearsed)
    assert set(job.truth.tolist()) == {len(CARD.genres)}


def test_a_job_is_taken_up_again_and_one_on_other_labels_is_not(taught: Path, tmp_path: Path) -> None:
    _, job = lessons_of(taught)
    folder = tmp_path / "work"
    base_dir = shipped_model_dir("gtzan")
    work = open_job(folder, job, base_dir, CARD, "tuned", None)
    assert open_job(folder, job, base_dir, CARD, "tuned", None) == work
    manifest = read_manifest(work)
    assert manifest.base == base_dir.absolute() and manifest.genres == job.genres
    assert [p.own for p in manifest.tracks] == [True] * 30 + [False] * 40
    assert [p.path for p in manifest.tracks[:30]] == [one.path for one in job.lessons.whose]
    other = open_job(folder, job, base_dir, CARD, "tuned", 50)
    assert other != work and not work.exists()
    longer = open_job(folder, job, base_dir, CARD, "tuned-more", None)
    assert open_job(folder, job, base_dir, CARD, "tuned", 50) == other and longer.exists()
    with pytest.raises(ModelError, match="did not finish"):
        report_on(other, job, CARD, None)
    (other / "manifest.json").write_text("{}")
    with pytest.raises(DatasetError, match="not a manifest"):
        read_manifest(other)


def finished(work: Path, job: Job, *, right: bool) -> None:
    """What training leaves behind."""
    n = len(job.truth)
    p = np.full((n, len(job.genres)), 0.2 / (len(job.genres) - 1))
    p[np.arange(n), job.truth if right else CARD.genres.index("reggae")] = 0.8
    said = {"track": list(range(n)), "fold": [i % 5 for i in range(n)], "probabilities": p.tolist(),
            "rehearsed": [0] * 39 + [len(CARD.genres)], "left_out": []}  # fmt: skip
    (work / "said.json").write_text(json.dumps(said))
    shutil.copytree(shipped_model_dir("gtzan"), work / "bundle")


def test_what_is_better_is_kept_chosen_and_can_be_taken_back(
    taught: Path, tmp_path: Path, here: Here
) -> None:
    _, job = lessons_of(taught)
    work = open_job(tmp_path / "work", job, shipped_model_dir("gtzan"), CARD, "tuned", None)
    finished(work, job, right=True)
    report, _ = report_on(work, job, CARD, None)
    assert report.adopt and report.accuracy == 1 and report.in_use_accuracy == 0
    assert renamed(work, CARD) == pytest.approx(1 / 40) and report.n_old == 0
    shelf = models_dir(taught)
    folders = [keep_model(work, shelf, report, "tuned") for _ in range(2)]
    assert [f.name for f in folders] == ["1", "2"]
    card = load_model(folders[1]).card
    assert card.version == "2" and card.metrics["yours"]["accuracy"] == 1

    config = tmp_path / "config.toml"
    config.write_text('model = "gtzan"')
    assert model_in_use(taught) is None
    used = here("models", "--db", taught, "use", "tuned@1")
    assert used.code == 0 and "`tagger run --stale` hears with it" in used.out
    assert model_in_use(taught) == folders[0]
    shown = {line["id"]: line["used"] for line in here("models", "--json", "--db", taught).lines}
    assert shown[CARD.model_id] is False and sum(shown.values()) == 1
    assert here("status", "--db", taught).code == 0
    shown = here("config", "show", "--json", "--db", taught).lines[0]["model"]
    assert shown == {"value": str(folders[0]), "from": "tagger models use"}
    named = here("models", "--json", "--db", taught, "--config", config).lines
    assert {line["id"] for line in named if line["used"]} == {CARD.model_id}
    assert here("models", "--db", taught, "use", "tuned").code == 0
    assert choices(heads_dir(taught)) == ["tuned@1", "tuned@2"]
    assert here("models", "--db", taught, "remove", "tuned@2").code == 0
    assert model_in_use(taught) == folders[0] and list(own_models(shelf)) == ["tuned@1"]
    back = here("models", "--db", taught, "back")
    assert back.code == 0 and "The model itself listens from now on" in back.out
    assert model_in_use(taught) is None


def test_what_is_no_better_is_not(taught: Path, tmp_path: Path) -> None:
    _, job = lessons_of(taught)
    work = open_job(tmp_path / "work", job, shipped_model_dir("gtzan"), CARD, "tuned", None)
    finished(work, job, right=False)
    report, _ = report_on(work, job, CARD, None)
    assert not report.adopt and f"does not beat {CARD.model_id}" in report.verdict


@pytest.mark.slow
def test_finetune_from_files_to_a_network_in_use(tmp_path: Path, tagger: Tagger) -> None:
    """Everything for real, but for the number of steps: files, database, training in its own process, use."""
    music = tmp_path / "music"
    for i in range(LEAST_TRACKS + 4):
        folder = music / f"artist {i // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        tags = {"artist": f"Artist {i // 2}", "genre": ("Drone", "Clatter")[i // 2 % 2]}
        media.make(folder / f"{i}.flac", "flac", seconds=4.5, seed=i, tags=tags)
    digests = {p: hashlib.sha256(p.read_bytes()).digest() for p in music.rglob("*.flac")}
    assert tagger("scan", music).code == 0
    assert tagger("finetune", "--from-tags", "-n").code == 0
    done = tagger("finetune", "--from-tags", "--steps", 10, "--force", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["model"] == "tuned@1" and said["report"]["n"] == LEAST_TRACKS + 4
    assert set(said["genres"]) > {"Drone", "Clatter"}
    assert tagger("scan", music, "--stale").code == 0
    assert tagger("status", "--json").lines[0]["models"] == {"tuned@1": LEAST_TRACKS + 4}
    used = [line for line in tagger("models", "--json").lines if line["used"]]
    assert [(line["id"], line["genres"]) for line in used] == [("tuned@1", said["genres"])]
    assert {p: hashlib.sha256(p.read_bytes()).digest() for p in digests} == digests
