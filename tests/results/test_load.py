import logging

import pytest

from wsolbench.errors import DataError, SettingsError
from wsolbench.report.build import write_summary


def test_rows_follow_the_settings_methods_first(repository):
    toy = repository(methods=["beta", "alpha"], baselines=["ceiling"], seeds=[1, 0])
    for method in ("alpha", "beta", "ceiling"):
        for seed in (0, 1):
            toy.write(method, seed, 50)
    runs = toy.track().runs
    assert runs["key"].tolist() == [
        f"toy-{method}-{seed}" for method in ("beta", "alpha", "ceiling") for seed in (1, 0)
    ]
    assert runs["kind"].tolist() == ["method"] * 4 + ["baseline"] * 2


def test_every_missing_file_is_named_with_the_command_that_makes_it(repository):
    toy = repository(baselines=["ceiling"], seeds=[0, 1])
    toy.write("alpha", 0, 50)
    toy.write("ceiling", 0, 90)
    with pytest.raises(DataError) as error:
        toy.track()
    assert "2 runs of track 'toy'" in str(error.value)
    assert "results/metrics/toy/toy-alpha-1.json is missing; run `wsolbench evaluate toy-alpha-1`" in str(error.value)
    assert "run `wsolbench baseline toy-ceiling-1`" in str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"status": "ok", "key":', "EOF"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "object|dictionary"),
        (b'{"status": "ok"}', "key: Field required"),
        (b'{"status": "fine"}', "status|tag"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(repository, content, problem):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50)
    toy.metrics("alpha").write_bytes(content)
    with pytest.raises(DataError, match=rf"toy-alpha-0.json is damaged \(.*({problem}).*; run"):
        toy.track()


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("px_ap", 101.0, "px_ap"),
        ("px_ap", float("nan"), "px_ap"),
        ("max_box_acc", "71", "max_box_acc"),
        ("cls", {"top1": 50.0}, "cls.top5"),
    ],
)
def test_a_number_that_cannot_be_is_damage(repository, field, value, place):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, **{field: value})
    with pytest.raises(DataError, match=rf"toy-alpha-0.json is damaged \({place}: "):
        toy.track()


def test_a_file_of_another_run_is_refused(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50)
    toy.metrics("alpha").write_bytes(toy.metrics("alpha").read_bytes().replace(b'"seed": 0', b'"seed": 3'))
    with pytest.raises(DataError, match=r"toy-alpha-0\.json holds seed 3 instead of 0"):
        toy.track()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"protocol": "pixel"}, "protocol"),
        ({"images": {"val": 240, "test": 399}}, "images.test"),
        ({"threshold": {"fixed": 0.1, "val": 0.3, "oracle": 0.4}}, "threshold.fixed"),
    ],
)
def test_runs_that_were_not_measured_alike_share_no_table(repository, change, name):
    toy = repository(methods=["alpha", "beta"], seeds=[0])
    toy.write("alpha", 0, 50)
    toy.write("beta", 0, 50, **change)
    with pytest.raises(DataError, match=f"toy-beta-0.json has {name} .* but toy-alpha-0 has"):
        toy.track()


def test_different_protocol_versions_share_no_table_nor_summary(repository):
    toy = repository(methods=["alpha", "beta"], tracks=["toy", "other"], seeds=[0])
    for track in toy.tracks:
        for method in toy.methods:
            toy.write(method, 0, 50, track, **({"protocol_version": "1.1"} if track == "other" else {}))
    assert toy.track().runs["protocol_version"].tolist() == ["1.0", "1.0"]  # of files that name none
    with pytest.raises(DataError, match=r"toy-alpha-0\.json \(1\.0\), .*other-alpha-0\.json \(1\.1\)"):
        write_summary(toy.settings, toy.root)
    toy.write("beta", 0, 50, protocol_version="2.0")
    with pytest.raises(DataError, match=r"toy-alpha-0\.json \(1\.0\), .*toy-beta-0\.json \(2\.0\)"):
        toy.track()


def test_files_of_no_run_are_warned_about_and_not_counted(repository, caplog):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50)
    toy.write("alpha", 7, 99)
    with caplog.at_level(logging.WARNING):
        runs = toy.track().runs
    assert runs["key"].tolist() == ["toy-alpha-0"]
    assert "1 files of no run that params.yaml names, which are not counted: toy-alpha-7.json" in caplog.text


def test_skipped_runs_keep_their_reason(repository):
    toy = repository(seeds=[0, 1])
    toy.write("alpha", 0, 50)
    toy.skip("alpha", 1, "needs a deeper network")
    track = toy.track()
    assert track.measured["seed"].tolist() == [0]
    assert track.runs["skipped"].fillna("").tolist() == ["", "needs a deeper network"]


def test_runs_of_two_recipes_are_two_rows(repository):
    toy = repository(seeds=[0, 1])
    toy.write("alpha", 0, 50)
    toy.write("alpha", 1, 60, recipe="searched")
    assert toy.track().rows.reset_index()[["recipe", "n"]].to_numpy().tolist() == [["common", 1], ["searched", 1]]


@pytest.mark.parametrize(
    ("title", "shown"),
    [("Alpha", "Alpha (our reconstruction)"), ("Alpha (our reconstruction)", "Alpha (our reconstruction)")],
)
def test_a_reconstruction_is_called_one_exactly_once(repository, title, shown):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, title=title, method_status="reconstruction")
    assert toy.track().runs["title"].tolist() == [shown]


def test_an_unknown_track_is_answered_with_the_nearest(repository):
    toy = repository(tracks=["toy"])
    with pytest.raises(SettingsError, match="no 'tyo'; did you mean 'toy'"):
        toy.track("tyo")


def test_settings_without_runs_are_refused(repository):
    toy = repository(methods=[])
    with pytest.raises(SettingsError, match="nothing to report"):
        toy.track()


def test_a_baseline_that_depends_on_no_seed_has_one_run(repository):
    toy = repository(baselines=["ceiling"], unseeded=["middle"], seeds=[3, 4])
    for method in ("alpha", "ceiling"):
        for seed in (3, 4):
            toy.write(method, seed, 50)
    toy.write("middle", 0, 20)
    seeds = toy.track().runs.groupby("method", observed=True)["seed"].agg(list)
    assert seeds.to_dict() == {"alpha": [3, 4], "ceiling": [3, 4], "middle": [0]}
