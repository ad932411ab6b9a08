"""Decoding: every container the same sound, every damaged file an error, every bomb bounded."""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tagger.audio import open_recording, segments
from tagger.errors import AudioError, TimeLimitError
from tagger.feature_config import FeatureConfig
from tagger.features import log_mel
from tagger.files import ForgivingSource
from tests import media

CONFIG = FeatureConfig()
ALL = list(media.CONTAINERS)
LOSSLESS = [name for name, row in media.CONTAINERS.items() if row.lossless]


def decode(path: bytes, **options: float) -> NDArray[np.float32]:
    return np.concatenate(list(segments(path, CONFIG, **options)))


def complaint(path: bytes) -> str:
    """The one sentence a file that cannot be decoded gets."""
    with pytest.raises(AudioError) as caught:
        decode(path)
    text = str(caught.value)
    assert os.fsdecode(os.path.basename(path)) in text
    assert "\n" not in text
    return text


def reference(seconds: float, seed: int, sr: int = 44100) -> NDArray[np.float32]:
    """What librosa would load: channels averaged, then soxr's high quality."""
    librosa = pytest.importorskip("librosa")
    y = media.music(seconds, sr, 2, seed=seed).mean(axis=1)
    return np.asarray(librosa.resample(y, orig_sr=sr, target_sr=CONFIG.sr), dtype=np.float32)


# ---- good files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", LOSSLESS)
def test_lossless_decoding_is_what_librosa_loads(tmp_path: Path, container: str) -> None:
    y = decode(media.make(tmp_path / "x", container, seconds=6, seed=3))
    expected = reference(6, 3)
    assert abs(len(y) - len(expected)) <= 1
    n = min(len(y), len(expected))
    error = np.abs(log_mel(y[:n], CONFIG) - log_mel(expected[:n], CONFIG))
    assert error.mean() < 0.01, "dB"


@pytest.mark.parametrize("container", ALL)
def test_every_container_is_the_same_sound(tmp_path: Path, container: str) -> None:
    y = decode(media.make(tmp_path / "x", container, seconds=6, seed=3))
    assert y.dtype == np.float32
    assert len(y) / CONFIG.sr == pytest.approx(6, abs=0.06)
    # What coders leave above 6 kHz is theirs to choose, and a delay of 50 ms stays with some: so on average.
    ours, expected = (log_mel(x, CONFIG)[:, :100].mean(axis=0) for x in (y, reference(6, 3)))
    loud = expected > -50
    assert np.abs(ours - expected)[loud].mean() < 2, "dB"


