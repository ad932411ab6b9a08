"""tagger: listens to a music collection and fills in the missing genres, safely."""

__version__ = "0.1.0"
"""The one place where it stands; `setup.cfg` reads it here."""
