import json
import re
import shutil
import subprocess

import pytest

from sonovid.metrics.rating.page import TEMPLATE, render
from sonovid.metrics.rating.questions import questionnaire

FORM = questionnaire("mmldm", "joint")
RATERS = {"1": ("bbb", "ccc"), "2": ("ccc", "bbb")}


@pytest.fixture
def page(tmp_path):
    clips = {"bbb": tmp_path / "bbb.mp4", "ccc": tmp_path / "ccc.webm"}
    for path in clips.values():
        path.write_bytes(b"not a film " * 3)
    return lambda **options: render("study0", FORM, RATERS, clips, **options)


def known(html):
    return json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', html, re.DOTALL)[1])


def test_nothing_is_asked_of_a_network(page):
    for html in (page(), page(embed=True)):
        assert not re.search(r"https?:|//[a-z]+\.|@import|fetch\(|XMLHttpRequest|sendBeacon|WebSocket|src=\"/", html)
        policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', html)[1]
        assert policy.startswith("default-src 'none'")
        assert "connect-src" not in policy


def test_the_page_holds_questions_orders_and_clips(page):
    facts = known(page())
    assert facts["scale"] == {"low": 0, "high": 5, "ends": ["worst", "best"]}
    assert [question["key"] for question in facts["questions"]] == ["AQ", "VQ", "A-V"]
    assert facts["raters"] == {"1": ["bbb", "ccc"], "2": ["ccc", "bbb"]}
    assert facts["clips"]["ccc"] == {"type": "video/webm", "src": "clips/ccc.webm"}
    assert "clip-bbb" not in page()


def test_embedded_clips_are_whole(page):
    import base64

    html = page(embed=True)
    assert known(html)["clips"]["bbb"]["src"] is None
    inside = re.search(r'id="clip-bbb">([^<]*)<', html)[1]
    assert base64.b64decode(inside) == b"not a film " * 3


def test_texts_cannot_end_the_element_that_holds_them(tmp_path):
    html = render("</script><b>", FORM, RATERS, {})
    assert "</script><b>" not in html
    assert known(html)["study"] == "</script><b>"


def test_what_is_operated_has_a_name():
    html = TEMPLATE.read_text()
    for button in re.findall(r"<button[^>]*>(.*?)</button>", html):
        assert button.strip()
    assert '<html lang="en">' in html
    assert re.search(r"<video[^>]*aria-label", html)
    assert re.search(r"<progress[^>]*aria-label", html)
    assert '<label for="rater">' in html


SCRIPT = """
const study = JSON.parse(process.argv[1]);
let state = Rating.begin(study, "2");
const says = [];
says.push(Rating.current(study, state) === "ccc");
says.push(Rating.move(study, state, 1) === false);                       // not rated yet
says.push(Rating.rate(study, state, "ccc", "AQ", 6) === false);          // beyond the scale
Rating.rate(study, state, "ccc", "AQ", 0);
says.push(Rating.open(study, state, "ccc") === "VQ");
Rating.rate(study, state, "ccc", "VQ", 5); Rating.rate(study, state, "ccc", "A-V", 3); Rating.rate(study, state, "ccc", "A-V", 4);
says.push(Rating.open(study, state, "ccc") === null && Rating.finished(study, state) === 1);
says.push(Rating.move(study, state, 1) === true && Rating.current(study, state) === "bbb");
Rating.answer(state, "ccc").plays = 2; Rating.answer(state, "ccc").seconds = 7.26;
// What was stored comes back, and what is of another study, of another rater or broken does not.
const again = Rating.restore(study, "2", JSON.stringify(state));
says.push(JSON.stringify(again) === JSON.stringify(state));
says.push(Rating.restore(study, "1", JSON.stringify(state)) === null && Rating.restore(study, "2", "{") === null);
says.push(Rating.restore({ ...study, study: "other" }, "2", JSON.stringify(state)) === null);
const odd = { ...state, at: 99, answers: { ccc: { ratings: { AQ: 17, VQ: "5", "A-V": 2 } }, zzz: {} } };
const mended = Rating.restore(study, "2", JSON.stringify(odd));
says.push(JSON.stringify(mended.answers.ccc.ratings) === '{"A-V":2}' && !("zzz" in mended.answers) && mended.at === 2);
Rating.answer(state, "bbb").unplayable = true;
says.push(Rating.move(study, state, 1) && state.at === 2 && Rating.move(study, state, 1) && state.at === 2);
says.push(Rating.move(study, state, -5) && state.at === 0);
console.log(JSON.stringify({ says, json: Rating.json(study, state, "now"), csv: Rating.csv(study, state) }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's logic")
def test_the_page_s_logic_keeps_answers_and_saves_them(page):
    logic = re.search(r'<script id="logic">(.*?)</script>', page(), re.DOTALL)[1]
    code = logic.replace('"use strict";', "", 1) + SCRIPT
    ran = subprocess.run(["node", "-e", code, "--", json.dumps(known(page()))], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert all(found["says"]), found["says"]
    saved = json.loads(found["json"])
    assert (saved["format"], saved["study"], saved["rater"], saved["finished"]) == ("sonovid-ratings/1", "study0", "2", 2)
    assert saved["answers"][0] == {
        "clip": "ccc", "ratings": {"AQ": 0, "VQ": 5, "A-V": 4}, "plays": 2, "seconds": 7.3, "unplayable": False
    }  # fmt: skip
    assert saved["answers"][1]["unplayable"]
    assert found["csv"].splitlines() == [
        "study,rater,clip,question,rating,plays,seconds,unplayable",
        "study0,2,ccc,AQ,0,2,7.3,false",
        "study0,2,ccc,VQ,5,2,7.3,false",
        "study0,2,ccc,A-V,4,2,7.3,false",
        "study0,2,bbb,,,0,0,true",
    ]
