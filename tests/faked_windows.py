"""A process that is made to look like Windows, as far as POSIX can be taken from Python: see test_platforms.

``python -m tests.faked_windows FILE``: imports every module of the program, changes the genre of FILE, and
prints as JSON what was found. Third-party packages are loaded before, as they are not what is examined.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "tagger"

ONLY_ON_POSIX = {
    os: "fchown fchmod chown lchown listxattr getxattr setxattr removexattr getuid geteuid getgid getegid "
    "killpg getpgid setsid nice setpriority "
    "getloadavg statvfs copy_file_range sched_setscheduler sched_getaffinity "
    "posix_fadvise fork uname umask mkfifo O_NONBLOCK O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_PATH",
    signal: "SIGHUP SIGKILL SIGALRM SIGCHLD SIGUSR1 pthread_sigmask alarm setitimer",
}  # fmt: skip
"""Names that a Python on Windows does not have (``umask`` it has, but it means nothing there)."""

ABSENT = ("fcntl", "resource", "pwd", "grp", "termios", "posix_ipc")


def modules() -> list[str]:
    """Every module of the program but its entry point."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("tagger", *path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if path.name != "__main__.py":
            found.append(name)
    return found


def load_what_is_not_ours() -> None:
    """Import the program once, which brings all that it needs, then forget the program."""
    for name in modules():
        importlib.import_module(name)
    importlib.import_module("watchfiles")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tagger"]:
        del sys.modules[name]


def become_windows() -> None:
    """Take away what is not there on Windows, and replace no file that is open."""
    sys.platform = "win32"
    for module, names in ONLY_ON_POSIX.items():
        for name in names.split():
            if hasattr(module, name) and name != "SIGKILL":  # which Python's own subprocess needs here
                delattr(module, name)
    for name in ABSENT:
        sys.modules[name] = None  # type: ignore[assignment]
    os.supports_dir_fd.clear()
    os.supports_fd.discard(os.utime)
    really = os.replace

    def replace(source: bytes, target: bytes) -> None:
        held = {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
        for path in (source, target):
            if os.path.realpath(os.fsdecode(path)) in held:
                raise PermissionError(13, "The process cannot access the file: it is in use", path)
        really(source, target)

    os.replace = replace  # type: ignore[assignment]


def main(file: bytes) -> dict[str, object]:
    """Work as on Windows; what a caller compares."""
    load_what_is_not_ours()
    become_windows()
    imported = modules()
    for name in imported:
        importlib.import_module(name)
    from tagger import guard, interrupts, limits, pool
    from tagger.hook import call_hook
    from tagger.replace import FileStat, sweep, write_genre
    from tagger.tags import genre_state, read_tags
    from tagger.tracks import TagEdit

    interrupts.install()
    limits.lower_priority()
    guard.die_with_parent()
    guard.limit_memory()
    with pool._held_interrupts():
        pass
    before = os.stat(file)
    tags = read_tags(file)
    edit = TagEdit(tags.state, genre_state(("Jazz",), like=tags.state))
    steps: list[str] = []
    write_genre(
        file, edit, expected=FileStat.of(file), digest=None, preserve_mtime=True, on_step=steps.append
    )

    class Stop(Exception):
        pass

    def stop(step: str) -> None:
        if step == "verified":
            raise Stop

    try:
        back = TagEdit(edit.after, edit.before)
        write_genre(file, back, expected=FileStat.of(file), digest=None, on_step=stop)
    except Stop:
        pass
    return {
        "modules": len(imported),
        "genres": list(read_tags(file).genres),
        "same_time": os.stat(file).st_mtime_ns == before.st_mtime_ns,
        "left": os.listdir(os.path.dirname(os.fsdecode(file))),
        "swept": len(sweep(os.path.dirname(file))),
        "steps": steps,
        "load": limits.load_average(),
        "hook": call_hook([sys.executable, "-c", "import time; time.sleep(60)"], {}, timeout_s=0.2),
    }


if __name__ == "__main__":
    print(json.dumps(main(os.fsencode(sys.argv[1]))))
