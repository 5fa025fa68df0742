"""Reports: everything stands in them, nothing in them breaks out of its place, and a page is whole by itself."""

import math
import re
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from xml.etree import ElementTree

import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
import measured
from measured import EVERY, TIME

from sonovid import media
from sonovid.metrics import sets
from sonovid.metrics.compare import compare
from sonovid.metrics.evaluate import EvaluationConfig, evaluate_all
from sonovid.metrics.report import cells, drawing, markdown, page, terminal
from sonovid.metrics.results import Evaluation, Result, Skipped


@pytest.fixture(scope="module")
def measurement(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    made = [measured.folder(root / name, range(start, start + 7)) for name, start in (("ours", 30), ("theirs", 60))]
    systems = [sets.open_set(one) for one in made]
    reference = sets.open_set(measured.folder(root / "true", range(7)))
    return systems, reference, evaluate_all(systems, reference, EVERY, EvaluationConfig(resamples=10))


def hostile() -> Evaluation:
    result = Result("a|b", "f", "<script>", "lower", "", "", 1.0, 3, 3, warnings=("x | y <b>",), clips={"<img>": 1.0, "b": 2.0})
    return Evaluation("<i>t</i>", (result,), (Skipped("s", "f", "no | weights"),), ("w|",))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.1235"), (123.456, "123.5"), (12345.6, "12346"), (0, "0"), (-0.5, "-0.5000"), (1e-7, "1e-07"), (3e9, "3e+09")],
)
def test_numbers_have_four_digits_that_mean_something(value, text):
    assert cells.number(value) == text
    assert cells.number(None) == cells.number(math.nan) == ""
    assert cells.number(math.inf) == "∞"


def test_the_table_says_everything(measurement):
    _, _, (ours, _) = measurement
    found = cells.table(ours)
    assert [row[0].split()[0] for row in found.rows] == [result.name for result in ours.results]
    assert all(len(row) == len(cells.HEADER) for row in found.rows)
    assert found.skipped[0][0] == "fvd_heavy"
    text = markdown.markdown([found])
    assert all(result.name in text for result in ours.results)
    assert "fetch it from" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_equal_reasons_and_equal_warnings_stand_once():
    twice = tuple(Result(n, "f", "", "lower", "", "", 1.0, 3, 3, warnings=("short",)) for n in "ab")
    found = cells.table(Evaluation("t", twice, (Skipped("c", "f", "why"), Skipped("d", "f", "why"))))
    assert found.notes == ("short",)
    assert found.skipped == (("c, d", "why"),)


