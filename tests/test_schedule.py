"""Planned runs: what is written arrives as it was, in real cron and systemd; others' lines are left alone."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tagger import schedule
from tagger.errors import ScheduleError
from tagger.schedule import KINDS, Job, When, cron, launchd, systemd, windows
from tagger.schedule.job import DAY_MIN, EVERY_MIN, parse_at, parse_every, write_own
from tagger.schedule.quoting import cron_command, shell_line, systemd_command
from tests.inprocess import Here, here

__all__ = ["here"]

NASTY = (
    b"plain", b"", b"-n", b"a b", b"it's", b'"q"', b"50% off", b"100%", b"\\", b"\\\\n", b"a\\%b", b"$HOME",
    b"$(id)", b"`id`",
    b"line\nfeed\n\n", b"\ttab ", b"caf\xc3\xa9", b"latin-\xe9\xff", b"#x", b";", b"~", b"*", b"!!",
    b"A=B", b"\xe2\x80\xa8",
)  # fmt: skip
JOB = Job((b"/bin/tagger", b"run"), (b"--", b"/a b"), When(), b"/log/tagger.log")
ARGUMENTS = st.lists(
    st.binary(max_size=12).map(lambda b: b.replace(b"\0", b"%"))
    | st.text("a%\\$'\"`\n ;#é", max_size=8).map(str.encode)
    | st.sampled_from(NASTY),
    max_size=4,
)
SHOW = "import os, sys; os.write(1, b''.join(os.fsencode(a) + b'\\0' for a in sys.argv[1:]))"


def printed(done: subprocess.CompletedProcess[bytes]) -> list[bytes]:
    """The arguments that a program running `SHOW` was given."""
    assert done.returncode == 0, done.stderr
    return done.stdout.split(b"\0")[:-1]


def as_cron_reads(command: str, *, merges: bool) -> str:
    """What cron hands to the shell: up to a bare ``%``, with ``\\%`` as ``%``; some merge two backslashes."""
    assert "\n" not in command
    end = re.search(r"(?:[^\\%]|\\.)*", command)
    assert end and end[0] == command, "a bare % ends the command"
    return re.sub(r"\\([%\\])" if merges else r"\\(%)", r"\1", command)


def as_systemd_reads(line: str) -> list[bytes]:
    """Words of an ``ExecStart=`` line by the rules of systemd.service(5) and systemd.syntax(7)."""
    words = []
    for quoted, bare in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        text = bare or re.sub(r"\\(.)", r"\1", quoted)
        assert not re.search(r"(?<!%)%(?:%%)*(?!%)", text), "a single % begins a specifier"
        words.append(text.replace("%%", "%").replace("$$", "$").encode())
    return words


# ---- quoting


@settings(max_examples=60, deadline=None)
@given(ARGUMENTS)
@example([b"-\x01", b"--db=\xff"])
def test_what_is_written_for_cron_arrives_as_it_was(arguments: list[bytes]) -> None:
    command = cron_command([os.fsencode(sys.executable), b"-ISc", SHOW.encode(), *arguments])
    assert command.isprintable()
    both = {as_cron_reads(command, merges=merges) for merges in (False, True)}
    assert len(both) == 1, "the crons differ in it"
    assert printed(subprocess.run(["sh", "-c", both.pop()], capture_output=True, check=False)) == arguments


@given(ARGUMENTS)
def test_what_is_written_for_systemd_arrives_as_it_was(arguments: list[bytes]) -> None:
    line = systemd_command([b"/bin/x", *arguments])
    assert line.isprintable()
    words = as_systemd_reads(line)
    if words[:2] == [b"/bin/sh", b"-c"]:
        assert words[2:] == [shell_line([b"/bin/x", *arguments]).encode()]
    else:
        assert words == [b"/bin/x", *arguments]


@pytest.mark.parametrize("name", [b"/a'b", b"/a\\b", b"/a$b", b"/a%b", b"/a\xff"])
def test_a_program_that_systemd_would_refuse_is_started_by_the_shell(name: bytes) -> None:
    assert systemd_command([name, b"x"]).startswith('/bin/sh -c "')


# ---- times


@given(st.integers(0, DAY_MIN - 1), st.sampled_from(EVERY_MIN), st.integers(0, 3 * DAY_MIN))
def test_the_next_time(at_min: int, every_min: int, now_min: int) -> None:
    when, now = When(at_min, every_min), datetime(2026, 3, 1) + timedelta(minutes=now_min)
    following = when.next_after(now)
    assert timedelta() < following - now <= timedelta(minutes=every_min)
    assert (following - following.replace(hour=0, minute=0)).seconds // 60 in when.minutes
    assert at_min in when.minutes and len(when.minutes) == DAY_MIN // every_min


@given(st.integers(0, DAY_MIN - 1), st.sampled_from(EVERY_MIN))
def test_what_is_planned_is_read_back(at_min: int, every_min: int) -> None:
    job, now = Job((b"/x",), (), When(at_min, every_min), b"/l"), datetime(2026, 3, 1, 12, 7)
    due = job.when.next_after(now)
    line = cron.text(job).splitlines()[2]
    read = cron._when(line)
    assert read is not None and read.next_after(now) == due
    assert launchd._next(launchd.text(job).encode(), now) == due
    assert windows.next_of(windows.text(job), now) == due


@pytest.mark.parametrize("text", ["", "24:00", "3:60", "3", "a:b", "-1:00", "03:30:00"])
def test_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        parse_at(text)


def test_times_are_read() -> None:
    assert (parse_at("3:05"), parse_at("23:59")) == (185, 1439)
    assert (parse_every("6h"), parse_every("30m"), parse_every("1d")) == (360, 30, 1440)
    for wrong in ("7h", "5m", "", "h", "36h", "0m"):
        with pytest.raises(ValueError, match="is not one of"):
            parse_every(wrong)


# ---- the crontab


@given(st.binary(max_size=60), st.booleans())
def test_the_lines_of_others_stay_as_they_are(table: bytes, already: bool) -> None:
    block = cron.text(JOB).encode()
    theirs = table.replace(b"tagger", b"x")
    start = cron.with_block(theirs, "tagger", b"old" and block) if already else theirs
    added = cron.with_block(start, "tagger", block)
    assert added.endswith(block) and added.count(b">>> tagger") == 1
    assert cron.with_block(added, "tagger", block) == added
    left = cron.with_block(added, "tagger", b"")
    assert left in (theirs, theirs + b"\n")


def test_the_blocks_of_two_libraries_live_side_by_side() -> None:
    other = Job((b"/x",), (), When(60), b"/l", library="jazz")
    table = cron.with_block(
        cron.with_block(b"1 2 * * * mine\n", "tagger", b"A\n"), "tagger", cron.text(JOB).encode()
    )
    both = cron.with_block(table, other.name, cron.text(other).encode())
    assert (
        cron.with_block(both, "tagger", b"")
        == table.replace(cron.text(JOB).encode(), b"") + cron.text(other).encode()
    )


def test_a_block_without_its_end_is_not_touched() -> None:
    block = cron.text(JOB).encode()
    for broken in (block.replace(b"# <<<", b"# "), block.replace(b"# >>>", b"# "), block + block):
        with pytest.raises(ScheduleError, match="no longer a pair"):
            cron.with_block(b"x\n" + broken, "tagger", block)


def test_a_command_that_cron_would_cut_off_is_refused() -> None:
    with pytest.raises(ScheduleError, match="too long for a crontab line; set paths"):
        cron.text(Job((b"/x",), (b"/" + b"y" * 1000,), When(), b"/l"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, with a `crontab` that keeps its table in a file there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    crontab = folder / "crontab"
    crontab.write_text(
        f"""#!/bin/sh
