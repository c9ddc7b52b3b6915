import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from PIL import Image

from tests.report.conftest import FULL, Repository, filled
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.page import write_page
from wsolbench.report.track import score_table
from wsolbench.results.metrics import METRICS

HOSTILE = """<script>alert(1)</script>"><img src=x onerror='alert(2)'>{{ 7 * 7 }}&amp;"""
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """Elements, their attributes and text; fails where tags are not properly nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def _results(tmp_path_factory):
    made = filled(Repository(tmp_path_factory.mktemp("page"), **FULL))
    picture = made.root / "results" / "plots" / "toy" / "misses.webp"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (40, 20), (1, 2, 3)).save(picture)
    return write_page(made.settings, made.root).parent


@pytest.fixture
def written(full, _results):
    """The page of ``full`` in a repository of the test's own; it is made once, because that takes seconds."""
    shutil.copytree(_results, full.root / "results", dirs_exist_ok=True)
    return full.root / "results" / "report.html"


@pytest.mark.slow
def test_the_page_is_the_same_each_time_and_leaves_nothing_else(full, written):
    before = written.read_bytes()
    write_page(full.settings, full.root)
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.glob("report*")] == ["report.html"]


def test_every_number_of_the_table_stands_on_the_page_and_can_be_sorted_by(written):
    page = Page(written.read_text(encoding="utf-8"))
    assert "46.0 ± 1.0" in page.text
    assert "53.5 ± 1.0" in page.text
    assert {"46", "53.5", "91"} <= {each.get("data-value") for each in page.named("td")}
    assert "<dt>Epoch that makes the maps</dt><dd>last</dd>" in written.read_text(encoding="utf-8")
    assert "<dt>Data digest</dt><dd>digest of the index</dd>" in written.read_text(encoding="utf-8")


def test_differences_of_methods_are_tested_and_bold_where_significant(written):
    text = written.read_text(encoding="utf-8")
    assert '<th scope="row">Alpha - Beta</th><td><strong>-7.5</strong></td>' in text


def test_pseudo_boxes_are_named_as_such(full):
    for path in full.metrics("alpha").parent.glob("*.json"):
        path.write_text(path.read_text().replace('"val_truth": "gt"', '"val_truth": "boxes.csv"'))
    text = write_page(full.settings, full.root).read_text(encoding="utf-8")
    assert "<dd>240 images with 250 boxes and 240 masks, boxes.csv instead of true ones</dd>" in text


def test_nothing_is_loaded_from_elsewhere(written):
    page = Page(written.read_text(encoding="utf-8"))
    sources = [each["src"] for each in page.named("img")] + [each["href"] for each in page.named("image")]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not page.named("link")
    assert all("src" not in each for each in page.named("script"))
    assert not re.search(r"url\(|@import|https?:", written.read_text(encoding="utf-8"))


