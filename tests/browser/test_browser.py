"""The dashboard as people meet it, in Chromium: pages, search, sound, uploads, corrections, hostile tags."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("selenium")

from mutagen.id3 import ID3, TALB, TCON, TIT2, TPE1
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tagger.store import Store
from tagger.tags import read_tags
from tests import media
from tests.browser.conftest import HOSTILE, Site

T = TypeVar("T")

PAGES = {
    "": "Search titles", "track": "Find a track", "review": "Review", "map": "Near means alike",
    "upload": "nothing of them is stored", "model": "How sure must it be?", "runs": "History",
}  # fmt: skip


def wait(look: Callable[[], T], *, limit_s: float = 45) -> T:
    """The first thing found that is true; what happens while the page is being drawn does not count."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if found := look():
                return found
        except (StaleElementReferenceException, WebDriverException, StopIteration, IndexError):
            pass
        assert time.monotonic() < deadline, "it did not show up"
        time.sleep(0.2)


def body(browser: Any) -> str:
    return str(browser.find_element(By.TAG_NAME, "body").get_attribute("innerText"))


def settled(browser: Any) -> None:
    """The page is drawn and nothing is running any more."""

    def quiet() -> bool:
        return not browser.find_elements(
            By.CSS_SELECTOR, "[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-testid=stSpinner]"
        )

    wait(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-testid=stMain] [data-testid]"))
    for _ in range(3):
        wait(quiet)
        time.sleep(0.25)


def show(browser: Any, site: Site, page: str, text: str | None = None) -> None:
    browser.get(f"{site.url}/{page}")
    settled(browser)
    if text:
        wait(
            lambda: (
                text in body(browser) or browser.find_elements(By.CSS_SELECTOR, f'[placeholder*="{text}"]')
            )
        )
    assert not browser.find_elements(By.CSS_SELECTOR, "[data-testid=stException]"), body(browser)


def picture(browser: Any, name: str) -> None:
    """Keep a picture of the whole page where TAGGER_SCREENSHOTS says."""
    folder = os.environ.get("TAGGER_SCREENSHOTS")
    if not folder:
        return
    height = browser.execute_script("return document.querySelector('[data-testid=stMain]').scrollHeight")
    size = {"width": browser.get_window_size()["width"], "height": max(int(height), 700)}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**size, "deviceScaleFactor": 1, "mobile": False}
    )
    time.sleep(1)
    Path(folder).mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(Path(folder) / f"{name}.png"))
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def ids(site: Site) -> dict[str, int]:
    """Id of each track by the name of its file."""
    with Store.open(site.home / "data" / "tagger.db", read_only=True) as store:
        return {os.fsdecode(row.path).rpartition("/")[2]: row.id for row in store.list_tracks()}


def button(browser: Any, text: str) -> Any:
    return wait(
        lambda: next(
            b for b in browser.find_elements(By.TAG_NAME, "button") if text in b.text and b.is_enabled()
        )
    )


def plays(browser: Any) -> float:
    """Start the first player of the page; the second it has come to."""
    audio = wait(lambda: browser.find_element(By.TAG_NAME, "audio"))
    wait(lambda: browser.execute_script("return arguments[0].readyState", audio) >= 2)
    browser.execute_script("arguments[0].muted = true; arguments[0].play()", audio)
    wait(lambda: browser.execute_script("return arguments[0].currentTime", audio) > 0.3)
    return float(browser.execute_script("return arguments[0].currentTime", audio))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(browser: Any, site: Site, page: str) -> None:
    show(browser, site, page, PAGES[page])
    picture(browser, page or "library")


@pytest.mark.parametrize("page", PAGES)
def test_no_page_asks_another_computer(browser: Any, site: Site, page: str) -> None:
    """Nor its icon, which browsers fetch past the list of what a page has loaded."""
    show(browser, site, page, PAGES[page])
    asked = browser.execute_script(
        """
        const named = [...document.querySelectorAll('link[href], script[src], img[src]')];
        return [...performance.getEntriesByType('resource').map(entry => entry.name),
                ...named.map(element => element.href || element.src)];
        """
    )
    assert asked
    assert {address for address in asked if not address.startswith((site.url, "data:", "blob:"))} == set()