table={folder}/table
case "$1" in
-l) [ -f $table ] && exec /bin/cat $table; echo "no crontab for $USER" >&2; exit 1;;
-r) /bin/rm $table;;
-) /bin/cat > $table;;
esac
"""
    )
    crontab.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


def test_cron_from_nothing_to_nothing(programs: Path) -> None:
    assert schedule.find_kind() == "cron"
    assert schedule.planned() == []
    assert "Added" in cron.install(JOB)[0]
    assert "already" in cron.install(JOB)[0]
    (found,) = schedule.planned(datetime(2026, 1, 1, 12, 0))
    assert (found.kind, found.ours, found.next) == ("cron", True, datetime(2026, 1, 2, 3, 30))
    (programs / "table").write_text((programs / "table").read_text() + "5 5 * * 1 tagger run /other\n")
    assert [(item.ours, item.next is None) for item in schedule.planned()] == [(True, False), (False, True)]
    assert cron.remove("tagger") == ["Removed from the crontab."]
    assert (programs / "table").read_text() == "5 5 * * 1 tagger run /other\n"
    assert cron.remove("tagger") == []


def test_a_crontab_that_cannot_be_read_is_not_overwritten(programs: Path) -> None:
    (programs / "crontab").write_text("#!/bin/sh\necho you are not allowed to use this program >&2; exit 1\n")
    with pytest.raises(ScheduleError, match="cannot be read: you are not allowed"):
        cron.install(JOB)
    assert not (programs / "table").exists()
    assert schedule.planned() == []


def test_a_file_of_somebody_elses_is_not_overwritten(tmp_path: Path) -> None:
    theirs = tmp_path / "tagger.service"
    theirs.write_text("[Service]\n")
    with pytest.raises(ScheduleError, match="was not made by tagger"):
        write_own({tmp_path / "tagger.timer": b"# ours", theirs: b"# ours"}, b"# ours")
    assert theirs.read_text() == "[Service]\n" and list(tmp_path.iterdir()) == [theirs]


def test_a_file_that_cannot_be_written_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    before = tmp_path / "tagger.timer"
    before.write_text("# ours, the former")
    with pytest.raises(ScheduleError, match="file/x cannot be written"):
        write_own({before: b"# ours", tmp_path / "y": b"", tmp_path / "file" / "x": b""}, b"# ours")
    assert before.read_text() == "# ours, the former" and not (tmp_path / "y").exists()


CRON_WORLD = """
set -e
for place in /var/spool/cron /run /etc/cron.d; do mount -t tmpfs none $place; done
mkdir /var/spool/cron/crontabs
crontab - < "$1"
set +e
timeout 20 cron -f & pid=$!
for _ in $(seq 100); do [ -e "$2" ] && break; sleep 0.1; done
kill $pid; wait; crontab -l
"""


def test_a_real_cron_daemon_starts_it_with_these_arguments(tmp_path: Path) -> None:
    """In a mount namespace of its own: no crontab of this machine is touched."""
    if not all(map(shutil.which, ("cron", "crontab", "unshare"))) or os.geteuid() != 0:
        pytest.skip("needs cron, unshare and root")
    out = tmp_path / "arguments"
    write = (
        f"import os, sys; open({str(out) + '~'!r}, 'wb').write(b'\\0'.join(map(os.fsencode, sys.argv[1:])));"
    )
    (tmp_path / "show.py").write_text(f"{write} os.rename({str(out) + '~'!r}, {str(out)!r})")
    argv = (os.fsencode(sys.executable), b"-IS", os.fsencode(tmp_path / "show.py"))
    job = Job(argv, NASTY, When(), b"/log")
    # Such a line is due tomorrow; @reboot is due as soon as the daemon starts.
    table = cron.text(job).replace("30 3 * * *", "@reboot")
    (tmp_path / "table").write_text(table)
    isolated = ["unshare", "--mount", "--propagation", "private", "sh", "-c", CRON_WORLD, "sh"]
    done = subprocess.run([*isolated, tmp_path / "table", out], capture_output=True, timeout=60, check=False)
    if b"unshare failed" in done.stderr or b"permission denied" in done.stderr:
        pytest.skip("no mount namespace to be had")
    assert done.stdout.decode() == table, done.stderr
    assert out.read_bytes().split(b"\0") == [b"--log", b"/log", *NASTY]


# ---- systemd


def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for every in EVERY_MIN:
        job = Job((b"/bin/true",), NASTY, When(7 * 60 + 5, every), b"/log", library=f"l{every}")
        for name, content in systemd.units(job).items():
            (tmp_path / name).write_text(content)
    units = [*tmp_path.glob("*.timer"), *tmp_path.glob("*.service")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *units],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_reads_the_command_as_it_was(tmp_path: Path) -> None:
    """The manager itself loads the unit and prints the words it would start."""
    manager = Path("/usr/lib/systemd/systemd")
    if not manager.exists() or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs systemd, and root to become somebody else")
    arguments = [a for a in NASTY if "$" not in a.decode("latin-1")]  # those it shows before they are put in
    with tempfile.TemporaryDirectory() as home:
        units = Path(home) / ".config" / "systemd" / "user"
        units.mkdir(parents=True)
        argv = [b"/bin/echo", *(a for a in arguments if a.isascii() and a.decode().isprintable())]
        (units / "tagger.service").write_text(
            systemd.units(Job(tuple(argv), (), When(), b"/l"))["tagger.service"]
        )
        for folder, folders, files in os.walk(home):
            for path in [folder, *(os.path.join(folder, name) for name in folders + files)]:
                os.chown(path, 65534, 65534)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", manager, "--user", "--test",
             "--unit=tagger.service"],
            env={"HOME": home, "XDG_RUNTIME_DIR": home, "PATH": os.environ["PATH"]},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    found = re.search(
        r"Unit tagger\.service:(?:(?!-> Unit)[^\x00])*?Command Line: (.*)", done.stdout + done.stderr
    )
    if found is None:
        pytest.skip(f"the manager does not start here: {done.stderr[-200:]}")
    shown = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', found[1])
    words = [(bare or re.sub(r"\\(.)", r"\1", quoted)).encode() for quoted, bare in shown]
    assert [word for word in words if word] == [word for word in argv if word]


SYSTEMCTL = """#!/bin/sh
echo "$@" >> {folder}/calls
case "$*" in
*NextElapse*) echo "NextElapseUSecRealtime=Mon 2026-11-23 03:30:12 UTC";;
esac
"""


def test_systemd_from_nothing_to_nothing(programs: Path, tmp_path: Path) -> None:
    program = programs / "systemctl"
    program.write_text(SYSTEMCTL.format(folder=programs))
    program.chmod(0o755)
    assert schedule.find_kind() == "systemd"
    assert "is in force" in systemd.install(JOB)[0]
    assert "as it was" in systemd.install(JOB)[0]
    assert "--user enable tagger.timer\n--user restart tagger.timer\n" in (programs / "calls").read_text()
    found = schedule.next_run()
    assert found is not None and found.next == datetime(2026, 11, 23, 3, 30, 12)
    units = tmp_path / ".config" / "systemd" / "user"
    (units / "tagger-other.timer").write_text("[Timer]\n")
    assert len(schedule.planned()) == 1
    assert systemd.remove("tagger") == ["Removed: tagger.service, tagger.timer."]
    assert [path.name for path in units.iterdir()] == ["tagger-other.timer"]
    assert systemd.remove("tagger") == []


def test_what_systemd_does_not_take_is_not_planned(programs: Path, here: Here, tmp_path: Path) -> None:
    program, units = programs / "systemctl", systemd.folder()
    env = {"PATH": str(programs), "HOME": str(tmp_path)}
    at = ("schedule", "--kind", "systemd", "--install", "/music", "--at")
    works = SYSTEMCTL.format(folder=programs)
    program.write_text("#!/bin/sh\necho Failed to connect to bus >&2; exit 1\n")
    program.chmod(0o755)
    ran = here(*at, "03:30", env=env)
    assert ran.code == 3 and "Failed to connect to bus" in ran.err
    assert not list(units.iterdir()) and here("schedule", "--show", env=env).out == "Nothing is planned.\n"
    program.write_text(works)
    assert here(*at, "03:30", env=env).code == 0
    before = {path.name: path.read_text() for path in units.iterdir()}
    program.write_text(
        works.replace("esac", "*restart*) [ -e $0.second ] || { echo > $0.second; exit 1; };;\nesac")
    )
    (programs / "calls").unlink()
    assert here(*at, "05:00", env=env).code == 3
    assert {path.name: path.read_text() for path in units.iterdir()} == before
    assert (programs / "calls").read_text().endswith("daemon-reload\n--user restart tagger.timer\n")


# ---- macOS and Windows: their programs are not here, what they are given is


def test_what_launchd_does_not_take_is_not_planned(
    programs: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"PATH": str(programs), "HOME": str(programs.parent)}
    install = ("schedule", "--kind", "launchd", "--install", "/music")
    ran = here(*install, env=env)
    assert ran.code == 3 and "The program launchctl is not there" in ran.err
    assert here("schedule", "--show", env=env).out == "Nothing is planned.\n"
    monkeypatch.setattr(launchd, "call", lambda *_words, **_how: None)
    launchd.install(JOB)
    before = launchd.path_of("tagger").read_bytes()
    monkeypatch.undo()
    assert here(*install, "--at", "05:00", env=env).code == 3
    assert launchd.path_of("tagger").read_bytes() == before


def test_the_launch_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    agent: dict[str, Any] = plistlib.loads(launchd.text(JOB).encode())
    assert [part.encode() for part in agent["ProgramArguments"]] == list(JOB.argv_logged)
    assert agent["LowPriorityIO"] is True and agent["Nice"] == 19 and agent["ProcessType"] == "Background"
    assert agent["StartCalendarInterval"] == [{"Hour": 3, "Minute": 30}]
    called = []
    monkeypatch.setattr(launchd, "call", lambda command, **_: called.append(command))
    launchd.install(JOB)
    assert called[-1][:2] == ["launchctl", "bootstrap"] and launchd.planned(datetime.now())
    assert launchd.remove("tagger") == ["Removed: tagger.plist."] and not launchd.planned(datetime.now())
    with pytest.raises(ScheduleError, match="set paths in the configuration"):
        launchd.text(Job((b"/\xff",), (), When(), b"/l"))


def test_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"t": windows._SPACE}
    job = Job(
        (rb"C:\Program Files\tagger.exe", b"run"),
        (b"--", rb'C:\My "Music"' + b"\\", "é & <x>".encode()),
        When(),
        b"l",
    )
    task = ET.fromstring(windows.text(job).encode("utf-16"))
    given = task.findtext(".//t:Arguments", None, space)
    assert task.findtext(".//t:Command", None, space) == r"C:\Program Files\tagger.exe"
    assert given == r'run --log l -- "C:\My \"Music\"\\" "é & <x>"'
    assert task.findtext(".//t:StartWhenAvailable", None, space) == "true"
    assert task.findtext(".//t:MultipleInstancesPolicy", None, space) == "IgnoreNew"
    with pytest.raises(ScheduleError, match="set paths"):
        windows.text(Job((b"/\x01",), (), When(), b"/l"))
    hourly = windows.text(Job((b"/x",), (), When(30, 60), b"/l"))
    assert "<Interval>PT60M</Interval>" in hourly and "T00:30:00" in hourly
    definitions = {
        "/FO": b'"\\tagger","1","x"\n"\\tagger-jazz","2","y"\n"\\Other","3","z"\n',
        "/TN": hourly.encode(),
    }
    monkeypatch.setattr(windows, "available", lambda: True)
    monkeypatch.setattr(
        windows, "call", lambda command, **_: subprocess.CompletedProcess(command, 0, definitions[command[2]])
    )
    assert [(p.what, p.next) for p in windows.planned(datetime(2026, 1, 1, 9, 0))] == [
        ("tagger", datetime(2026, 1, 1, 9, 30)), ("tagger-jazz", datetime(2026, 1, 1, 9, 30))
    ]  # fmt: skip


# ---- the command


def test_the_command_prints_and_changes_nothing(here: Here, tmp_path: Path) -> None:
    env = {"PATH": "/nowhere", "TAGGER_MODE": "append"}
    for kind in KINDS:
        ran = here("schedule", "--kind", kind, "--at", "02:05", tmp_path / "My Music", env=env)
        assert ran.code == 0 and "My Music" in ran.out, ran.err
        assert "nothing was changed" in ran.err and "TAGGER_MODE: set here" in ran.err
    assert not (tmp_path / ".config").exists()
    assert here("schedule", "--show", env=env).out == "Nothing is planned.\n"
    assert here("schedule", "--remove", env=env).out == "Nothing was planned.\n"
    assert here("schedule", env=env).code == 2, "which folder?"
    assert here("schedule", "--at", "25:00", "/x", env=env).code == 2
    nothing = here("schedule", "--install", "/x", env=env)
    assert nothing.code == 3 and "Neither systemd" in nothing.err


def test_the_command_installs_shows_and_removes(programs: Path, here: Here, tmp_path: Path) -> None:
    env = {"PATH": str(programs), "TAGGER_DB": str(tmp_path / "my.db")}
    ran = here("schedule", "--install", tmp_path / "a%b", env=env)
    assert ran.code == 0 and "Added to the crontab" in ran.out and "cron: next " in ran.out, ran.err
    line = (programs / "table").read_text().splitlines()[2]
    assert "\\%" in line and " --db " in line and line.startswith("30 3 * * * nice -n 19 ")
    assert "Removed" in here("schedule", "--remove", env=env).out
    assert not (programs / "table").exists()


def test_each_library_has_a_job_of_its_own(programs: Path, here: Here, tmp_path: Path) -> None:
    settings = tmp_path / "c.toml"
    settings.write_text("[library.jazz]\npaths = ['/jazz']\n[library.pop]\npaths = ['/pop']\n")
    env = {"PATH": str(programs), "TAGGER_CONFIG": str(settings)}
    assert here("schedule", "--install", env=env).code == 2, "no folders without a library"
    for library in ("jazz", "pop"):
        assert here("schedule", "--install", "--library", library, env=env).code == 0
    assert here("schedule", "--remove", "--library", "jazz", env=env).code == 0
    (line,) = [line for line in (programs / "table").read_text().splitlines() if not line.startswith("#")]
    assert f"--config {settings}" in line and line.endswith(" --library pop")
    assert here("schedule", "--library", "jaz", env=env).code == 2
    settings.write_text("[library.jazz]\npaths = ['/jazz']\nwrong = 1\n")
    assert here("schedule", "--library", "pop", env=env).code == 2, "it is gone from the configuration"
    assert "Removed" in here("schedule", "--remove", "--library", "pop", env=env).out
    assert here("schedule", "--show", env=env).out == "Nothing is planned.\n"


def test_another_run_is_no_trouble_to_a_quiet_one(here: Here, tmp_path: Path) -> None:
    from tagger.job import run_lock

    log = tmp_path / "log" / "tagger.log"
    with run_lock(tmp_path / "data" / "tagger.db"):
        quiet = here("run", "--quiet", "--log", log, tmp_path)
        loud = here("run", tmp_path)
    assert (quiet.code, quiet.out, quiet.err) == (75, "", "")
    assert "Another run is using" in log.read_text()
    assert loud.code == 75 and "Another run" in loud.err


def test_the_log_keeps_itself_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tagger import log

    monkeypatch.setattr(log, "MAX_BYTES", 1000)
    with pytest.raises(ScheduleError), log.logged(tmp_path / "deep" / "x.log") as say:
        for number in range(200):
            say(f"caf\udce9 {number}")
        raise ScheduleError("It ended so.")
    files = sorted((tmp_path / "deep").iterdir())
    assert len(files) == 1 + log.KEPT and all(path.stat().st_size <= 1000 for path in files)
    assert files[0].read_bytes().endswith(b"It ended so.\n")
    # Where one file ends and the next begins depends on how many digits the process's number has.
    lines = [line for path in reversed(files) for line in path.read_bytes().splitlines()]
    first = 201 - len(lines)
    assert [line.rpartition(b" ")[2] for line in lines[:-1]] == [b"%d" % n for n in range(first, 200)]
    assert re.fullmatch(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\d+\] caf\xe9 199", lines[-2])


def test_a_log_that_cannot_be_written_any_more_is_said_once(here: Here, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.mp3").write_bytes(b"no music")
    for quiet in ((), ("--quiet",)):
        plain = here("run", "--retry", *quiet, tmp_path / "music")
        done = here("run", "--retry", *quiet, "--log", "/dev/full", tmp_path / "music")
        assert done.code == plain.code == 1
        said = "tagger: The log file /dev/full cannot be written any more: No space left on device.\n"
        assert done.err.count(said) == 1 and "Traceback" not in done.err
        assert done.err.replace(said, "").splitlines()[0] == plain.err.splitlines()[0]
    assert here("run", "--log", "/dev/full", tmp_path).code == 0


def test_what_excludes_each_other_is_refused(here: Here) -> None:
    for words in (("--install", "--remove"), ("--show", "--install"), ("--remove", "--show", "--install")):
        done = here("schedule", "/music", *words)
        assert done.code == 2 and "exclude each other" in done.err
