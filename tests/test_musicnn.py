"""The teacher that is asked about arrays: its weights from a wheel, what it hears, what is written."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from tests.recipes_made import call

pytest.importorskip("tensorflow")

from training.dataset import DatasetError
from training.musicnn import CLIP_FRAMES, FRAMES, N_MELS, as_heard, ask, read_weights, said_of, texture

KERNELS = {
    "conv2d": (7, 38, 1, 8), "conv2d_1": (7, 67, 1, 8), "conv2d_2": (128, 1, 1, 3), "conv2d_3": (64, 1, 1, 3),
    "conv2d_4": (32, 1, 1, 3), "conv2d_5": (7, 25, 1, 4), "conv2d_6": (7, 4, 1, 4), "conv2d_7": (7, 4, 1, 4),
    "dense": (2 * (25 + 3 * 4), 20), "dense_1": (20, 50),
}  # fmt: skip
"""The network with fewer filters."""
NORMALISED = (1, 8, 8, 3, 3, 3, 4, 4, 4, 2 * (25 + 3 * 4), 20)


def made_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = {}
    for name, shape in KERNELS.items():
        weights[f"{name}/kernel"] = rng.normal(0, 0.1, shape).astype(np.float32)
        weights[f"{name}/bias"] = rng.normal(0, 0.1, shape[-1:]).astype(np.float32)
    for number, n in enumerate(NORMALISED):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        for part in ("beta", "gamma", "moving_mean", "moving_variance"):
            weights[f"{name}/{part}"] = rng.uniform(0.5, 1, n).astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as the real one, with a checkpoint of the smaller network."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("wheel")
    weights = made_weights() | {"dense/kernel/Adam": np.zeros(3, np.float32)}
    names = sorted(weights)
    tf.raw_ops.SaveV2(
        prefix=str(folder / "made"), tensor_names=names, shape_and_slices=[""] * len(names),
        tensors=[weights[name] for name in names],
    )  # fmt: skip
    with ZipFile(folder / "musicnn.whl", "w") as package:
        for part in (".index", ".data-00000-of-00001"):
            package.write(folder / f"made{part}", f"musicnn/MSD_musicnn/{part}")
    return folder / "musicnn.whl"


def arrays(path: Path, n: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True)
    X = rng.integers(0, 256, (n, 128, 387), dtype=np.uint8)
    np.savez(path, X=X, track=np.array([f"{seed}.{i}" for i in range(n)]))
    return path


def test_weights_are_read_but_for_the_optimiser_s(wheel: Path) -> None:
    read = read_weights(wheel)
    assert set(read) == set(made_weights())
    np.testing.assert_array_equal(read["conv2d_3/kernel"], made_weights()["conv2d_3/kernel"])


def test_a_patch_is_judged_on_its_own() -> None:
    heard = np.random.default_rng(0).uniform(0, 4, (3, FRAMES, N_MELS)).astype(np.float32)
    said = said_of(heard, made_weights())
    assert said.shape == (3, 50) and np.isfinite(said).all()
    np.testing.assert_allclose(said_of(heard[1:2], made_weights()), said[1:2], atol=1e-4)
    assert np.abs(said[0] - said[1]).max() > 1e-3


def test_a_tone_is_heard_in_its_band_and_at_its_time() -> None:
    """1,000 Hz in the second third of a clip, as our mel filters have it, is the same in musicnn's."""
    from librosa import mel_frequencies

    ours = mel_frequencies(130, fmin=0, fmax=11025)[1:-1]
    theirs = mel_frequencies(98, fmin=0, fmax=8000)[1:-1]
    clip = np.zeros((128, 387), np.uint8)
    clip[np.abs(ours - 1000).argmin(), 129:258] = 255
    heard = as_heard(clip, np.ones((CLIP_FRAMES, N_MELS)))
    assert heard.shape == (CLIP_FRAMES, N_MELS)
    assert abs(theirs[heard.mean(axis=0).argmax()] - 1000) < 60
    loud = np.flatnonzero(heard.max(axis=1) > 0.9 * heard.max())
    assert abs(loud[0] - CLIP_FRAMES / 3) < 10 and abs(loud[-1] - CLIP_FRAMES * 2 / 3) < 10


def test_the_texture_is_that_of_noise() -> None:
    grain = texture(np.random.default_rng(1))
    assert grain.shape == (CLIP_FRAMES, N_MELS)
    np.testing.assert_allclose(grain.mean(axis=0), 1, atol=1e-4)
    deviation = grain.std(axis=0)
    assert 0.7 < deviation[0] < 1.3, "a band of one bin: as the exponential distribution"
    assert deviation[-1] < deviation[0] / 2, "wide bands hold stiller"


def test_answers_are_written_file_by_file(wheel: Path, tmp_path: Path) -> None:
    first, second = arrays(tmp_path / "a" / "dev.npz", 3, 1), arrays(tmp_path / "b" / "dev.npz", 2, 2)
    assert "5 clips" in call("ask-musicnn", wheel, tmp_path / "out", first, second)
    said = {}
    for name, n in (("a", 3), ("b", 2)):
        with np.load(tmp_path / "out" / f"{name}.npz") as stored:
            said[name], track = stored["said"], stored["track"]
        assert said[name].shape == (n, 14, 50) and len(track) == n
        assert (said[name] > 0).all() and (said[name] < 1).all()
    every = np.concatenate(list(said.values())).reshape(-1, 50)
    logits = np.log(every / (1 - every))
    np.testing.assert_allclose(logits.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(logits.std(axis=0), 1, atol=0.1)
    ask(wheel, [first, second], tmp_path / "again")
    with np.load(tmp_path / "again" / "a.npz") as stored:
        np.testing.assert_array_equal(stored["said"], said["a"])


def test_what_cannot_be_asked_is_refused(wheel: Path, tmp_path: Path) -> None:
    first = arrays(tmp_path / "a" / "dev.npz", 1, 1)
    with pytest.raises(DatasetError, match="is not the wheel of musicnn"):
        read_weights(first)
    with pytest.raises(DatasetError, match="is not a file of mel arrays"):
        ask(wheel, [wheel], tmp_path / "out")
    with pytest.raises(DatasetError, match="folders of one name"):
        ask(wheel, [first, arrays(tmp_path / "more" / "a" / "dev.npz", 1, 3)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
