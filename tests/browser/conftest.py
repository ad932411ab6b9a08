"""A real browser before a real dashboard over a library that was really tagged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import media
from tests.conftest import ROOT, environment

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

HOSTILE = "![x](http://127.0.0.1:{port}/picture.png) <img src=http://127.0.0.1:{port}/tag.png> :red[x] **b**"


@dataclass(frozen=True)
class Site:
    """A running dashboard. `music` is the folder it shows, `home` holds database and configuration."""

    url: str
    music: Path
    home: Path

    def tagger(self, *arguments: str) -> str:
        """Run the program on the same database."""
        done = subprocess.run(
            [sys.executable, "-m", "tagger", *arguments],
            env=environment(self.home),
            capture_output=True,
            timeout=240,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real recordings where there are some, and one file of each kind that browsers do not play."""
    folder = tmp_path_factory.mktemp("music")
    data = Path(os.environ.get("TAGGER_TEST_DATA", ROOT.parent / "shared" / "data"))
    real = sorted(data.glob("library/*/*.mp3"))[::4] + sorted(data.glob("full-tracks/*.mp3"))[:3]
    for path in real:
        target = folder / path.parent.name
        target.mkdir(exist_ok=True)
        shutil.copyfile(path, target / path.name)
    if not real:
        for seed in range(6):
            media.make(
                folder / f"song{seed}.mp3", "mp3", seconds=12, seed=seed, tags={"title": f"Song {seed}"}
            )
    media.make(folder / "alac.m4a", "m4a-alac", seconds=8, tags={"title": "Apple lossless"})
    (folder / "broken.mp3").write_bytes(b"no music")
    return folder


@pytest.fixture(scope="session")
def site(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The dashboard, with writing allowed, over what a run made of the music."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    from tests.test_dashboard_command import running

    home = tmp_path_factory.mktemp("home")
    site = Site("", music, home)
    site.tagger("run", "--quiet", "--jobs", "2", str(music))
    site.tagger("map")
    with running(home, "--allow-write") as (port, _process):
        yield Site(f"http://localhost:{port}", music, home)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--autoplay-policy=no-user-gesture-required", "--window-size=1280,900",
            f"--user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        driver.set_script_timeout(30)
        try:
            yield driver
        finally:
            driver.quit()
