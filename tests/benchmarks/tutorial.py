"""`python -m tests.benchmarks.tutorial FILE…`: the pipeline most tutorials on music genres end with.

librosa.load of the whole file, a mel spectrogram of each 4 s chunk resized to 150 × 150, and Keras'
predict with the usual network of five double convolutions and 1,200 dense units: 7 million parameters.
The weights are random, as only the time matters.
"""

from __future__ import annotations

import sys
from typing import Any

SIDE = 150
N_GENRES = 10
CHUNK_S, OVERLAP_S = 4, 2


def network() -> Any:
    """The usual network."""
    import keras

    layers: list[Any] = [keras.Input((SIDE, SIDE, 1))]
    for filters in (32, 64, 128, 256, 512):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(filters, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
        ]
    layers += [
        keras.layers.Dropout(0.3),
        keras.layers.Flatten(),
        keras.layers.Dense(1200, activation="relu"),
        keras.layers.Dropout(0.45),
        keras.layers.Dense(N_GENRES, activation="softmax"),
    ]
    return keras.Sequential(layers)


def predict(path: str, model: Any) -> int:
    """The genre of one file: the mean over its chunks."""
    import librosa
    import numpy as np
    import tensorflow as tf

    y, sr = librosa.load(path, sr=None)
    size, hop = int(CHUNK_S * sr), int((CHUNK_S - OVERLAP_S) * sr)
    pictures = []
    for start in range(0, max(len(y) - size, 0) + 1, hop):
        mel = librosa.feature.melspectrogram(y=y[start : start + size], sr=sr)
        pictures.append(tf.image.resize(mel[..., None], (SIDE, SIDE)))
    return int(np.argmax(model.predict(np.array(pictures), verbose=0).mean(axis=0)))


def main() -> None:
    model = network()
    print(model.count_params())
    for path in sys.argv[1:]:
        predict(path, model)


if __name__ == "__main__":
    main()