@pytest.mark.parametrize("page", ["", "model"])
def test_charts_are_drawn(browser: Any, site: Site, page: str) -> None:
    show(browser, site, page)
    drawn = wait(
        lambda: browser.find_elements(By.CSS_SELECTOR, "[data-testid=stVegaLiteChart] :is(canvas, svg)")
    )
    assert all(chart.size["height"] > 60 for chart in drawn)


def test_a_search_is_in_the_address(browser: Any, site: Site) -> None:
    show(browser, site, "", "Search titles")
    n = len(ids(site))
    wait(lambda: f"of {n}" in body(browser))
    field = browser.find_element(By.CSS_SELECTOR, '[placeholder*="Search titles"]')
    field.send_keys("apple", Keys.ENTER)
    wait(lambda: "1–1 of 1" in body(browser))
    assert "q=apple" in browser.current_url
    browser.get(browser.current_url)  # as from a bookmark
    settled(browser)
    wait(lambda: "1–1 of 1" in body(browser))


def select_first(browser: Any, table: int = 0) -> None:
    """Tick the first row of a table."""
    from selenium.webdriver.common.action_chains import ActionChains

    drawn = wait(
        lambda: browser.find_elements(
            By.CSS_SELECTOR, "[data-testid=stDataFrame] [data-testid=data-grid-canvas]"
        )[table]
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawn)
    time.sleep(0.5)
    offset = -drawn.size["width"] / 2 + 16, -drawn.size["height"] / 2 + 35 + 17
    ActionChains(browser).move_to_element_with_offset(drawn, *map(int, offset)).click().perform()


def test_back_leads_to_what_was_there(browser: Any, site: Site) -> None:
    """To the filters of the library, and from track to track."""
    show(browser, site, "?q=apple", "Search titles")
    wait(lambda: "1–1 of 1" in body(browser))
    wait(lambda: next(a for a in browser.find_elements(By.TAG_NAME, "a") if a.text.endswith("Runs"))).click()
    wait(lambda: "History" in body(browser))
    browser.back()
    wait(lambda: "1–1 of 1" in body(browser))
    first = f"{site.url}/track?id={ids(site)['alac.m4a']}"
    browser.get(first)
    settled(browser)
    select_first(browser, 1)
    button(browser, "Go to this track").click()
    wait(lambda: browser.current_url.startswith(f"{site.url}/track?id=") and browser.current_url != first)
    wait(lambda: "Apple lossless" not in body(browser).partition("Sounds like")[0])
    browser.back()
    wait(lambda: "Apple lossless" in body(browser).partition("Sounds like")[0])
    assert browser.current_url == first


def test_a_selected_row_plays(browser: Any, site: Site) -> None:
    show(browser, site, "?q=apple")
    select_first(browser)
    wait(lambda: "Why this genre?" in body(browser))
    plays(browser)
    picture(browser, "library-selected")
    wait(
        lambda: next(a for a in browser.find_elements(By.TAG_NAME, "a") if "Why this genre?" in a.text)
    ).click()
    wait(lambda: "/track?id=" in browser.current_url)


def test_tracks_play_and_can_be_sought(browser: Any, site: Site) -> None:
    known = ids(site)
    for name in ("alac.m4a", next(name for name in known if name.endswith(".mp3") and name != "broken.mp3")):
        show(browser, site, f"track?id={known[name]}")
        before = plays(browser)
        audio = browser.find_element(By.TAG_NAME, "audio")
        browser.execute_script("arguments[0].currentTime = 6", audio)
        wait(lambda audio=audio: browser.execute_script("return arguments[0].currentTime", audio) > 6.2)
        assert before < 6
        picture(browser, f"track-{name.rpartition('.')[2]}")


def test_a_file_that_failed_has_its_page(browser: Any, site: Site) -> None:
    show(browser, site, f"track?id={ids(site)['broken.mp3']}", "Cannot be played")
    assert not browser.find_elements(By.TAG_NAME, "audio")