@pytest.mark.parametrize(
    ("sr", "channels"), [(8000, 1), (11025, 2), (22050, 1), (48000, 6), (96000, 2), (192000, 8)]
)
@pytest.mark.parametrize("container", ["wav", "flac"])
def test_any_rate_and_number_of_channels(tmp_path: Path, container: str, sr: int, channels: int) -> None:
    t = np.arange(2 * sr) / sr
    tone = (0.3 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    y = decode(media.make(tmp_path / "x", container, signal=tone, sr=sr, channels=channels))
    assert len(y) == pytest.approx(2 * CONFIG.sr, abs=1)
    spectrum = np.abs(np.fft.rfft(y))
    assert np.argmax(spectrum) / 2 == pytest.approx(1000, abs=1), "Hz"


def test_a_long_track_comes_in_segments_without_seams(tmp_path: Path) -> None:
    path = media.make(tmp_path / "x.flac", "flac", seconds=65, sr=22050, channels=1, seed=1)
    parts = list(segments(path, CONFIG))
    assert [len(part) for part in parts] == [661500, 661500, 5 * 22050]
    np.testing.assert_allclose(
        np.concatenate(parts), media.music(65, 22050, 1, seed=1)[:, 0], atol=1 / 32768 + 1e-6
    )


def test_segments_are_the_callers_own(tmp_path: Path) -> None:
    path = media.make(tmp_path / "x.flac", "flac", seconds=61, sr=22050, channels=1)
    kept = list(segments(path, CONFIG))
    assert not np.shares_memory(kept[0], kept[1])
    assert not np.array_equal(kept[0], kept[1])


def test_lengths_are_reported(tmp_path: Path) -> None:
    path = media.make(tmp_path / "x.flac", "flac", seconds=3)
    with open_recording(path) as recording:
        assert recording.container == "flac"
        list(recording.segments(CONFIG))
        assert recording.decoded_s == pytest.approx(3)
        assert recording.stated_s == pytest.approx(3)
        assert recording.complete


@pytest.mark.parametrize("container", [c for c in ALL if c not in ("aac", "dsf")])
def test_the_containers_own_length_is_known(tmp_path: Path, container: str) -> None:
    """Without it a truncated file would pass. (ADTS states none; DSF is checked by its structure.)"""
    with open_recording(media.make(tmp_path / "x", container, seconds=4)) as recording:
        assert recording.stated_s == pytest.approx(4, abs=0.06)


@pytest.mark.parametrize("make", [media.make_video, media.make_with_cover])
def test_pictures_are_ignored(tmp_path: Path, make: Callable[..., bytes]) -> None:
    y = decode(make(tmp_path / "x", seconds=3))
    assert len(y) / CONFIG.sr == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("name", [b"caf\xe9 \xff.mp3", b"-n.mp3", b"new\nline.mp3", b"\xf0\x9f\x8e\xb5.mp3"])
def test_any_name(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    media.make(path, "mp3", seconds=1)
    assert len(decode(path)) == pytest.approx(CONFIG.sr, abs=30)


def test_tags_that_are_not_utf8(tmp_path: Path) -> None:
    path = media.make(tmp_path / "x.flac", "flac", seconds=1, tags={"title": "QQQQ"})
    data = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(data.replace(b"QQQQ", b"\xff\xfe\xe9\xff"))
    assert len(decode(path)) == CONFIG.sr


def test_a_change_of_rate_and_channels_within_the_file(tmp_path: Path) -> None:
    """Two MP3s in one, as from a careless `cat`: both are heard."""
    first = Path(os.fsdecode(media.make(tmp_path / "a.mp3", "mp3", seconds=2, sr=44100)))
    second = Path(os.fsdecode(media.make(tmp_path / "b.mp3", "mp3", seconds=2, sr=48000, channels=1)))
    both = tmp_path / "both.mp3"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert len(decode(os.fsencode(both))) / CONFIG.sr == pytest.approx(4, abs=0.2)


def test_a_wav_from_a_pipe_states_no_size(tmp_path: Path) -> None:
    path = media.make_lying_wav(tmp_path / "x.wav", data_bytes=0xFFFFFFFF, seconds=2)
    assert len(decode(path)) == pytest.approx(2 * CONFIG.sr, abs=2)


@pytest.mark.parametrize(
    ("make", "coding"), [(media.make_silent_ape, "ape"), (media.make_silent_mpc, "mpc8")]
)
def test_codings_that_only_others_encode(tmp_path: Path, make: Callable[..., bytes], coding: str) -> None:
    """No free encoder can be had for these two, so all there is to hear is silence of the right length."""
    path = make(tmp_path / "x", seconds=7.3)
    with open_recording(path) as recording:
        assert recording.codec == coding
        y = np.concatenate(list(recording.segments(CONFIG)))
    assert len(y) / CONFIG.sr == pytest.approx(7.3, abs=0.03)
    assert not y.any()
    complaint(media.truncate(path, 0.6))


@pytest.mark.parametrize("after_bytes", [0, 50_000, 500_000])
def test_a_disk_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_bytes: int
) -> None:
    path = media.make(tmp_path / "x.wav", "wav", seconds=8)
    real = ForgivingSource.__init__

    def fail_late(self: ForgivingSource, file: BinaryIO) -> None:
        def read(n: int) -> bytes:
            if file.tell() >= after_bytes:
                raise OSError(errno.EIO, "Input/output error")
            return file.read(n)

        real(self, file)
        self.read = read

    monkeypatch.setattr(ForgivingSource, "__init__", fail_late)
    assert "check the disk" in complaint(path)


# ---- damaged files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.4, 0.9])
@pytest.mark.parametrize("container", [c for c in ALL if c != "aac"])
def test_a_truncated_file_is_an_error(tmp_path: Path, container: str, fraction: float) -> None:
    path = media.truncate(media.make(tmp_path / "x", container, seconds=8), fraction)
    complaint(path)


@pytest.mark.parametrize("container", ["flac", "aiff", "wav", "wv", "tta", "ogg-vorbis", "ogg-opus", "wma"])
def test_where_samples_are_counted_even_a_little_is_missed(tmp_path: Path, container: str) -> None:
    path = media.truncate(media.make(tmp_path / "x", container, seconds=8), 0.985)
    complaint(path)


@pytest.mark.parametrize("container", [c for c in ALL if c not in ("wav", "wav-float", "aiff", "dsf", "aac")])
def test_a_hole_in_the_middle_is_an_error(tmp_path: Path, container: str) -> None:
    """Zeros as a bad disk leaves them. In raw PCM they are valid samples, and ADTS has no length."""
    path = tmp_path / "x"
    media.make(path, container, seconds=8)
    size = path.stat().st_size
    media.patch(path, size // 2, bytes(size // 5))
    complaint(os.fsencode(path))


@pytest.mark.parametrize("total_samples", [2**36 - 1, 200_000, 5000])
def test_a_flac_header_that_lies(tmp_path: Path, total_samples: int) -> None:
    assert "states" in complaint(media.make_lying_flac(tmp_path / "x.flac", total_samples=total_samples))


@pytest.mark.parametrize("data_bytes", [0x7FFFFFF0, 10**6, 1000, 0])
def test_a_wav_header_that_lies(tmp_path: Path, data_bytes: int) -> None:
    assert "chunk" in complaint(media.make_lying_wav(tmp_path / "x.wav", data_bytes=data_bytes))


def test_an_absurd_rate_does_not_become_gigabytes(tmp_path: Path) -> None:
    path = media.make(tmp_path / "x.wav", "wav", seconds=2)
    assert "rate" in complaint(media.patch(path, 24, (1).to_bytes(4, "little")))


def test_no_sound(tmp_path: Path) -> None:
    for container in ("wav", "flac", "mp3", "m4a-aac", "ogg-vorbis"):
        path = media.make(tmp_path / f"x-{container}", container, seconds=0)
        complaint(path)


def test_pictures_only(tmp_path: Path) -> None:
    assert "no audio" in complaint(media.make_video_only(tmp_path / "x.mp4"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"Dear diary,\nno music today.\n" * 1000,
        random.Random(1).randbytes(300_000),
        bytes(100_000),
        b"fLaC",
        b"RIFF\0\0\0\0WAVE",
        b"OggS\0",
        b"ID3\4\0\0\x7f\x7f\x7f\x7f",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"<?xml version='1.0'?><MPD></MPD>",
    ],
)
def test_what_is_not_music(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    complaint(os.fsencode(path))


def test_playlists_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ffmpeg would fetch what an HLS playlist or a concat script names."""
    media.make(tmp_path / "secret.mp3", "mp3", seconds=1)
    for text in (
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.mp3\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/x.mp3\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile secret.mp3\n",
    ):
        path = tmp_path / "list.mp3"
        path.write_text(text)
        monkeypatch.chdir(tmp_path)
        assert "no audio" in complaint(os.fsencode(path))


def test_nothing_blocks_on_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp3")
    (tmp_path / "folder.mp3").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(tmp_path / "socket.mp3"))
        for name in ("fifo.mp3", "folder.mp3", "socket.mp3", "missing.mp3"):
            complaint(os.fsencode(tmp_path / name))
    (tmp_path / "zero.mp3").symlink_to("/dev/zero")
    complaint(os.fsencode(tmp_path / "zero.mp3"))


@pytest.mark.parametrize("container", ALL)
def test_mutations_lead_to_sound_or_to_one_sentence(tmp_path: Path, container: str) -> None:
    path = tmp_path / "x"
    media.make(path, container, seconds=1)
    good = path.read_bytes()
    rng = random.Random(container)
    for _ in range(25):
        data = bytearray(good)
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(500, len(data)))] = (
                rng.randrange(256)
            )
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            for segment in segments(os.fsencode(path), CONFIG, deadline=time.monotonic() + 20):
                assert len(segment) <= CONFIG.segment_samples
        except AudioError as error:
            assert "\n" not in str(error)


# ---- limits --------------------------------------------------------------------------------------------


def test_the_deadline_is_kept(tmp_path: Path) -> None:
    path = media.make(tmp_path / "x.mp3", "mp3", seconds=20)
    with pytest.raises(TimeLimitError, match=r"x\.mp3"):
        decode(path, deadline=time.monotonic() - 1)
    assert len(decode(path, deadline=time.monotonic() + 60))


@pytest.mark.parametrize(("sr", "channels"), [(44100, 2), (192000, 8), (8000, 1)])
def test_a_bomb_is_given_up_early_and_honestly(tmp_path: Path, sr: int, channels: int) -> None:
    path = media.make_bomb(tmp_path / "bomb.flac", hours=24, sr=sr, channels=channels)
    start = time.process_time()
    with open_recording(path) as recording:
        for _ in recording.segments(CONFIG):
            pass
        assert not recording.complete
        assert recording.stated_s == pytest.approx(86400, rel=0.01)
        assert recording.decoded_s < 6000
    assert time.process_time() - start < 3


def test_a_quiet_hour_is_no_bomb(tmp_path: Path) -> None:
    """An hour of near silence as encoders really write it is heard to its end."""
    quiet = np.random.default_rng(0).integers(-1, 2, 600 * 8000).astype(np.float32) / 32768
    path = media.make(tmp_path / "x.opus", "ogg-opus", signal=quiet, sr=8000, channels=1)
    with open_recording(path) as recording:
        for _ in recording.segments(CONFIG):
            pass
        assert recording.complete
        assert recording.decoded_s == pytest.approx(600, abs=0.1)


def test_a_very_long_track_is_heard_in_its_first_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagger.audio.MAX_LISTENED_S", 5.0)
    path = media.make(tmp_path / "x.flac", "flac", seconds=20)
    with open_recording(path) as recording:
        n_samples = sum(len(y) for y in recording.segments(CONFIG))
        assert recording.stated_s == pytest.approx(20)
        assert not recording.complete
    assert n_samples / CONFIG.sr == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("kind", ["bomb", "wide", "lying"])
def test_memory_is_bounded_by_a_segment(tmp_path: Path, kind: str) -> None:
    """Peak of a fresh process; measured 75-95 MB, of which the libraries take 60."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs Linux's /proc to tell a process's peak memory")
    path = {
        "bomb": lambda: media.make_bomb(tmp_path / "x.flac"),
        "wide": lambda: media.make(
            tmp_path / "x.wav", "wav", sr=192000, channels=8, seconds=8, signal="noise"
        ),
        "lying": lambda: media.make_lying_flac(tmp_path / "x.flac"),
    }[kind]()
    code = (
        "import os, re, sys\n"
        "from tagger.audio import segments\n"
        "from tagger.feature_config import FeatureConfig\n"
        "from tagger.errors import AudioError\n"
        "try:\n    [len(y) for y in segments(os.fsencode(sys.argv[1]), FeatureConfig())]\n"
        "except AudioError: pass\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, os.fsdecode(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert int(done.stdout) / 1024 < 150, "MB"
    assert not done.stderr


def test_ffmpeg_keeps_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.mp3"
    media.make(path, "mp3", seconds=4)
    media.patch(path, 20_000, random.Random(0).randbytes(9000))
    with pytest.raises(AudioError):
        decode(media.truncate(path, 0.7))
    assert capfd.readouterr() == ("", "")


# ---- the tools of the tests ----------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["flac", "wav", "aiff", "mp3", "ogg-vorbis", "ogg-opus"])
def test_the_made_files_are_valid_to_another_reader(tmp_path: Path, container: str) -> None:
    row = media.CONTAINERS[container]
    path = media.make(tmp_path / f"x.{row.suffix}", container, seconds=2)
    assert soundfile.info(os.fsdecode(path)).duration == pytest.approx(2, abs=0.03)


def test_the_bomb_is_valid_to_another_reader(tmp_path: Path) -> None:
    path = media.make_bomb(tmp_path / "x.flac", hours=0.1)
    with soundfile.SoundFile(os.fsdecode(path)) as file:
        assert file.frames == pytest.approx(360 * 44100, rel=0.01)
        assert not any(block.any() for block in file.blocks(2**20))