def test_markdown_keeps_its_columns_whatever_stands_in_them():
    lines = [line for line in markdown.markdown([cells.table(hostile())]).splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_the_terminal_shows_names_with_brackets_as_they_are(capsys):
    pytest.importorskip("rich")
    terminal.write(cells.table(Evaluation("[red]x[/red]", (Result("m", "f", "", "lower", "", "", 1.0, 3, 3, warnings=("w",)),))))
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "m ↓ [1]" in out


class Reader(HTMLParser):
    """Tags that are open, and all that points out of the page."""

    void = frozenset(["meta", "img", "br", "line", "circle", "rect"])

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in self.void or self.open.pop() == tag


def read(text) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_a_page_is_whole_by_itself(measurement, tmp_path):
    systems, reference, both = measurement
    text = page.page(both, sets=systems, reference=reference, compared=compare(both), page_path=tmp_path / "p.html")
    reader = read(text)
    assert all(source.startswith("data:") for source in reader.sources)
    assert "script" not in reader.tags
    assert reader.tags.count("video") == 2 * 2 * 6
    for one in both:
        assert f"<th>{one.title}</th>" in text
    assert "<h3>worst</h3>" in text
    for plot in re.findall(r"<svg.*?</svg>", text):
        ElementTree.fromstring(plot)


def test_one_system_alone_has_one_table_and_what_was_skipped_is_folded_away():
    text = page.page([hostile()])
    assert text.count("<table>") == 1
    folded = text[text.index("<details") : text.index("</details>")]
    assert "1 metric was skipped, and why" in folded
    assert "no | weights" in folded


def test_large_clips_are_linked_to_by_a_relative_path(measurement, tmp_path, monkeypatch):
    systems, reference, both = measurement
    monkeypatch.setattr(page, "CLIP", 100)
    reader = read(page.page(both[:1], sets=systems[:1], reference=reference, page_path=tmp_path / "p.html"))
    links = [source for source in reader.sources if not source.startswith("data:")]
    assert links
    assert all((tmp_path / unquote(link)).resolve().is_file() for link in links)


HOSTILE = ("javascript:alert(document.domain)", "a#b", "what?", "100%25", "data:text,x", "a & <b>", 'c"d', "ü ö")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_link_is_a_path_whatever_the_file_is_called(tmp_path, monkeypatch, suffix):
    """`.mkv` is linked to, `.mp4` is a source of a player: a name may be neither a scheme nor break the link."""
    monkeypatch.setattr(page, "CLIP", 1)
    made = measured.clip(0)
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in HOSTILE:
        media.write(folder / f"{name}{suffix}", made)
    one = sets.open_set(folder)
    shown = page.ClipGallery(folder)
    reader = read("".join(shown.show(item, None, "") for item in one.items))
    links = [place for place in reader.sources if not place.startswith("data:image")]
    assert len(links) == len(HOSTILE)
    for place in links:
        parts = urlsplit(urljoin("file:///page/p.html", place))
        assert (parts.scheme, parts.query, parts.fragment) == ("file", "", "")
        assert (folder / unquote(parts.path).removeprefix("/page/")).is_file()


def test_nothing_that_was_brought_is_taken_for_html():
    text = page.page([hostile()])
    read(text)
    assert "<script>" not in text
    assert "<i>t" not in text


def test_worst_and_best_are_the_worst_and_the_best(measurement):
    _, _, (ours, _) = measurement
    result = page.most_discriminative(ours)
    assert result is not None
    order = sorted(result.clips, key=lambda name: page._worth(result, name))
    goodness = [result.clips[name] if result.better == "higher" else -result.clips[name] for name in order]
    assert goodness == sorted(goodness)


def test_plots_of_values_that_do_not_vary(measurement):
    _, _, (ours, _) = measurement
    still = Result("m", "f", "", "higher", "", "", 1.0, 3, 3, clips={"a": 1.0, "b": 1.0})
    for plot in (drawing.forest_plot([Evaluation("t", (still,))], "m"), drawing.spread([Evaluation("t", (still,))], "m")):
        ElementTree.fromstring(plot)
        assert "nan" not in plot
    assert drawing.forest_plot([ours], "none of its metrics") == drawing.spread([ours], "none of its metrics") == ""
    assert drawing.spread([ours], TIME.name)


@pytest.mark.parametrize(
    ("floor", "ceiling", "anchors"),
    [
        (0.1, 0.9, ["middle", "middle"]),
        (0.5, 0.52, ["end", "start"]),
        (0.52, 0.5, ["start", "end"]),
        (0.5, 0.5, ["end", "start"]),
    ],
)
def test_words_of_marks_that_are_near_stand_on_either_side(floor, ceiling, anchors):
    one = Result("m", "f", "", "higher", "", "", 0.5, 3, 3, low=0.0, high=1.0, floor=floor, ceiling=ceiling)
    plot = ElementTree.fromstring(drawing.forest_plot([Evaluation("t", (one,))], "m"))
    words = {text.text: text.get("text-anchor") for text in plot.iter("text")}
    assert [words["floor"], words["ceiling"]] == anchors


def test_the_last_tick_lies_within_the_plot():
    for high in (1.0, 20.0, 400.0, 12345.0):
        one = Result("m", "f", "", "higher", "", "", 0.0, 3, 3, clips={"a": 0.0, "b": high})
        for text in ElementTree.fromstring(drawing.spread([Evaluation("t", (one,))], "m")).iter("text"):
            if text.get("text-anchor") == "middle":
                assert float(text.get("x")) + 4 * len(text.text) <= drawing.WIDTH


def test_side_by_side(measurement):
    _, _, both = measurement
    side = cells.comparison_table(both, compare(both))
    assert side.header == ("metric", "ours", "theirs", "floor", "ceiling")
    assert any(row[1].endswith("*") or row[2].endswith("*") for row in side.rows)
    assert "ours" in markdown.comparison(side.header, side.rows, [])


def test_what_is_known_against_a_metric_stands_beside_the_systems_too():
    def one(title, *warnings):
        return Evaluation(title, (Result("m", "f", "", "higher", "", "", 1.0, 3, 3, warnings=warnings),))

    both = [one("a", "known not to work", "short"), one("b", "known not to work")]
    side = cells.comparison_table(both, compare(both))
    assert side.rows[0][0] == "m ↑ [1, 2]"
    assert side.notes == ("[1] known not to work", "[2] a: short")
    written = StringIO()
    terminal.write_comparison(side.header, side.rows, side.notes, Console(file=written, width=120))
    assert "[1] known not to work" in written.getvalue()
    assert "[1] known not to work" in page.page(both, compared=compare(both))


def scored(name, value, floor, *, better="higher", warnings=(), std=0.1):
    clips = {"a": value - 0.1, "b": value + 0.1}
    return Result(name, name, "", better, "", "", value, 2, 2, std=std, floor=floor, clips=clips, warnings=warnings)


def test_clips_are_ranked_by_a_metric_that_tells():
    offset = scored("offset_scenes", 0.0, 300.0, better="zero")
    warned = scored("av_align_sony", 0.9, 0.1, warnings=("known not to work",))
    weak, strong = scored("motion_onsets_f1", 0.5, 0.45), scored("sync_scenes", 0.7, 0.3)
    below = scored("onsets_f1", 0.1, 0.9)
    assert page.most_discriminative(Evaluation("t", (offset, warned, weak, strong, below))).name == "sync_scenes"
    assert page.most_discriminative(Evaluation("t", (offset, warned))).name == "av_align_sony"
    assert page.most_discriminative(Evaluation("t", (offset,))) is None


def test_distributions_are_folded_by_family_and_those_of_one_value_left_out():
    flat = Result("psnr", "flat", "", "higher", "", "", 1.0, 3, 3, clips={"a": 1.0, "b": 1.0})
    text = page.page([Evaluation("t", (scored("m", 0.5, 0.1), scored("n", 0.6, 0.1), flat))])
    assert text.count("<summary>m (1)</summary>") == 1
    assert text.count(" open>") == 1
    assert "<h3>psnr</h3>" not in text
    read(text)


def test_what_was_skipped_is_one_line_where_nothing_was_asked_for():
    missing = [Skipped(f"m{i}", "f", "w.pt is not available: fetch it from x") for i in range(5)]
    others = [
        Skipped("b", "beats", "beats are of music: name them if captions do not mention it"),
        Skipped("t", "f", "needs captions (x)"),
    ]
    found = cells.table(Evaluation("t", (), (*missing, *others)), brief=True)
    ((names, line),) = found.skipped
    assert names == "7 metrics"
    assert line.startswith("5 need weights or libraries that are not available; 1 beats are of music; 1 needs captions (sonovid")
    assert cells.table(Evaluation("t", ()), brief=True).skipped == ()
