"""The look of a row follows from its key, and all rows of a track look different."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.report.conftest import Repository
from wsolbench.config.settings import Look, Settings, read_settings
from wsolbench.errors import SettingsError
from wsolbench.report.figures.rows import labelled, styles_of
from wsolbench.report.looks import COLOURS, MARKERS, looks_of
from wsolbench.report.track import load_numbers

BLUE = Look(colour="blue", marker="circle", line="dotted")
PAIRS = len(COLOURS) * len(MARKERS)


@pytest.fixture(scope="module")
def stored() -> Settings:
    return read_settings()


def rows_of(settings: Settings) -> list[str]:
    chosen = settings.run
    every = [*settings.methods, *chosen.baselines, *chosen.seeded_baselines, *chosen.readings]
    return [key for key in every if key not in chosen.readouts]


def test_every_row_of_the_harness_has_a_look_of_its_own(stored: Settings) -> None:
    assert {*rows_of(stored)} <= {*stored.report.looks}


@pytest.mark.parametrize("track", read_settings().run.tracks)
def test_all_rows_of_a_stored_track_look_different(stored: Settings, track: str) -> None:
    frame = labelled(load_numbers(stored, [track], Path()).frame)
    styles = styles_of(frame).values()
    assert len(styles) == frame["row"].nunique() > 5
    assert len({(style["color"], style["marker"]) for style in styles}) == len(styles)
    assert len({(style["color"], str(style["linestyle"])) for style in styles}) == len(styles)  # as on the page


def test_order_and_absence_of_others_change_no_look_of_the_table(stored: Settings) -> None:
    keys, table = rows_of(stored), stored.report.looks
    before = looks_of(keys, table)
    for seed in range(20):
        draw = random.Random(seed)
        some = draw.sample([*keys, "mine", "theirs"], len(keys) - 5)
        after = looks_of(some, table)
        assert {key: after[key] for key in some if key in table} == {key: before[key] for key in some if key in table}


def test_what_the_table_lacks_looks_the_same_alone_and_beside_others(stored: Settings) -> None:
    table = stored.report.looks
    (alone,) = looks_of(["mine"], table).values()
    assert looks_of([*rows_of(stored), "mine"], table)["mine"] == alone
    assert looks_of(["mine", *rows_of(stored), "theirs"], table)["mine"] == alone
    assert alone not in looks_of(rows_of(stored), table).values()


def test_a_key_whose_look_is_taken_has_the_next_free_one() -> None:
    (wanted,) = looks_of(["mine"], {}).values()
    taken = Look(colour=COLOURS[wanted % 7], marker=MARKERS[wanted % 12], line="solid")
    both = looks_of(["mine", "other"], {"other": taken})
    assert both["other"] % PAIRS == wanted % PAIRS != both["mine"] % PAIRS


def test_as_many_keys_as_there_are_pairs_look_different_and_one_more_has_a_look() -> None:
    found = looks_of([f"m{k}" for k in range(PAIRS)], {})
    assert {*found.values()} == {*range(PAIRS)}
    assert looks_of([*found, "more"], {})["more"] in range(PAIRS)


def test_the_table_is_what_is_drawn(full: Repository) -> None:
    made = full.settings.model_copy(
        update={"report": full.settings.report.model_copy(update={"looks": {"beta": BLUE}})}
    )
    frame = labelled(load_numbers(made, ["toy"], full.root).frame)
    style = styles_of(frame)["Beta"]
    assert (style["color"], style["marker"], style["linestyle"]) == ("#0072B2", "o", (0, (1, 1)))
    assert styles_of(frame[frame["method"] == "beta"]) == {"Beta": style}


@pytest.mark.parametrize(
    ("looks", "message"),
    [
        ("{cam: {colour: blu, marker: star, line: solid}}", r"report\.looks\.cam\.colour: .*'blue'.*found 'blu'"),
        ("{cam: {colour: blue, marker: star}}", r"report\.looks\.cam\.line: "),
        ("{cam: {colour: blue, marker: star, line: solid, size: 3}}", r"report\.looks\.cam"),
        ("{cam: blue}", r"report\.looks\.cam: "),
        ("[cam]", r"report\.looks: "),
        (
            "{cam: {colour: blue, marker: star, line: solid}, adl: {colour: blue, marker: star, line: dotted}}",
            r"report\.looks: 'adl' has the colour and marker of 'cam', a blue star",
        ),
    ],
)
def test_a_value_that_is_no_look_is_one_error_that_names_the_key(looks: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as error:
        read_settings(changes=[f"report.looks={looks}"])
    assert len(str(error.value).splitlines()) == 1
