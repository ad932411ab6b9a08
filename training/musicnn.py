"""A teacher that can be asked about any array: MSD-musicnn, whose weights come with the package `musicnn`.

The network (Pons and Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio
tagging"; ISC licence) says of three seconds of sound which of fifty tags of Last.fm a person would give. It
hears 96 mel bands at 16 kHz every 16 ms; our arrays have 128 up to 11 kHz and one frame in 77 ms. So frames
are put between them, and the texture of white noise is laid over, without which the network takes all music
for something held still: with it what it says agrees with what it says of the sound itself (over 20
recordings the 50 tags of each by 0.70, a tag over the recordings by 0.75; without 0.40 and 0.57).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import keras
import numpy as np
from librosa import feature, hz_to_mel, mel_frequencies
from numpy.typing import NDArray

from tagger.features import FeatureConfig
from training.dataset import DatasetError

SAMPLE_RATE, N_FFT, HOP, N_MELS = 16_000, 512, 256, 96
"""Of the mel spectrogram that the network hears."""
FRAMES, STRIDE = 188, 125
"""Of what it is asked about at a time, three seconds; and from one to the next, two."""
CLIP_FRAMES = 1876
"""Of a clip of 30 s."""
LOUDEST_DB = 30.0
"""The arrays do not say how loud a clip was; 20 recordings had their loudest at 30 ± 5."""
_DENSITY = 0.0861
"""A band of ours by one of theirs, in power: a quarter of the window, a third of the bins in a hertz."""
_PICKED, _PICKED_OF, _PICKED_HOP = 387.5, 1293, 512
"""A column of an array is the frame ``floor((c + 0.5) * 1293 / 387.5)`` of those every 512 samples."""

_FOLDER = "musicnn/MSD_musicnn/"
_EPSILON = 1e-3  # of batch normalisation, by default then and there
_MOST = 6.0  # deviations of what is said
Weights = Mapping[str, NDArray[np.float32]]
Say = Callable[[str], None]


def read_weights(wheel: Path) -> Weights:
    """The network's weights from the package's wheel, ``musicnn-0.1.0-py3-none-any.whl``.

    Raises
    ------
    DatasetError
        It is no such file.
    """
    import tensorflow as tf

    try:
        with ZipFile(wheel) as package, tempfile.TemporaryDirectory() as folder:
            for part in (".index", ".data-00000-of-00001"):  # names that begin with a dot are not found again
                Path(folder, f"weights{part}").write_bytes(package.read(f"{_FOLDER}{part}"))
            stored = tf.train.load_checkpoint(f"{folder}/weights")
            names = [name for name in stored.get_variable_to_shape_map() if "Adam" not in name]
            return {name: stored.get_tensor(name) for name in names}
    except (OSError, BadZipFile, KeyError) as error:
        raise DatasetError(f"{wheel} is not the wheel of musicnn 0.1.0: {error}") from None


def said_of(heard: NDArray[np.float32], weights: Weights) -> NDArray[np.float32]:
    """Logits of the fifty tags.

    Parameters
    ----------
    heard : (n, n_frames, 96) float32
        As `as_heard` makes it.
    weights : mapping

    Returns
    -------
    (n, 50) float32
    """
    ops = keras.ops

    def normalised(x: Any, number: int) -> Any:
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        scale = weights[f"{name}/gamma"] / np.sqrt(weights[f"{name}/moving_variance"] + _EPSILON)
        return x * scale + (weights[f"{name}/beta"] - weights[f"{name}/moving_mean"] * scale)

    def convolved(x: Any, number: int, padding: str) -> Any:
        name = f"conv2d_{number}" if number else "conv2d"
        x = ops.conv(x, weights[f"{name}/kernel"], padding=padding) + weights[f"{name}/bias"]
        return normalised(ops.relu(x), number + 1)

    def in_time(x: Any) -> Any:
        return ops.pad(x, ((0, 0), (3, 3), (0, 0), (0, 0)))

    x = normalised(ops.convert_to_tensor(heard[..., np.newaxis]), 0)
    fronts = [convolved(in_time(x), k, "valid") for k in (0, 1)] + [
        convolved(x, k, "same") for k in (2, 3, 4)
    ]
    front = ops.concatenate([ops.max(y, axis=2) for y in fronts], axis=2)[..., np.newaxis]
    layers, last = [front], front
    for number in (5, 6, 7):
        y = ops.transpose(convolved(in_time(last), number, "valid"), (0, 1, 3, 2))
        last = y if number == 5 else y + last
        layers.append(last)
    x = ops.concatenate(layers, axis=2)
    pooled = ops.concatenate([ops.max(x, axis=1), ops.mean(x, axis=1)], axis=2)
    x = normalised(ops.reshape(pooled, (len(heard), -1)), 9)
    x = ops.relu(ops.matmul(x, weights["dense/kernel"]) + weights["dense/bias"])
    x = ops.matmul(normalised(x, 10), weights["dense_1/kernel"]) + weights["dense_1/bias"]
    return np.asarray(ops.convert_to_numpy(x), dtype=np.float32)


def texture(rng: np.random.Generator) -> NDArray[np.float64]:
    """How much louder or softer each band of white noise is from frame to frame, (1876, 96), 1 on average."""
    noise = rng.normal(size=SAMPLE_RATE * 31).astype(np.float32)
    mel = feature.melspectrogram(y=noise, sr=SAMPLE_RATE, hop_length=HOP, n_fft=N_FFT, n_mels=N_MELS)
    frames = mel.T[:CLIP_FRAMES]
    return np.asarray(frames / frames.mean(axis=0), dtype=np.float64)


def as_heard(clip: NDArray[np.uint8], grain: NDArray[np.float64]) -> NDArray[np.float32]:
    """A clip as the network would have heard it, about.

    Parameters
    ----------
    clip : (128, n_columns) uint8
        From an array file.
    grain : (1876, 96) float64
        See `texture`.

    Returns
    -------
    (1876, 96) float32
        Logarithm of the power, as musicnn takes it.
    """
    config = FeatureConfig()
    db = (clip.astype(np.float32) / 255 - 1) * 80 + LOUDEST_DB
    n_columns = clip.shape[1]
    columns = np.floor((np.arange(n_columns) + 0.5) * _PICKED_OF / _PICKED) * _PICKED_HOP
    ours = columns / config.sr
    theirs = np.arange(CLIP_FRAMES) * HOP / SAMPLE_RATE
    in_time = np.stack([np.interp(theirs, ours, band) for band in db])
    from_hz = hz_to_mel(mel_frequencies(config.n_mels + 2, fmin=0, fmax=config.sr / 2)[1:-1])
    to_hz = hz_to_mel(mel_frequencies(N_MELS + 2, fmin=0, fmax=SAMPLE_RATE / 2)[1:-1])
    place = np.interp(to_hz, from_hz, np.arange(config.n_mels))
    low = np.floor(place).astype(int).clip(0, config.n_mels - 2)
    share = (place - low)[:, np.newaxis]
    power = 10 ** (((1 - share) * in_time[low] + share * in_time[low + 1]) / 10)
    return np.asarray(np.log10(1e4 * _DENSITY * power.T * grain + 1), dtype=np.float32)


def ask(wheel: Path, arrays: Sequence[Path], out: Path, *, say: Say = lambda line: None) -> int:
    """Write what the network says of array files, for the teachers of a recipe.

    Parameters
    ----------
    wheel : Path
        Of the package.
    arrays : sequence of Path
        Each in a folder of its own, by whose name its answer is called.
    out : Path
        A folder: ``NAME.npz`` for each, with ``said`` (n, 14, 50) float32, the logits standardised over all
        and squashed to 0-1, and ``track``.
    say : callable

    Returns
    -------
    int
        Clips asked about.

    Raises
    ------
    DatasetError
        A file is not what it should be.
    """
    weights = read_weights(wheel)
    rng = np.random.default_rng(0)
    grain = texture(rng)
    places = range(0, CLIP_FRAMES - FRAMES + 1, STRIDE)
    answers: dict[str, tuple[NDArray[np.float32], NDArray[np.str_]]] = {}
    for path in arrays:
        try:
            with np.load(path, allow_pickle=False) as stored:
                clips, track = stored["X"], stored["track"].astype(np.str_)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise DatasetError(f"{path} is not a file of mel arrays: {error}") from None
        parts = []
        for i, clip in enumerate(clips):
            frames = as_heard(clip, np.roll(grain, rng.integers(0, CLIP_FRAMES), axis=0))
            parts.append(said_of(np.stack([frames[at : at + FRAMES] for at in places]), weights))
            if (i + 1) % 100 == 0:
                say(f"{path.parent.name}: {i + 1} of {len(clips)}")
        answers[path.parent.name] = np.stack(parts), track
    if len(answers) != len(arrays):
        raise DatasetError("array files in folders of one name: their answers would be called the same")
    every = np.concatenate([said.reshape(-1, said.shape[-1]) for said, _ in answers.values()])
    mean, deviation = every.mean(axis=0), every.std(axis=0) + 1e-6
    out.mkdir(parents=True, exist_ok=True)
    for name, (said, track) in answers.items():
        z = ((said - mean) / deviation).clip(-_MOST, _MOST)
        np.savez(out / f"{name}.npz", said=(1 / (1 + np.exp(-z))).astype(np.float32), track=track)
    return sum(len(said) for said, _ in answers.values())
