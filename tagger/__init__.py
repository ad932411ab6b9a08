"""tagger: listens to a music collection and fills in the missing genres, safely."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tagger")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"
