"""The page in a real browser: Chromium by Playwright, against a server of its own on the loopback.

SONOVID_SCREENSHOTS=DIR keeps pictures of what was seen.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sonovid

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    pytest.skip("no browser: pip install playwright", allow_module_level=True)
if CHROMIUM is None:
    pytest.skip("no browser: install Chromium (Debian: apt install chromium)", allow_module_level=True)

PATIENCE = 180_000  # Milliseconds until something is given up; a busy machine is slow.
expect.set_options(timeout=PATIENCE)
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def url(tiny_folder, tmp_path_factory):
    """A server as the command starts it."""
    command = [sys.executable, "-m", "sonovid.cli", "app", "--port", "0", "--model", str(tiny_folder)]
    command += ["--folder", str(tmp_path_factory.mktemp("server")), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(sonovid.__file__).parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    yield re.match(r"http://\S+", process.stdout.readline()).group()
    process.terminate()
    assert process.wait(30) in (0, -15)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, url):
    """Opens the page; afterwards nothing may have been asked of another host, and nothing may have failed."""
    contexts, asked, complaints = [], [], []

    def opened(**options):
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("response", lambda answer: answer.status >= 400 and complaints.append(f"{answer.status} {answer.url}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.locator("#go").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [one for one in asked if not one.startswith((url, "data:", "blob:"))] == []
    assert complaints == []


def picture(page, name):
    if folder := os.environ.get("SONOVID_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def played(page, which=0):
    """What a clip on the page is once some of it was seen and heard."""
    return page.evaluate(
        """async which => {
            const clip = document.querySelectorAll('#result video')[which];
            clip.loop = true;
            await clip.play();
            for (let i = 0; i < 600 && !(clip.webkitAudioDecodedByteCount && clip.currentTime); i++)
                await new Promise(done => setTimeout(done, 100));
            const sound = clip.webkitAudioDecodedByteCount;
            return {seconds: clip.duration, width: clip.videoWidth, sound: sound, time: clip.currentTime};
        }""",
        which,
    )


def made(page, count=1):
    expect(page.locator("#result video")).to_have_count(count)
    expect(page.locator("#go")).to_be_enabled(timeout=PATIENCE)


def test_a_clip_from_words_by_keyboard_and_again_after_the_page_is_loaded_anew(visit):
    page = visit(viewport={"width": 1200, "height": 900})
    picture(page, "empty")
    page.locator("#prompt textarea").focus()
    page.keyboard.type("a wooden stick hits a metal can")
    page.locator("#go").focus()
    page.keyboard.press("Enter")
    made(page)
    seen = played(page)
    assert (seen["seconds"], seen["width"]) == (1, 16)
    assert seen["sound"] > 0
    assert seen["time"] > 0
    assert page.locator("#result .sv-preview").evaluate("image => image.naturalWidth") > 200
    picture(page, "made")
    with page.expect_download() as download:
        page.get_by_text("Download the clip").click()
    assert download.value.path().read_bytes()[4:8] == b"ftyp"
    first = page.locator("#result video").get_attribute("src")
    page.locator("#again").click()
    expect(page.locator("#result video")).not_to_have_attribute("src", first)
    made(page)
    expect(page.locator("#history label")).to_have_count(2)

    page.reload()
    made(page)
    expect(page.locator("#history label")).to_have_count(2)
    page.locator("#history label").nth(1).click()
    expect(page.locator("#result video")).to_have_attribute("src", first)


def test_a_video_gets_its_sound_beside_the_original(visit, film):
    page = visit(viewport={"width": 1200, "height": 900})
    page.get_by_text("Source: a video or a sound").click()
    page.locator("#video input[type=file]").set_input_files(film)
    page.locator("#video video").wait_for()
    page.locator("#go").click()
    made(page, 2)
    assert played(page, 1)["seconds"] == pytest.approx(1.5)
    assert played(page, 1)["sound"] > 0
    picture(page, "beside")


def test_an_error_is_one_line_and_a_phone_in_the_dark_shows_it(visit):
    page = visit(viewport=PHONE, color_scheme="dark", has_touch=True)
    page.locator("#go").click()
    alert = page.get_by_role("alert").filter(has_text="nothing to generate from")
    expect(alert).to_be_visible()
    assert "\n" not in alert.inner_text()
    picture(page, "phone-dark-error")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])
    assert red + green + blue < 3 * 80
    page.locator("#prompt textarea").fill("a ball bounces")
    page.locator("#go").click()
    made(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    picture(page, "phone-dark-made")


def test_a_job_is_cancelled_and_another_one_made_after_it(visit):
    page = visit(viewport={"width": 1200, "height": 900})
    page.get_by_text("Settings", exact=True).click()
    page.locator("#seconds input").fill("40")
    # Enough work that it is still running when the button is clicked, also on a fast machine.
    page.locator("#steps input[type=number]").fill("100")
    page.locator("#prompt textarea").fill("a long clip")
    page.locator("#go").click()
    expect(page.locator("#result")).to_contain_text("Sampling")
    picture(page, "progress")
    page.locator("#cancel").click()
    expect(page.locator("#result")).to_contain_text("Cancelled")
    expect(page.locator("#history")).to_be_hidden()
    page.locator("#seconds input").fill("1")
    page.locator("#steps input[type=number]").fill("2")
    page.locator("#go").click()
    made(page)


def test_the_other_tabs_measure_and_show(visit, film):
    page = visit(viewport={"width": 1200, "height": 900})
    page.get_by_role("tab", name="Results").click()
    expect(page.locator("#figures")).to_contain_text("sonovid app --table")
    page.get_by_role("tab", name="Measure").click()
    page.locator("#measure").click()
    expect(page.locator("#measured")).to_contain_text("upload at least one")
    picture(page, "measure")