def test_an_upload_is_heard(browser: Any, site: Site, tmp_path: Path) -> None:
    song = tmp_path / "my song.wma"
    media.make(song, "wma", seconds=12)
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"no music")
    show(browser, site, "upload")
    field = wait(lambda: browser.find_element(By.CSS_SELECTOR, "input[type=file]"))
    field.send_keys(f"{song}\n{bad}")
    wait(lambda: "In the file:" in body(browser) and "cannot be judged" in body(browser), limit_s=90)
    settled(browser)
    plays(browser)
    assert len(browser.find_elements(By.CSS_SELECTOR, "[data-testid=stVegaLiteChart]")) >= 3
    picture(browser, "upload-heard")


def test_a_genre_is_corrected_by_keyboard(browser: Any, site: Site) -> None:
    def labelled() -> list[tuple[int | None, str]]:
        with Store.open(site.home / "data" / "tagger.db", read_only=True) as store:
            return [(label.track_id, label.genre) for label in store.labels("user")]

    show(browser, site, "review", "No, it is")
    before = labelled()
    browser.find_element(By.TAG_NAME, "body").send_keys("1")
    wait(lambda: len(labelled()) > len(before))
    track_id, genre = labelled()[-1]
    wait(lambda: "1 corrected" in body(browser))
    settled(browser)
    picture(browser, "review-corrected")
    assert track_id is not None
    with Store.open(site.home / "data" / "tagger.db", read_only=True) as store:
        row = store.track(track_id)
    assert row is not None
    assert [name.lower().replace("-", "") for name in read_tags(row.path).genres] == [genre]
    show(browser, site, f"track?id={track_id}", "History of its genre")
    button(browser, "Undo the last change").click()
    wait(lambda: "put back" in body(browser))
    assert read_tags(row.path).genres != (genre,)


def test_the_threshold_says_what_it_means(browser: Any, site: Site) -> None:
    show(browser, site, "model?threshold=0", "sure enough")
    all_of_them = wait(lambda: next(line for line in body(browser).splitlines() if " of " in line))
    first, last = all_of_them.split(" of ")[:2]
    assert int(first) == int(last) > 0
    show(browser, site, "model?threshold=100", "sure enough")
    wait(lambda: any(line.startswith("0 of ") for line in body(browser).splitlines()))


DOTS = "[data-testid=stVegaLiteChart] .mark-symbol.role-mark path"


