"""Mixing to mono is libswresample's, for every kind of frame, whether or not its filter graph does it."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tagger.mixing import BLOCK, Mixer, width

TYPES = {"flt": "<f4", "s16": "<i2", "s32": "<i4", "u8": "u1", "dbl": "<f8"}


def frames(kind: str, layout: str, sizes: list[int]) -> list[av.AudioFrame]:
    """Frames of noise, the same for the same arguments."""
    rng = np.random.default_rng(0)
    n_channels = {"mono": 1, "1 channels": 1, "stereo": 2, "2 channels": 2, "5.1": 6}[layout]
    dtype = np.dtype(TYPES[kind.removesuffix("p")])
    found = []
    for n in sizes:
        y = rng.uniform(-1, 1, (n_channels, n))
        if dtype.kind == "u":
            y = y * 127 + 128
        elif dtype.kind == "i":
            y *= np.iinfo(dtype).max
        y = y.astype(dtype)
        shaped = y if kind.endswith("p") else y.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(shaped), format=kind, layout=layout)
        frame.sample_rate = 44100
        found.append(frame)
    return found


@pytest.mark.parametrize("layout", ["mono", "1 channels", "stereo", "2 channels", "5.1"])
@pytest.mark.parametrize("kind", ["flt", "fltp", "s16", "s16p", "s32", "s32p", "u8", "dblp"])
def test_the_mix_is_libswresamples(kind: str, layout: str) -> None:
    sizes = [1152] * 70 + [1, 77, 40_000, 3]

    def graph() -> av.AudioResampler:
        return av.AudioResampler("flt", "mono", 44100)

    given = frames(kind, layout, sizes)
    mixer = Mixer(given[0], graph)
    blocks = [block for frame in given for block in mixer.feed(frame)] + mixer.finish()
    other = graph()
    expected = [
        block.to_ndarray()[0] for f in [*frames(kind, layout, sizes), None] for block in other.resample(f)
    ]
    ours, theirs = np.concatenate(blocks), np.concatenate(expected)
    assert ours.dtype == np.float32
    assert len(ours) == sum(sizes)
    np.testing.assert_allclose(ours, theirs, atol=3e-7)


@pytest.mark.parametrize(
    ("right", "expected"), [((1, 0), 1.0), ((0, 1), 2.0), ((0.5, 0.5), (1 + 0.5) / (0.5 * (1.5**2 + 0.5**2)))]
)
def test_width_is_what_the_mix_loses(right: tuple[float, float], expected: float) -> None:
    ours, other = np.random.default_rng(0).normal(0, 0.1, (2, 50_000)).astype(np.float32)
    y = np.stack([ours, right[0] * ours + right[1] * other]).astype(np.float32)
    mixer = Mixer(frames("fltp", "stereo", [1])[0], lambda: pytest.fail("no filter graph is needed"))
    for start in range(0, 50_000, 1000):
        part = np.ascontiguousarray(y[:, start : start + 1000])
        mixer.feed(av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo"))
    broken = np.full((2, BLOCK), np.nan, np.float32)
    mixer.feed(av.AudioFrame.from_ndarray(broken, format="fltp", layout="stereo"))
    mixer.finish()
    assert width([mixer]) == pytest.approx(expected, rel=0.02)


def test_width_is_1_where_nothing_is_known_of_the_channels() -> None:
    (mono,) = frames("fltp", "mono", [100])
    assert width([]) == width([Mixer(mono, lambda: None)]) == 1.0


def test_blocks_are_large_and_none_is_lost() -> None:
    given = frames("fltp", "stereo", [1000] * 140)
    mixer = Mixer(given[0], lambda: pytest.fail("no filter graph is needed"))
    blocks = [block for frame in given for block in mixer.feed(frame)]
    assert len(blocks) == 140_000 // (BLOCK + 1000 - BLOCK % 1000)
    assert all(BLOCK <= len(block) < BLOCK + 1000 for block in blocks)
    assert sum(map(len, blocks + mixer.finish())) == 140_000
    assert mixer.finish() == []


def test_numbers_that_are_none_stay_what_they_are() -> None:
    y = np.array([[0.5, np.nan, np.inf, -np.inf]], dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(y, format="fltp", layout="mono")
    mixer = Mixer(frame, lambda: pytest.fail("no filter graph is needed"))
    mixer.feed(frame)
    (block,) = mixer.finish()
    np.testing.assert_array_equal(block, y[0])


def test_what_is_no_number_is_mixed_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    """Damaged files of floats: a warning of NumPy's would stand in the middle of a run's lines."""
    y = np.full((2, BLOCK), np.float32(3e38))
    y[:, ::7] = np.frombuffer(b"\x01\x00\x80\x7f", np.float32)  # a signalling NaN
    frame = av.AudioFrame.from_ndarray(y, format="fltp", layout="stereo")
    frame.sample_rate = 44100
    mixer = Mixer(frame, lambda: pytest.fail("no filter graph is needed"))
    assert [*mixer.feed(frame), *mixer.finish()]
    assert not recwarn.list
