"""The shipped bundle works, and a bad one is refused with its own sentence before any audio is read (R50)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagger.bundle import shipped_model_dir, shipped_models
from tagger.card import CARD_FILE, read_card
from tagger.errors import ModelError
from tagger.feature_config import FeatureConfig
from tagger.model import GenreModel, load_model

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def model() -> GenreModel:
    return load_model(shipped_model_dir())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_model_dir("gtzan"), tmp_path / "bundle"))


def change_card(bundle: Path, change: Change) -> None:
    path = bundle / CARD_FILE
    table = json.loads(path.read_text(encoding="utf-8"))
    change(table)
    path.write_text(json.dumps(table), encoding="utf-8")


def random_chunks(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((n, 52, 128), dtype=np.float32)


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_loads_and_agrees_with_its_card(name: str) -> None:
    model = load_model(shipped_model_dir(name))
    logits, embedding = model.predict(random_chunks(3))
    assert model.card.name == name
    assert model.card.model_id == f"{name}@{model.card.version}"
    assert logits.shape == (3, len(model.card.genres))
    assert embedding.shape[0] == 3
    assert logits.dtype == embedding.dtype == np.float32
    assert np.isfinite(logits).all()
    assert model.card.features == FeatureConfig()
    assert 0.3 <= model.card.decision.threshold < 1
    assert model.card.weights.size_bytes < 3_000_000


def test_the_card_survives_a_round_trip(bundle: Path) -> None:
    card = read_card(bundle)
    (bundle / CARD_FILE).write_text(json.dumps(card.to_dict()), encoding="utf-8")
    assert read_card(bundle) == card


@pytest.mark.parametrize("n", [0, 1, 2, 13, 40])
def test_any_number_of_chunks(model: GenreModel, n: int) -> None:
    logits, embedding = model.predict(random_chunks(n))
    assert logits.shape == (n, len(model.card.genres))
    assert embedding.ndim == 2
    assert len(embedding) == n
    model.predict(random_chunks(1))


def test_a_chunk_is_heard_the_same_in_any_company(model: GenreModel) -> None:
    chunks = random_chunks(20)
    together = model.predict(chunks)
    for part in (chunks[:1], chunks[:7]):
        for whole, some in zip(together, model.predict(part), strict=True):
            np.testing.assert_allclose(some, whole[: len(some)], atol=1e-5)


@pytest.mark.parametrize(
    "chunks",
    [
        np.zeros((52, 128), np.float32),
        np.zeros((1, 128, 52), np.float32),
        np.zeros((1, 52, 128)),
        np.zeros((2, 51, 128), np.float32),
    ],
)
def test_chunks_of_another_kind_are_a_bug(model: GenreModel, chunks: Any) -> None:
    with pytest.raises(ValueError, match="expected float32 chunks of"):
        model.predict(chunks)


def set_to(*keys: str, value: Any) -> Change:
    def change(table: dict[str, Any]) -> None:
        for key in keys[:-1]:
            table = table[key]
        table[keys[-1]] = value

    return change


def without(key: str) -> Change:
    return lambda table: table.pop(key)


def double_genre(table: dict[str, Any]) -> None:
    table["genres"][1] = table["genres"][0]


def one_genre_less(table: dict[str, Any]) -> None:
    table["genres"].pop()


R50 = {
    "wrong sha256": (set_to("weights", "sha256", value="0" * 64), "their SHA-256 is not the card's"),
    "no such weights": (set_to("weights", "file", value="gone.tflite"), r"gone\.tflite are missing"),
    "truncated": (set_to("weights", "size_bytes", value=10**7), "are truncated or of another model"),
    "other outputs": (one_genre_less, "the card promises logits of 9 genres"),
    "duplicate genre": (double_genre, "names a genre twice: blues"),
    "other fingerprint": (set_to("fingerprint", value="abc"), r"made for other features \(fingerprint abc"),
    "other format": (set_to("format", value=99), "has the format version 99 and this program reads 1"),
}


@pytest.mark.parametrize(("change", "message"), R50.values(), ids=R50.keys())
def test_r50_bad_bundles(bundle: Path, change: Change, message: str) -> None:
    change_card(bundle, change)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(bundle)
    assert "\n" not in str(caught.value)


def test_r50_malformed_card(bundle: Path) -> None:
    (bundle / CARD_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"card\.json is damaged: not JSON"):
        load_model(bundle)


def test_r50_messages_differ() -> None:
    messages = [message for _, message in R50.values()]
    assert len(set(messages)) == len(messages) == 7  # the malformed card is the eighth


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("licence"), "says nothing about licence"),
        (set_to("surprise", value=1), "has fields this program does not know: surprise"),
        (set_to("format", value="1"), "has the format version '1'"),
        (set_to("format", value=True), "has the format version True"),
        (set_to("genres", value="rock"), "at least two genres"),
        (set_to("genres", value=["rock"]), "at least two genres"),
        (set_to("genres", value=["rock", ""]), "at least two genres"),
        (set_to("genres", value=["rock", 3]), "at least two genres"),
        (set_to("outputs", value="embedding"), "they are logits or probabilities"),
        (set_to("outputs", value="probabilities"), "the card promises probabilities of 10 genres"),
        (set_to("features", value=[]), "has no section 'features'"),
        (set_to("features", "sr", value=44100), "made for other features"),
        (set_to("features", "sr", value="fast"), "the feature setting sr must be a positive whole number"),
        (set_to("features", value={"sr": 22050}), "the feature settings do not fit this program"),
        (set_to("weights", "file", value="../model.tflite"), "must name a weights file in its own folder"),
        (set_to("weights", "file", value=""), "must name a weights file in its own folder"),
        (set_to("weights", "sha256", value="xyz"), "has no SHA-256 of the weights"),
        (set_to("weights", "size_bytes", value=-1), "has no size of the weights"),
        (set_to("weights", value={"file": "model.tflite"}), "must say file, sha256, size_bytes"),
        (set_to("calibration", "method", value="magic"), "a calibration method other than temperature"),
        (set_to("calibration", "temperature", value=0), r"calibration\.temperature = 0, outside of"),
        (set_to("calibration", "temperature", value=None), r"has no number for calibration\.temperature"),
        (set_to("decision", "threshold", value=float("nan")), r"has no number for decision\.threshold"),
        (set_to("decision", "threshold", value=1.5), r"decision\.threshold = 1\.5, outside of"),
        (set_to("decision", "margin", value=True), r"has no number for decision\.margin"),
        (set_to("metrics", value=None), "has no section 'metrics'"),
        (set_to("name", value=" "), "has no text for 'name'"),
    ],
)
def test_other_bad_cards(bundle: Path, change: Change, message: str) -> None:
    change_card(bundle, change)
    with pytest.raises(ModelError, match=message):
        load_model(bundle)


def test_weights_that_are_no_model(bundle: Path) -> None:
    rubbish = b"this is not a flatbuffer" * 100
    (bundle / "model.tflite").write_bytes(rubbish)
    weights = {
        "file": "model.tflite",
        "sha256": hashlib.sha256(rubbish).hexdigest(),
        "size_bytes": len(rubbish),
    }
    change_card(bundle, set_to("weights", value=weights))
    with pytest.raises(ModelError, match=r"the weights of gtzan@.* cannot be loaded"):
        load_model(bundle)


def test_weights_cut_off(bundle: Path) -> None:
    os.truncate(bundle / "model.tflite", 1000)
    with pytest.raises(ModelError, match="1000 bytes and not"):
        load_model(bundle)


def test_weights_are_a_folder(bundle: Path) -> None:
    (bundle / "model.tflite").unlink()
    (bundle / "model.tflite").mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(bundle)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"null", b"1", b'"text"', b"[" * 100_000, b""])
def test_a_card_that_is_no_table(bundle: Path, content: bytes) -> None:
    (bundle / CARD_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=r"card\.json is damaged"):
        read_card(bundle)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model in"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match="no model called 'nope' comes with this program"):
        shipped_model_dir("nope")


def test_loading_says_nothing_and_reading_a_card_needs_no_runtime() -> None:
    code = (
        "import sys, numpy as np\n"
        "from tagger.bundle import shipped_model_dir\n"
        "from tagger.card import read_card\n"
        "from tagger.model import load_model\n"
        "read_card(shipped_model_dir())\n"
        "assert not any(m.startswith('ai_edge_litert') for m in sys.modules)\n"
        "load_model(shipped_model_dir()).predict(np.zeros((1, 52, 128), np.float32))\n"
        "assert not any(m.partition('.')[0] in ('tensorflow', 'keras') for m in sys.modules)\n"
        "print('still here', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "still here\n")
