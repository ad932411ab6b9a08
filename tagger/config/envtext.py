"""What the text of an environment variable or of an option stands for: what TOML would have given.

What does not fit is handed on as it is, for the check of the setting to name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def scalar(text: str) -> object:
    """A number, true or false."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def is_path(text: str) -> bool:
    """Whether a text is the path of something, not its name."""
    return os.sep in text or "/" in text or text.startswith("~")


def from_here(text: str) -> str:
    """A path as typed in a shell: relative to the current directory."""
    return text if not text or text.startswith("~") else str(Path(text).absolute())


def items(separator: str) -> Callable[[str], list[str]]:
    """How to read a list whose items are separated in this way."""
    return lambda text: [item.strip() for item in text.split(separator) if item.strip()]


def pairs(text: str) -> object:
    """A table: ``hiphop=Rap,disco=``."""
    parts = [item.partition("=") for item in items(",")(text)]
    return {label.strip(): name for label, _, name in parts} if all(sign for _, sign, _ in parts) else text
