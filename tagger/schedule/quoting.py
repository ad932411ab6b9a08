"""Arguments as they must be written in a crontab and in a systemd unit, so that they arrive as they were.

A crontab line goes through cron, where ``\\%`` stands for ``%`` and some crons turn two backslashes into one,
and then through a shell. So a backslash is never written but before ``%`` or a digit: what is not printable
comes from ``printf`` in octal, which is plain ASCII in any editor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLAIN = re.compile(rb"[A-Za-z0-9_@+=:,./-]+")
_PLAIN_OCTAL = re.compile(rb"[A-Za-z0-9/._]")  # no hyphen: printf takes what begins with one for an option


def is_text(argument: bytes) -> bool:
    """Whether an argument is printable UTF-8: all other bytes are better not seen in a file people edit."""
    try:
        return argument.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def shell_line(argv: Sequence[bytes]) -> str:
    """A line for a POSIX shell, without a line feed, that runs `argv`."""
    first, words = [], []
    for number, argument in enumerate(argv):
        if _PLAIN.fullmatch(argument):
            words.append(argument.decode("ascii"))
        elif is_text(argument) and b"\\" not in argument:
            words.append("'" + argument.decode("utf-8").replace("'", "'\"'\"'") + "'")
        else:
            # $(…) drops line feeds at the end, so the text ends with a dot that is taken off again.
            first.append(f"a{number}=$(printf '{_octal(argument)}.'); ")
            words.append(f'"${{a{number}%.}}"')
    return "".join(first) + " ".join(words)


def _octal(argument: bytes) -> str:
    return "".join(
        chr(byte) if _PLAIN_OCTAL.fullmatch(bytes([byte])) else f"\\{byte:03o}" for byte in argument
    )


def cron_command(argv: Sequence[bytes]) -> str:
    """The command of a crontab line."""
    return shell_line(argv).replace("%", "\\%")


def systemd_command(argv: Sequence[bytes]) -> str:
    """What stands behind ``ExecStart=``."""
    if not all(map(is_text, argv)) or not re.fullmatch(r"/[^\\\"'$%]+", argv[0].decode("utf-8")):
        # systemd takes any byte, but then `systemctl status` fails, as D-Bus takes text only; and in the name
        # of the program it takes no quotes and backslashes.
        argv = (b"/bin/sh", b"-c", shell_line(argv).encode())
    return " ".join(_systemd_word(argument.decode("utf-8")) for argument in argv)


def _systemd_word(argument: str) -> str:
    for special, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        argument = argument.replace(special, written)
    return argument if _PLAIN.fullmatch(argument.encode()) else f'"{argument}"'
