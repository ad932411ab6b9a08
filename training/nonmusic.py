"""Sounds that are no music: speech by a synthesiser in a hundred languages, and noises made by code.

For training: a genre model should call them nothing. The speech comes from the program ``espeak-ng``
(Debian's package of that name), a process each; the noises need nothing. All signals are mono,
`SAMPLE_RATE` Hz, float64 with a peak near 1. A seed gives the same sounds on the same version of it.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
from numpy.typing import NDArray

from tagger.feature_config import FeatureConfig
from tagger.features import log_mel
from training.dataset import DatasetError
from training.prepare import to_bytes

CONFIG = FeatureConfig()
SAMPLE_RATE = CONFIG.sr
SECONDS = 30
N = SECONDS * SAMPLE_RATE
SYNTHESISER = "espeak-ng"
_ONSETS, _VOWELS, _ENDS = list("bdfgklmnprstvz"), list("aeiou"), ["", "n", "s"]
Signal = NDArray[np.float64]
Say = Callable[[str], None]


def _level(x: Signal) -> Signal:
    peak = float(np.abs(x).max())
    return x / peak if peak > 0 else x


def coloured(rng: np.random.Generator, exponent: float, n: int = N) -> Signal:
    """Noise whose power falls with frequency to the power of `exponent`: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    f = np.maximum(np.arange(len(spectrum)), 20)
    return _level(np.fft.irfft(spectrum * f ** (-exponent / 2), n))


def slow(rng: np.random.Generator, hz: float, n: int = N) -> Signal:
    """A random contour from 0 to 1 that changes about `hz` times a second."""
    points = rng.uniform(0, 1, int(n / SAMPLE_RATE * hz) + 4)
    return np.asarray(np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points))


def _band(rng: np.random.Generator, x: Signal) -> Signal:
    low = 40 * 2 ** rng.uniform(0, 6)
    high = min(low * 2 ** rng.uniform(0.5, 6), 0.45 * SAMPLE_RATE)
    return np.asarray(
        scipy.signal.sosfilt(scipy.signal.butter(2, (low, high), "band", fs=SAMPLE_RATE, output="sos"), x)
    )


def steady(rng: np.random.Generator) -> Signal:
    """Noise of one colour: tape hiss, a fan, a waterfall."""
    x = coloured(rng, rng.uniform(-1, 2.5))
    return _level(_band(rng, x)) if rng.random() < 0.5 else x


def wind(rng: np.random.Generator) -> Signal:
    """Noise that comes and goes: wind, surf, passing cars."""
    gusts = slow(rng, 10 ** rng.uniform(-0.7, 1)) ** rng.uniform(1, 4)
    return _level(_band(rng, coloured(rng, rng.uniform(0, 2))) * gusts)


def hum(rng: np.random.Generator) -> Signal:
    """Mains hum or a machine: harmonics of one low frequency, steady or drifting, in some noise."""
    drift = 1 + float(rng.choice([0, 0.001, 0.05, 0.3])) * (slow(rng, rng.uniform(0.1, 2)) - 0.5)
    phase = 2 * np.pi * np.cumsum(rng.choice([50, 60, rng.uniform(25, 300)]) * drift) / SAMPLE_RATE
    falls = rng.uniform(0.3, 1.5)
    x = sum(rng.uniform(0, 1) * k**-falls * np.sin(k * phase) for k in range(1, 25))
    return _level(np.asarray(x)) + rng.uniform(0, 0.3) * coloured(rng, rng.uniform(0, 2))


def tone(rng: np.random.Generator) -> Signal:
    """A test tone or two, perhaps swept, perhaps switched on and off: a line check, a dial tone, a siren."""
    t = np.arange(N) / SAMPLE_RATE
    x = np.zeros(N)
    for _ in range(rng.integers(1, 3)):
        hz = np.asarray(60 * 2 ** rng.uniform(0, 6.5))
        if rng.random() < 0.35:
            hz = hz * 2 ** (rng.uniform(0.1, 1.5) * np.sin(2 * np.pi * rng.uniform(0.05, 3) * t))
        wave = np.sin(2 * np.pi * np.cumsum(np.broadcast_to(hz, N)) / SAMPLE_RATE)
        x += np.sign(wave) if rng.random() < 0.2 else wave
    if rng.random() < 0.4:
        x *= (t * rng.uniform(0.2, 5)) % 1 < rng.uniform(0.1, 0.8)
    return _level(x) + float(rng.choice([0, 1e-4, 0.01, 0.1])) * coloured(rng, rng.uniform(0, 2))


