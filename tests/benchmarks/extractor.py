"""`python -m tests.benchmarks.extractor FILE…`: Essentia's MusicExtractor.

It describes a track by hundreds of numbers (low-level, rhythm, tonal), and names no genre without further
models.
"""

from __future__ import annotations

import sys


def main() -> None:
    import essentia
    import essentia.standard

    essentia.log.infoActive = False
    essentia.log.warningActive = False
    extract = essentia.standard.MusicExtractor()
    for path in sys.argv[1:]:
        extract(path)


if __name__ == "__main__":
    main()
