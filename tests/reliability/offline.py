"""R51: the program never uses a network, whatever is in the files and wherever it runs.

Three nets at once: an audit hook in the parent and in every worker that reports and forbids Internet sockets;
a network namespace without any interface, where C code would fail, too; and a server that playlists and tags
in disguise point to, which nobody may call.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests import media
from tests.conftest import ROOT, environment
from tests.reliability.figures import Measured, figure
from tests.reliability.program import ANY, tagger

GUARD = '''"""Loaded by every Python process of the run: forbids Internet sockets, and says who tried."""
import os, sys

WATCHED = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")

def guard(event, args):
    if event in WATCHED:
        family = getattr(args[0], "family", None)
        if family is not None and int(family) == 1:  # AF_UNIX: never leaves the machine
            return
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{event} {args!r}\\n")
        raise PermissionError(f"{event}: no network in this test")

sys.addaudithook(guard)
with open(os.environ["NETWORK_LOG"] + ".guarded", "a") as log:
    log.write(f"{os.getpid()}\\n")
'''


@figure("R51", what="sockets blocked, a full run: tagged; attempts to use the network", bar="all, 0", full=20)
def offline(folder: Path, *, size: int) -> Measured:
    """`size` good tracks, and files that try to have something fetched."""
    music, site, log = folder / "music", folder / "site", folder / "network.log"
    music.mkdir()
    site.mkdir()
    (site / "sitecustomize.py").write_text(GUARD)
    for seed in range(size):
        container = ("mp3", "flac", "ogg-vorbis", "m4a-aac", "wma")[seed % 5]
        media.make(music / f"{seed}.{media.CONTAINERS[container].suffix}", container, seconds=2.0, seed=seed)
    env = {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "NETWORK_LOG": str(log)}
    with _Server() as server:
        _lures(music, server.port)
        plain = tagger(folder / "a", "run", *ANY, "-n", music, env=env)  # reaches the server, would it try
        prefix = _without_network()
        ran = tagger(folder / "b", "run", *ANY, "--jobs", 2, music, env=env, prefix=prefix)
        calls = server.n_calls
    attempts = log.read_text().splitlines() if log.exists() else []
    guarded = set(Path(f"{log}.guarded").read_text().split())
    tagged = sum(line["status"] == "tagged" for line in ran.lines)
    tagged_before = sum(line["status"] == "tagged" for line in plain.lines)
    notes = [*attempts, *([f"{calls} calls of the server"] if calls else [])]
    if len(guarded) < 4:  # two parents, and a worker each at least
        notes.append(f"only {len(guarded)} processes were guarded")
    if not _guard_works(folder, env):
        notes.append("the guard lets a connection pass")
    n = size + 1  # the one with a linked cover is a good file, too
    text = f"{tagged} of {n}, {len(attempts) + calls}"
    return Measured(
        ok=not notes and tagged == tagged_before == n,
        text=text if prefix else f"{text} (no network namespace here: audit hook and server alone)",
        n=n,
        notes=tuple(notes),
    )


def _lures(music: Path, port: int) -> None:
    """What makes other players fetch something."""
    url = f"http://127.0.0.1:{port}/track.mp3"
    (music / "playlist.mp3").write_text(f"#EXTM3U\n#EXTINF:10,Title\n{url}\n")
    (music / "hls.m4a").write_text(
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n"
    )
    (music / "pls.ogg").write_text(f"[playlist]\nFile1={url}\nNumberOfEntries=1\n")
    (music / "asx.wma").write_text(f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>')
    (music / "redirect.wma").write_text(f"[Reference]\r\nRef1={url}\r\n")
    (music / "concat.flac").write_text(f"ffconcat version 1.0\nfile '{url}'\n")
    (music / "sdp.mp3").write_text(
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n"
    )
    cover = url.encode()
    body = b"\0-->\0\3\0" + cover  # a picture by its address, as ID3 allows
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = len(frame)
    made = media.make(music / "linked-cover.mp3", "mp3", seconds=2.0)
    path = Path(os.fsdecode(made))
    path.write_bytes(b"ID3\4\0\0" + bytes([0, 0, size >> 7, size & 0x7F]) + frame + path.read_bytes())


def _without_network() -> list[str]:
    for prefix in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if shutil.which("unshare") and not subprocess.run([*prefix, "true"], capture_output=True).returncode:
            return prefix
    return []


def _guard_works(folder: Path, env: dict[str, str]) -> bool:
    """A hook that is not there would find nothing either."""
    code = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    log = {"NETWORK_LOG": str(folder / "control.log")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(folder) | env | log, capture_output=True, check=False
    )
    return b"no network in this test" in done.stderr and (folder / "control.log").exists()


class _Server:
    """Listens on the loopback interface and counts who calls."""

    def __enter__(self) -> _Server:
        self.n_calls = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        threading.Thread(target=self._answer, daemon=True).start()
        return self

    def _answer(self) -> None:
        while True:
            try:
                calling, _ = self.socket.accept()
            except OSError:
                return
            self.n_calls += 1
            calling.close()

    def __exit__(self, *_: object) -> None:
        self.socket.close()
