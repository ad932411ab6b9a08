"""tagger: listens to a music collection and fills in the missing genres, safely."""


def __getattr__(name: str) -> str:
    """`__version__`, read when it is asked for: `tagger --help` need not wait for it."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tagger")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"
