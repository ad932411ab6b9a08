"""`python -m tests.benchmarks.floor JOBS FILE…`: decode to 22 050 Hz mono with PyAV, and nothing else.

The least that anything which listens to these files with ffmpeg must do. Imports nothing but PyAV.
"""

from __future__ import annotations

import multiprocessing
import sys

RATE = 22050


def decode(path: str) -> int:
    """Samples at `RATE`. Blocks of 65,536: PyAV's own size, a frame at a time, takes longer."""
    import av

    n = 0
    with av.open(path) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        resampler = av.AudioResampler("flt", "mono", RATE, frame_size=65536)
        for frame in container.decode(stream):
            for block in resampler.resample(frame):
                n += block.samples
        for block in resampler.resample(None):
            n += block.samples
    return n


def main() -> None:
    jobs, *paths = sys.argv[1:]
    with multiprocessing.get_context("spawn").Pool(int(jobs)) as pool:
        n = sum(pool.imap_unordered(decode, paths))
    print(n / RATE)


if __name__ == "__main__":
    main()
