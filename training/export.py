"""From a trained network to a model bundle. The one place of training that needs TensorFlow itself."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from tagger.card import CARD_FILE, Calibration, DecisionRule, ModelCard, Weights
from tagger.feature_config import FeatureConfig
from tagger.model import GenreModel, load_model

WEIGHTS_FILE = "model.tflite"
METRICS_FILE = "metrics.json"
NETWORK_FILE = "network.npz"
"""The weights as Keras has them, in half precision: what `tagger finetune` trains on from."""

Precision = Literal["float32", "float16", "dynamic"]


def to_litert(network: keras.Model, precision: Precision = "dynamic") -> bytes:
    """The network as a LiteRT flatbuffer: ``(n, frames, n_mels)`` to ``logits`` and ``embedding``.

    Parameters
    ----------
    network : keras.Model
        From `training.network.build`, in float32, of the TensorFlow backend.
    precision : {"float32", "float16", "dynamic"}
        Of the stored weights; ``dynamic`` stores 8 bits and multiplies in 8 bits, each chunk scaled by its
        own range: a third of the time and of the size, and no chunk matters to what is said of another.
    """
    import tensorflow as tf

    shape = (None, *network.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="chunks")])  # type: ignore[untyped-decorator]
    def hear(chunks: Any) -> dict[str, Any]:
        said = network(chunks, training=False)
        return {"logits": said["logits"], "embedding": said["embedding"]}

    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.track(network)
        archive.add_endpoint("hear", hear)
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["hear"])
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())


def parity(network: keras.Model, model: GenreModel, chunks: NDArray[np.float32]) -> float:
    """Largest difference between Keras and LiteRT over all outputs for `chunks` (n, frames, n_mels)."""
    said = network.predict(chunks, verbose=0)
    logits, embedding = model.predict(chunks)
    return float(max(np.abs(said["logits"] - logits).max(), np.abs(said["embedding"] - embedding).max()))


def write_bundle(
    directory: Path,
    weights: bytes,
    *,
    name: str,
    version: str,
    genres: tuple[str, ...],
    features: FeatureConfig,
    temperature: float,
    threshold: float,
    margin: float = 0.0,
    metrics: Mapping[str, Any],
    training: Mapping[str, Any],
    licence: str,
    details: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Write weights and card, and load them back as the program would.

    `details` (confusion matrix, reliability, risk and coverage…) go into a file beside, for the dashboard.

    Raises
    ------
    ModelError
        The bundle is not one the program loads.
    """
    card = ModelCard(
        name=name,
        version=version,
        genres=genres,
        outputs="logits",
        features=features,
        weights=Weights(WEIGHTS_FILE, hashlib.sha256(weights).hexdigest(), len(weights)),
        calibration=Calibration(round(temperature, 4)),
        decision=DecisionRule(round(threshold, 4), round(margin, 4)),
        metrics=metrics,
        training=training,
        licence=licence,
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / WEIGHTS_FILE).write_bytes(weights)
    (directory / CARD_FILE).write_text(_json(card.to_dict()), encoding="utf-8")
    if details is not None:
        (directory / METRICS_FILE).write_text(_json(details), encoding="utf-8")
    return load_model(directory).card


def save_network(directory: Path, network: keras.Model) -> dict[str, str]:
    """Write a network's weights into a bundle; what the card says of the file."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **{f"w{i}": w.astype(np.float16) for i, w in enumerate(network.get_weights())}
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / NETWORK_FILE).write_bytes(buffer.getvalue())
    return {"file": NETWORK_FILE, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}


def _json(table: Mapping[str, Any]) -> str:
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"
