"""The picture of the page in the documentation: a clip of the packaged model from a prompt, in Chromium by Playwright.

    python scripts/app_screenshot.py docs/images/app.png

Needs pip install 'sonovid[app]' playwright, and Chromium.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

PROMPT = "a wooden stick hits a metal can twice"
PATIENCE = 180_000  # Milliseconds.


def main() -> int:
    (target,) = sys.argv[1:]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "sonovid.cli", "app", "--port", "0", "--folder", str(Path(folder) / "server")]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            assert server.stdout is not None
            found = re.match(r"http://\S+", server.stdout.readline())
            assert found is not None
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(found.group())
            page.locator("#prompt textarea").fill(PROMPT)
            page.get_by_text("Settings", exact=True).click()
            page.locator("#other-seed input").uncheck()
            page.locator("#seed input").fill("0")
            page.get_by_text("Settings", exact=True).click()
            page.locator("#go").click()
            expect(page.locator("#result video")).to_have_count(1, timeout=PATIENCE)
            expect(page.locator("#go")).to_be_enabled(timeout=PATIENCE)
            # The frame of the first blow.
            page.evaluate("""async () => {
                const clip = document.querySelector('#result video');
                const seeked = new Promise(done => clip.addEventListener('seeked', done, {once: true}));
                clip.currentTime = 0.55;
                await seeked;
            }""")
            # The player shows that it is loading for a moment longer.
            page.wait_for_timeout(2000)
            page.screenshot(path=target, full_page=True)
        finally:
            browser.close()
            server.terminate()
            server.wait(30)
    return 0


if __name__ == "__main__":
    sys.exit(main())
