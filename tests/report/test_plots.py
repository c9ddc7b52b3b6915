"""Each plot is drawn the same each time, with text that can be read in print; what does not fit is refused."""

from __future__ import annotations

import re
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.report.conftest import Repository
from tests.report.test_build import STEMS
from wsolbench.config.paths import Layout
from wsolbench.config.settings import read_settings
from wsolbench.errors import DataError, SettingsError
from wsolbench.report import plot
from wsolbench.report.figures.ranks import critical_difference, published
from wsolbench.report.figures.scores import heat_map
from wsolbench.report.figures.searches import search
from wsolbench.report.figures.style import TALLEST, encoded, figure_style
from wsolbench.report.plot import PLOTS, PlotOptions, write_plot
from wsolbench.report.ranks import RANKED, Ranking
from wsolbench.report.searches import searches_of
from wsolbench.report.track import load_numbers

LARGEST = "shapes-convnet"  # of the stored tracks, by rows
IMAGES = Path("results/per_image")
LONG = "A Méthode of Łukasz with an exceedingly long-winded name (our reconstruction)"
TITLES = {"alpha": LONG, "beta": "Bêta-CAM", "ceiling": "mask-supervised bound"}


def hidden(figure: Figure) -> set[int]:
    """Labels of ticks beyond the ends of an axis, which are not drawn."""
    found = set()
    for axis in (each for axes in figure.axes for each in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                found |= {id(tick.label1), id(tick.label2)}
    return found


def check_texts(figure: Figure) -> None:
    """Refuse text that is small, reaches out of its figure or over other text, or lacks letters of its font."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    texts = [text for text in texts if text.axes is None or text.axes.get_visible()]
    beyond = hidden(figure)
    boxes = [(text, text.get_window_extent()) for text in texts if id(text) not in beyond]
    boxes = [(text, box) for text, box in boxes if box.width]
    assert len(boxes) > 1
    inside = figure.bbox.padded(1)
    for text, box in boxes:
        assert text.get_size() >= 6, text
        assert (inside.x0 <= box.x0, inside.y0 <= box.y0, box.x1 <= inside.x1, box.y1 <= inside.y1) == (True,) * 4, text
    for (one, first), (other, second) in combinations(boxes, 2):
        shared = first.intersection(first, second)
        assert shared is None or min(shared.width, shared.height) <= 1, (one, other)


@pytest.fixture
def titled(everything: Repository) -> Repository:
    for method, title in TITLES.items():
        for seed in everything.seeds:
            everything.write(method, seed, 45, title=title)
    return everything


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.3, 6.9])
@pytest.mark.parametrize("kind", [kind for kind in PLOTS if kind != "published"])
def test_text_is_large_enough_inside_the_figure_and_apart(
    titled: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, width: float
) -> None:
    made: list[Figure] = []

    def encoded(figure: Figure, *_: Any, **__: Any) -> bytes:
        check_texts(figure)
        made.append(figure)
        return b""

    monkeypatch.setattr(plot, "encoded", encoded)
    write_plot(titled.settings, kind, [], [], tmp_path / "x.pdf", titled.root, PlotOptions(width=width))
    assert made[0].get_figwidth() == width


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.3, 7])
@pytest.mark.parametrize("kind", [kind for kind in PLOTS if kind != "published"])
def test_all_rows_of_the_largest_stored_track_fit_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, width: float
) -> None:
    heights: list[float] = []

    def encoded(figure: Figure, *_: Any, **__: Any) -> bytes:
        check_texts(figure)
        heights.append(figure.get_figheight())
        return b""

    monkeypatch.setattr(plot, "encoded", encoded)
    settings = read_settings()
    over_tracks = {"heat_map": [], "critical_difference": [], "search": ["shapes-convnet_searched"]}
    tracks = over_tracks.get(kind, [LARGEST])
    write_plot(settings, kind, tracks, [], tmp_path / "x.pdf", Path(), PlotOptions(width=width))
    assert 2 < heights[0] <= TALLEST == 9


def test_no_stored_track_has_more_rows_than_the_one_whose_figures_are_measured() -> None:
    counts = {path.name: len({each.stem.rpartition("-")[0] for each in path.iterdir()}) for path in IMAGES.iterdir()}
    assert counts[LARGEST] == max(counts.values()) > 20


def test_searches_without_room_are_left_out_and_named(titled: Repository, caplog: pytest.LogCaptureFixture) -> None:
    found = searches_of("toy", ["alpha"], titled.root)
    with figure_style():
        figure = search(found * 9)
    assert figure.get_figheight() <= TALLEST
    said = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
    assert re.search(r"\(\d of 9 methods\)", said)
    assert "no room for alpha" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.3, 6.9])
def test_text_of_plots_over_many_tracks_has_room(titled: Repository, width: float) -> None:
    one = load_numbers(titled.settings, ["toy"], titled.root).frame
    names = [f"openimages30k-backbone{k}" for k in range(13)]
    frame = pd.concat([one.assign(track=pd.Categorical([name] * len(one), names, ordered=True)) for name in names])
    methods = [f"m{k}" for k in range(7)]
    places = pd.Categorical(methods, methods, ordered=True)
    titles = {name: LONG if name == "m4" else name for name in methods}
    numbers = pd.DataFrame([[90 - k for k in range(7)]] * len(names), names, methods)
    found = Ranking(RANKED[0], tuple(names), 1, titles, (), numbers)
    both = {"number": "max_box_acc", "measured_mean": 46, "measured_sd": 1, "published": 50, "contradictory": True}
    compared = pd.DataFrame([{"track": "toy", "method": "alpha", "recipe": "common"} | both])
    with figure_style(width=width):
        check_texts(heat_map(frame))
        check_texts(critical_difference([found], pd.DataFrame({"method": places, "look": range(7)})))
        check_texts(published(one, compared))


def test_letters_that_a_font_lacks_are_drawn_in_another(titled: Repository, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="Glyph")
        options = PlotOptions(font="cmr10")
        write_plot(titled.settings, "trade_off", [], [], tmp_path / "x.svg", titled.root, options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("methods", "pdf"), *((kind, "svg") for kind in PLOTS if kind not in {"published", *STEMS})],  # reports draw STEMS
)
def test_every_plot_is_written_the_same_twice(everything: Repository, tmp_path: Path, kind: str, suffix: str) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        write_plot(everything.settings, kind, ["toy"], [], path, everything.root, PlotOptions())
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes()
    assert b"Type3" not in content


def check_fonts(pdf: bytes) -> None:
    """Every font of a PDF is TrueType and within it."""
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert pdf.count(b"/Subtype /CIDFontType2") == pdf.count(b"/FontFile2") > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in PLOTS if kind != "published"])
def test_every_plot_embeds_truetype_fonts_in_pdf(everything: Repository, tmp_path: Path, kind: str) -> None:
    write_plot(everything.settings, kind, ["toy"], [], tmp_path / "x.pdf", everything.root, PlotOptions())
    check_fonts((tmp_path / "x.pdf").read_bytes())


def test_the_plot_of_published_numbers_embeds_truetype_fonts_in_pdf(full: Repository) -> None:
    one = load_numbers(full.settings, ["toy"], full.root).frame
    both = {"number": "max_box_acc", "measured_mean": 46, "measured_sd": 1, "published": 50, "contradictory": True}
    compared = pd.DataFrame([{"track": "toy", "method": "alpha", "recipe": "common"} | both])
    with figure_style():
        check_fonts(encoded(published(one, compared), "pdf"))


def test_a_font_that_publishers_refuse_is_found(full: Repository) -> None:
    one = load_numbers(full.settings, ["toy"], full.root).frame
    with figure_style(), mpl.rc_context({"pdf.fonttype": 3}), pytest.raises(AssertionError):
        check_fonts(encoded(heat_map(one), "pdf"))


def test_size_font_and_methods_are_the_users(everything: Repository, tmp_path: Path) -> None:
    out = tmp_path / "sub" / "x.svg"
    options = PlotOptions(width=3, height=2, font_size=6, font="DejaVu Serif")
    write_plot(everything.settings, "trade_off", [], ["beta"], out, everything.root, options)
    assert 'width="216pt" height="144pt"' in out.read_text()
    assert not list(out.parent.glob("*.tmp"))


@pytest.mark.parametrize(
    ("kind", "tracks", "methods", "out", "options", "message"),
    [
        ("bars", [], [], "x.pdf", {}, "there is no plot 'bars'"),
        ("misses", [], [], "x.jpg", {}, "none of .pdf"),
        ("misses", ["toy", "toy"], [], "x.pdf", {}, "shows one track"),
        ("misses", [], ["betta"], "x.pdf", {}, "did you mean 'beta'"),
        ("misses", ["tyo"], [], "x.pdf", {}, "did you mean 'toy'"),
        ("misses", [], [], "x.pdf", {"font": "DejaVu Sens"}, "did you mean 'DejaVu Sans'"),
        ("grid", [], [], "x.pdf", {"height": 3}, "--height"),
        ("methods", [], [], "x.pdf", {"images": ["image 0"]}, "'methods' has none"),
        ("methods", [], [], "x.pdf", {"count": 3}, "'methods' has none"),
        ("methods", [], [], "x.pdf", {"seed": 0}, "'methods' has none"),
    ],
)
def test_what_does_not_fit_is_refused(
    full: Repository,
    tmp_path: Path,
    kind: str,
    tracks: list[str],
    methods: list[str],
    out: str,
    options: Any,
    message: str,
) -> None:
    with pytest.raises(SettingsError, match=message):
        write_plot(full.settings, kind, tracks, methods, tmp_path / out, full.root, PlotOptions(**options))
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("training", "toy-alpha-0.*is missing; run"),
        ("speed", "toy-alpha-0.*is missing"),
        ("search", "no search of track 'toy'"),
        ("published", r"\(toy: nobody has published numbers on data set pictures\)"),
    ],
)
def test_what_a_plot_lacks_is_named(full: Repository, tmp_path: Path, kind: str, message: str) -> None:
    Layout(full.root).provenance("toy-alpha-0").unlink()
    with pytest.raises(DataError, match=message):
        write_plot(full.settings, kind, [], [], tmp_path / "x.pdf", full.root, PlotOptions())
    assert list(tmp_path.glob("x.*")) == []