def tooltips(browser: Any) -> str:
    """Everything that is said when the pointer goes from dot to dot."""
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, DOTS))
    return str(
        browser.execute_script(
            """
            const said = new Set();
            for (const dot of document.querySelectorAll(arguments[0])) {
                const b = dot.getBoundingClientRect(), at = [b.left + b.width / 2, b.top + b.height / 2];
                for (const kind of ['pointermove', 'mousemove', 'pointerover', 'mouseover'])
                    dot.dispatchEvent(
                        new PointerEvent(kind, {clientX: at[0], clientY: at[1], bubbles: true}));
                const tip = document.querySelector('#vg-tooltip-element.visible');
                if (tip) said.add(tip.textContent);
            }
            return [...said].join('|');
            """,
            DOTS,
        )
    )


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """A server that notes what is asked of it: a picture from a tag would be fetched from here."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1]), asked
    server.shutdown()
    server.server_close()


def test_text_in_tags_fetches_nothing(
    browser: Any, site: Site, tmp_path: Path, listener: tuple[int, list[str]]
) -> None:
    """R61. The listener is shown to work first: the browser asks it for a picture of our own."""
    port, asked = listener
    evil = HOSTILE.format(port=port)
    for number in range(3):
        song = site.music / f"hostile{number}.mp3"
        shutil.copyfile(media.make(tmp_path / f"h{number}.mp3", "mp3", seconds=8, seed=number), song)
        tags = ID3()
        for frame in (TIT2, TPE1, TALB, TCON):
            tags.add(frame(encoding=3, text=[evil]))
        tags.save(song)
    site.tagger("run", "--quiet", "--jobs", "1", str(site.music))
    site.tagger("map")
    known = ids(site)
    time.sleep(10)  # what is remembered of the database is that old at most
    for page in ("?q=hostile0", f"track?id={known['hostile0.mp3']}", "review", "map", "runs", "track"):
        show(browser, site, page)
        if page.startswith("track?"):
            assert "![x](" in body(browser), "the text is shown as it is"
            points = browser.find_elements(By.CSS_SELECTOR, "[data-testid=stVegaLiteChart]")
            for point in points[:3]:
                browser.execute_script("arguments[0].scrollIntoView()", point)
        time.sleep(0.5)
    show(browser, site, "review?kind=disagreeing")
    show(browser, site, "map")
    assert "![x](" in tooltips(browser), "the titles stand in the tooltips of the map, as they are"
    assert not browser.find_elements(By.CSS_SELECTOR, "#vg-tooltip-element :is(img, strong, a)")
    assert asked == []
    browser.execute_script(f"new Image().src = 'http://127.0.0.1:{port}/proof.png'")
    wait(lambda: asked == ["/proof.png"])


def test_a_phone_has_no_sideways_scroll(browser: Any, site: Site) -> None:
    track_id = ids(site)["alac.m4a"]
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        for page in ("", f"track?id={track_id}", "review", "model", "runs", "map", "upload"):
            show(browser, site, page)
            wide = browser.execute_script(
                "const m = document.querySelector('[data-testid=stMain]');"
                "return m.scrollWidth - m.clientWidth"
            )
            assert wide <= 1, page
            if folder := os.environ.get("TAGGER_SCREENSHOTS"):
                browser.save_screenshot(f"{folder}/phone-{page.partition('?')[0] or 'library'}.png")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_is_dark(browser: Any, site: Site) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        show(browser, site, f"track?id={ids(site)['alac.m4a']}")
        colour = browser.execute_script(
            "return getComputedStyle(document.querySelector('.stApp')).backgroundColor"
        )
        assert all(int(part) < 60 for part in colour.strip("rgba()").split(",")[:3]), colour
        picture(browser, "track-dark")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_pages_read_throughout_a_run(browser: Any, site: Site, tmp_path: Path) -> None:
    """R41."""
    for number in range(4):
        shutil.copyfile(
            media.make(tmp_path / f"n{number}.flac", "flac", seconds=10, seed=50 + number),
            site.music / f"during{number}.flac",
        )
    run = threading.Thread(target=site.tagger, args=("run", "--quiet", "--jobs", "1", str(site.music)))
    run.start()
    n = 0
    while run.is_alive():
        for page in ("", "runs", "review"):
            show(browser, site, page)
            assert "cannot be shown" not in body(browser) and "is busy" not in body(browser)
            n += 1
    run.join()
    assert n >= 3


def click_at(browser: Any, x: float, y: float) -> None:
    """A real click at a place of the window."""
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        pressed = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **pressed})
        time.sleep(0.1)


def test_a_dot_of_the_map_plays(browser: Any, site: Site) -> None:
    show(browser, site, "map", "Near means alike")
    dots = wait(
        lambda: browser.execute_script(
            """
            return [...document.querySelectorAll(arguments[0])].map(dot => {
                const b = dot.getBoundingClientRect();
                return [b.left + b.width / 2, b.top + b.height / 2];
            }).filter(at => at[1] > 60 && at[1] < innerHeight - 10);
            """,
            DOTS,
        )
    )
    for x, y in dots[:: max(len(dots) // 5, 1)]:  # one of them may be a file that cannot be played
        click_at(browser, x, y)
        settled(browser)
        if browser.find_elements(By.TAG_NAME, "audio"):
            break
    plays(browser)
    picture(browser, "map-playing")


def test_a_click_on_the_seconds_plays_from_there(browser: Any, site: Site) -> None:
    known = ids(site)
    name = next(
        name for name in known if name.endswith(".mp3") and name not in ("broken.mp3", "hostile0.mp3")
    )
    show(browser, site, f"track?id={known[name]}", "Click to listen from there")
    chart = wait(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-testid=stVegaLiteChart] svg.marks")[1])
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    time.sleep(0.5)
    box = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", chart)
    click_at(browser, box["left"] + box["width"] * 0.6, box["top"] + 60)
    told = wait(lambda: browser.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible").text)
    assert told.startswith("at") and "%" in told, "the second under the pointer, and its genres"
    audio = browser.find_element(By.TAG_NAME, "audio")
    length = float(browser.execute_script("return arguments[0].duration", audio))
    script = "return document.querySelector('audio').currentTime"
    wait(lambda: 0.4 * length < browser.execute_script(script) < 0.8 * length)