def clicks(rng: np.random.Generator) -> Signal:
    """Clicks or knocks, regular (a clock, a metronome) or not (a record's crackle, rain on a window)."""
    rate = 10 ** rng.uniform(-0.3, 2)
    if rng.random() < 0.5:
        times = np.arange(0, SECONDS, 1 / rate)
    else:
        times = np.sort(rng.uniform(0, SECONDS, int(rate * SECONDS)))
    x = np.zeros(N)
    loud = rng.uniform(0, 1, len(times)) ** rng.choice([0, 1, 4])
    x[np.minimum((times * SAMPLE_RATE).astype(np.int64), N - 1)] = loud
    if rng.random() < 0.6:  # each sets something ringing
        length = int(SAMPLE_RATE * 10 ** rng.uniform(-3, -0.7))
        ring = np.exp(-np.arange(length) / (length / 5))
        ring *= (
            rng.normal(0, 1, length)
            if rng.random() < 0.5
            else np.sin(2 * np.pi * 80 * 2 ** rng.uniform(0, 6) / SAMPLE_RATE * np.arange(length))
        )
        x = scipy.signal.fftconvolve(x, ring)[:N]
    return _level(x) + float(rng.choice([0, 1e-4, 0.01])) * coloured(rng, rng.uniform(0, 2))


def applause(rng: np.random.Generator) -> Signal:
    """A crowd clapping: thousands of short bursts of noise in bands of their own."""
    x = np.zeros(N)
    for _ in range(6):
        hits = np.zeros(N)
        where = rng.integers(0, N, int(SECONDS * 10 ** rng.uniform(0.8, 2.5)))
        hits[where] = rng.uniform(0.2, 1, len(where))
        burst = _band(rng, rng.normal(0, 1, int(0.03 * SAMPLE_RATE)))
        burst *= np.exp(-np.arange(len(burst)) / (0.006 * SAMPLE_RATE))
        x += scipy.signal.fftconvolve(hits, burst)[:N]
    return _level(x * (0.2 + slow(rng, 0.3)))


NOISES: Mapping[str, Callable[[np.random.Generator], Signal]] = {
    "steady": steady, "wind": wind, "hum": hum, "tone": tone, "clicks": clicks, "applause": applause,
}  # fmt: skip


def voices() -> tuple[list[str], list[str]]:
    """The synthesiser's languages, and the variants of voice that each can have; those that do speak.

    Raises
    ------
    DatasetError
        It is not installed.
    """
    if shutil.which(SYNTHESISER) is None:
        raise DatasetError(f"{SYNTHESISER}, which speaks the speech, is not installed: install it first")
    languages = [line.split()[1] for line in _listed("--voices")]
    variants = [
        word[3:] for line in _listed("--voices=variant") for word in line.split() if word[:3] == "!v/"
    ]
    return [v for v in languages if _speaks(v)], [v for v in variants if _speaks(f"en+{v}")]


def _listed(option: str) -> list[str]:
    asked = subprocess.run([SYNTHESISER, option], capture_output=True, text=True, check=True)
    return asked.stdout.splitlines()[1:]


def _speaks(voice: str) -> bool:
    done = subprocess.run([SYNTHESISER, "-v", voice, "--stdout", "ba 12"], capture_output=True)
    return done.returncode == 0 and len(done.stdout) > 1000


def _words(rng: np.random.Generator) -> str:
    """Something to say: invented words, and numbers, which every language reads in its own."""
    said = []
    for _ in range(90):
        if rng.random() < 0.3:
            said.append(str(rng.integers(0, 10 ** rng.integers(1, 5))))
        else:
            said += [rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_ENDS)
                     for _ in range(rng.integers(1, 5))]  # fmt: skip
        said.append(rng.choice([" ", " ", " ", " ", ", ", ". "]))
    return "".join(said)