def test_the_pages_policy_allows_its_own_script_alone(written):
    text = written.read_text(encoding="utf-8")
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(each["content"] for each in Page(text).named("meta") if "http-equiv" in each)
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_links_stay_on_the_page_and_runs_are_named(full, written):
    page = Page(written.read_text(encoding="utf-8"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = [each["href"] for each in page.named("a") + page.named("use")]
    assert set(links) <= {f"#{each}" for each in ids}
    assert all(f"toy-alpha-{seed}" in page.text for seed in full.seeds)


def test_pictures_have_alternative_texts_tables_captions_and_headings_no_gaps(written):
    page = Page(written.read_text(encoding="utf-8"))
    assert all(each["alt"] for each in page.named("img"))
    assert all(each.get("aria-label") or each.get("aria-hidden") for each in page.named("svg"))
    assert len(page.named("caption")) == len(page.named("table")) >= 5
    assert all(each.get("scope") for each in page.named("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.named("html")) == 1
    assert page.named("html")[0]["lang"] == "en"


def test_names_that_users_supplied_are_text_and_nothing_else(repository):
    toy = repository(methods=["alpha"], seeds=[0])
    toy.write("alpha", 0, 50, title=HOSTILE, recipe=HOSTILE, dataset=HOSTILE, backbone=HOSTILE, protocol=HOSTILE)
    toy.methods.append("beta")
    toy.skip("beta", 0, HOSTILE, title=HOSTILE)
    caption = Layout(toy.root).photographs("toy")[1]
    content = json.loads(caption.read_bytes())
    caption.write_text(json.dumps(content | {"class_names": [HOSTILE, HOSTILE]}))
    page = Page(write_page(toy.settings, toy.root).read_text(encoding="utf-8"))
    assert len(page.named("script")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.named("img") == []
    assert " ".join(HOSTILE.split()) in page.text


def test_what_the_definitions_mark_as_code_is_code(written):
    text = written.read_text(encoding="utf-8")
    assert "the threshold chosen on <code>val</code>" in text
    assert "`val`" not in text


def test_a_track_without_results_says_what_is_missing(repository):
    toy = repository(tracks=["toy", "absent"], seeds=[0])
    toy.write("alpha", 0, 50)
    page = Page(write_page(toy.settings, toy.root).read_text(encoding="utf-8"))
    assert "1 of 2 tracks" in page.text
    assert "results/metrics/absent/absent-alpha-0.json is missing; run" in page.text
    assert str(toy.root) not in page.text


def test_a_track_whose_every_run_was_skipped_has_reasons_and_no_table(repository):
    toy = repository(seeds=[0])
    toy.skip("alpha", 0, "needs masks")
    page = Page(write_page(toy.settings, toy.root).read_text(encoding="utf-8"))
    assert "alpha (seeds 0): needs masks" in page.text
    assert "every run was skipped" in page.text


def test_a_damaged_plot_is_named(full, written):
    (full.root / "results" / "plots" / "toy" / "misses.webp").write_bytes(b"RIFF\x10\x00\x00\x00WEBPbroken")
    with pytest.raises(DataError, match=r"misses\.webp is damaged .*run `wsolbench report toy`"):
        write_page(full.settings, full.root)


def test_the_best_mean_of_the_methods_is_marked_and_nothing_else(full):
    full = replace(full, methods=[*full.methods, "gamma"])
    for seed in full.seeds:
        full.write("gamma", seed, 53.5 + seed - 1, recipe="searched", regret=0.5)
        full.write("beta", seed, 52.5 + seed, regret=3.0)
    track = full.track()
    table = score_table(track.rows, track.summary, METRICS.values())["best"].reset_index()
    best = {(row["method"], heading) for row in table.to_dict("records") for heading in row if row[heading] is True}
    assert ("Beta", "MaxBoxAcc, oracle") in best
    assert ("Alpha", "regret") in best  # less is better
    assert {title for title, _ in best} == {"Alpha", "Beta"}  # no bound, and nobody alone in a block
    assert not {heading for _, heading in best if heading.startswith("threshold") or heading == "Top-1 Cls"}
    page = write_page(full.settings, full.root).read_text(encoding="utf-8")
    assert '<td class="best" data-value="53.5">53.5 ± 1.0 (±2.5)</td>' in page
    assert '<td class="best" data-value="46.0">' not in page


def test_a_picture_that_two_rules_chose_is_stored_once_and_figures_of_the_same_are_not(full, written):
    track = full.root / "results" / "plots" / "toy"
    for name in ("methods", "threshold_curves"):
        (track / f"{name}.webp").write_bytes((track / "misses.webp").read_bytes())
    text = write_page(full.settings, full.root).read_text(encoding="utf-8")
    assert len(Page(text).named("img")) == 1
    photographs = [each["href"] for each in Page(text).named("image") if "id" in each]
    assert len(photographs) == len(set(photographs)) == 3  # three candidates, which every rule chose in its order
    assert 'data-places="0:0 1:' in text
