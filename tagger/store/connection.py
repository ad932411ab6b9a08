"""Connections to the database file: opened safely, and errors put in words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote_from_bytes

from tagger.errors import StoreError
from tagger.store import schema
from tagger.tracks import display

_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_WAL_LIMIT_BYTES = 64 * 2**20

# Where the shared memory of WAL does not reach the other machine, or not reliably.
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("9p", "afp", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs2", "glusterfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs", "fuse.davfs", "fuse.davfs2"),
        *("fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs"),
    )
)


def connect(
    path: bytes | None, *, read_only: bool, busy_timeout_s: float
) -> tuple[sqlite3.Connection, list[str]]:
    """Open, check and, where it may be written, create or migrate a database.

    Parameters
    ----------
    path : bytes or None
        The file; None for a database in memory.
    read_only : bool
        Open an existing file for reading: it is neither created nor changed.
    busy_timeout_s : float
        How long to wait for another writer.

    Returns
    -------
    conn : sqlite3.Connection
        In autocommit mode: transactions are begun explicitly.
    notices : list of str
        What a person should know: sentences.

    Raises
    ------
    StoreError
        The database cannot be used; it is as it was.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"Python was built with SQLite {sqlite3.sqlite_version}; 3.37 or newer is needed.")
    if path is None:
        conn = sqlite3.connect(":memory:", isolation_level=None)
        schema.prepare(conn, "in memory")
        conn.execute("PRAGMA foreign_keys = ON")
        return conn, []
    name = display(path)
    exists = schema.check_header(path, name)
    if read_only and not exists:
        raise StoreError(f"There is no database at {name} yet: `tagger run FOLDER` makes it.")
    try:
        if read_only:
            return _connect_reader(path, name, busy_timeout_s)
        return _connect_writer(path, name, busy_timeout_s)
    except sqlite3.Error as error:
        raise explain(error, name) from error


def _connect_writer(path: bytes, name: str, busy_timeout_s: float) -> tuple[sqlite3.Connection, list[str]]:
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder of the database {name} cannot be made: {error.strerror}.") from error
    if os.path.lexists(path) and not os.access(path, os.W_OK):
        raise StoreError(
            f"The database {name} may not be written: change its permissions, or name another with --db."
        )
    notices: list[str] = []
    conn = _open(path, "mode=rwc", busy_timeout_s)
    try:
        # The tables are made before WAL is switched on: the file's first page then always tells whose it is.
        schema.prepare(conn, name)
        wanted = "wal"
        file_system = network_file_system(folder)
        if file_system:
            wanted = "delete"
            notices.append(
                f"The database {name} is on a network file system ({file_system}): it is slower there, and "
                "readers may wait during a run; better keep it on a local disk (--db)."
            )
        mode = _set_journal_mode(conn, wanted, busy_timeout_s)
        if mode != wanted and not file_system:
            notices.append(
                f"The database {name} cannot use a write-ahead log here: readers may wait during a run."
            )
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    except BaseException:
        conn.close()
        raise
    return conn, notices


def _connect_reader(path: bytes, name: str, busy_timeout_s: float) -> tuple[sqlite3.Connection, list[str]]:
    notices: list[str] = []
    query = "mode=ro"
    sidecars = [path + b"-wal", path + b"-shm"]
    if not os.access(os.path.dirname(path), os.W_OK) and not any(map(os.path.lexists, sidecars)):
        # SQLite must make the sidecar files to read a database in WAL mode. Nobody has it open now.
        query += "&immutable=1"
        notices.append(
            f"The folder of the database {name} may not be written: what is shown is as it was when opened."
        )
    conn = _open(path, query, busy_timeout_s)
    try:
        schema.check_tables(conn, name)
        conn.execute("PRAGMA query_only = ON")
    except BaseException:
        conn.close()
        tidy_sidecars(path)
        raise
    return conn, notices


def _open(path: bytes, query: str, busy_timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote_from_bytes(path)}?{query}",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        # Streamlit runs a page in another thread each time; SQLite serialises the calls itself.
        check_same_thread=sqlite3.threadsafety < 3,
    )


def _set_journal_mode(conn: sqlite3.Connection, mode: str, busy_timeout_s: float) -> str:
    """Switch the journal mode, which SQLite gives up at once, without waiting, beside another connection."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            return str(conn.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def roll_back(conn: sqlite3.Connection) -> None:
    """Undo the transaction that is open, if an error has not done so already."""
    if conn.in_transaction:
        conn.execute("ROLLBACK")


def empty_log(conn: sqlite3.Connection) -> None:
    """Move what the write-ahead log holds into the database file, so that a copy of that file is complete.

    Left to a later connection where a reader is at work.
    """
    with contextlib.suppress(sqlite3.Error):
        conn.execute("PRAGMA busy_timeout = 0")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def tidy_sidecars(path: bytes) -> None:
    """Remove the ``-wal`` and ``-shm`` files that a reader had SQLite make and could not remove itself.

    Done by SQLite, under its locks: the last connection that may write removes them when it closes. Only
    where the log is empty, so that the database itself stays as it is; beside a writer nothing happens.
    """
    with contextlib.suppress(OSError, sqlite3.Error):
        if os.path.getsize(path + b"-wal") == 0:
            with contextlib.closing(_open(path, "mode=rw", 0)) as conn:
                conn.execute("PRAGMA user_version").fetchone()


def network_file_system(folder: bytes, mounts: Iterable[bytes] | None = None) -> str:
    """Name of the network file system a folder is on, empty where it is on a local one or nobody knows.

    Parameters
    ----------
    folder : bytes
        Need not exist.
    mounts : iterable of bytes, optional
        Lines as in ``/proc/mounts`` (the default).
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_bytes().splitlines()
        except OSError:  # not Linux
            return ""
    place = os.path.realpath(folder).rstrip(b"/") + b"/"
    longest, kind = -1, ""
    for line in mounts:
        fields = line.split(b" ")
        if len(fields) < 3:
            continue
        point = _unescape(fields[1]).rstrip(b"/") + b"/"
        if (
            place.startswith(point) and len(point) >= longest
        ):  # the later of two mounts on one point covers the other
            longest, kind = len(point), fields[2].decode("ascii", "replace")
    return kind if kind in NETWORK_FILE_SYSTEMS else ""


def _unescape(field: bytes) -> bytes:
    for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, char)
    return field


def explain(error: sqlite3.Error, name: str) -> StoreError:
    """Put an error of SQLite in words: which database, what is wrong, what to do."""
    extended = getattr(error, "sqlite_errorcode", None) or 0
    code = extended & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        text = f"The database {name} is busy: another program keeps writing to it; try again when it is done."
    elif code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for its -shm file
        text = f"The disk is full: the database {name} cannot be written; make room and start again."
    elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        text = f"The database {name} is damaged ({error}): restore a copy of it, or move it away."
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        text = f"The database {name} may not be written: change its permissions, or name another with --db."
    elif code == sqlite3.SQLITE_CANTOPEN:
        text = f"The database {name} cannot be opened: see whether its folder exists and may be written."
    elif code == sqlite3.SQLITE_IOERR:
        text = f"The disk fails under the database {name} ({error}): see to the disk and restore a copy."
    else:
        text = f"The database {name} cannot be used: {error}."
    return StoreError(text)