def spoken(rng: np.random.Generator, languages: list[str], variants: list[str]) -> Signal:
    """Speech of one voice throughout, repeated where it is short.

    Raises
    ------
    DatasetError
        The synthesiser says nothing in any of ten voices.
    """
    for _ in range(10):
        voice = str(rng.choice(languages)) + (f"+{rng.choice(variants)}" if rng.random() < 0.7 else "")
        command = [
            SYNTHESISER, "-v", voice, "-s", str(rng.integers(110, 230)), "-p", str(rng.integers(10, 90)),
            "-g", str(rng.integers(0, 12)), "--stdin", "--stdout",
        ]  # fmt: skip
        done = subprocess.run(command, input=_words(rng).encode(), capture_output=True)
        if done.returncode == 0 and len(done.stdout) > SAMPLE_RATE:  # some voices crash on some words
            y, sr = soundfile.read(io.BytesIO(done.stdout))
            y = scipy.signal.resample_poly(y, SAMPLE_RATE, sr) if sr != SAMPLE_RATE else y
            return _level(np.resize(np.asarray(y, dtype=np.float64), N))
    raise DatasetError(f"{SYNTHESISER} is installed but says nothing")


def speech(rng: np.random.Generator, languages: list[str], variants: list[str]) -> Signal:
    """One voice or several at once, in a room or on the telephone, in front of silence or noise."""
    x = np.zeros(N)
    for _ in range(rng.choice([1, 1, 1, 1, 2, 4])):
        one = spoken(rng, languages, variants)
        x += rng.uniform(0.3, 1) * np.roll(one, rng.integers(0, N))
    if rng.random() < 0.5:  # a room: decaying noise behind the direct sound
        length = int(SAMPLE_RATE * 10 ** rng.uniform(-1, 0.2))
        tail = rng.normal(0, 1, length) * np.exp(-np.arange(length) / (length / 6))
        wet = _level(scipy.signal.fftconvolve(x, tail)[:N])
        x = _level(x) + rng.uniform(0.1, 1) * wet
    if rng.random() < 0.25:
        telephone = scipy.signal.butter(4, (300, 3400), "band", fs=SAMPLE_RATE, output="sos")
        x = np.asarray(scipy.signal.sosfilt(telephone, x))
    behind = rng.choice([0, 1e-4, 1e-3, 0.01, 0.05])
    return _level(_level(x) + behind * coloured(rng, rng.uniform(0, 2)))


def make_nonmusic(out: Path, *, n_speech: int, n_noise: int, seed: int, say: Say = lambda line: None) -> int:
    """Write an array file of sounds that are no music, as `training.prepare` writes one of music.

    Parameters
    ----------
    out : Path
        ``.npz`` with ``X`` uint8 (n, n_mels, n_frames) and ``track``; no genres.
    n_speech, n_noise : int
        Clips of 30 s of each; kinds of noise take turns.
    seed : int
    say : callable

    Returns
    -------
    int
        Clips written.

    Raises
    ------
    DatasetError
        The synthesiser is not there.
    """
    languages, variants = voices() if n_speech else ([], [])
    kinds = list(NOISES)
    arrays, track = [], []
    for i in range(n_speech + n_noise):
        rng = np.random.default_rng([seed, i])
        if i < n_speech:
            name, y = f"speech/{i}", speech(rng, languages, variants)
        else:
            kind = kinds[(i - n_speech) % len(kinds)]
            name, y = f"{kind}/{i - n_speech}", _level(NOISES[kind](rng))
        arrays.append(to_bytes(log_mel(y.astype(np.float32), CONFIG)))
        track.append(name)
        if (i + 1) % 100 == 0:
            say(f"{i + 1} of {n_speech + n_noise}")
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out, X=np.stack(arrays), track=np.array(track), fingerprint=np.array(CONFIG.fingerprint())
    )
    return len(track)
