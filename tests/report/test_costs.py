"""The table of costs holds what was counted and measured, and says what it is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.report.conftest import Repository
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.costs import cost_table, costs_csv, costs_reading, read_costs
from wsolbench.report.page import write_page

# Of 60, 57.1 and 54.5 images/s; 20, 21 and 22 s; 1000, 1001 and 1002 MiB. t(2) / sqrt(3) is 2.484.
COUNTED = ["parameters (millions)", "GFLOP per training image", "GFLOP per test image"]
MEASURED = ["57 ± 3 (±7)", "21.0 ± 1.0 (±2.5)", "1001 ± 1 (±2)"]


def csv_of(repository: Repository) -> pd.DataFrame:
    track = repository.track()
    return pd.read_csv(io.StringIO(costs_csv(track, read_costs(track, repository.root)))).set_index("method")


def shown(repository: Repository) -> pd.DataFrame:
    track = repository.track()
    return cost_table(track, read_costs(track, repository.root))["text"]


def reading_of(repository: Repository) -> str:
    return costs_reading(read_costs(repository.track(), repository.root))


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_counts_have_no_spread_and_measurements_have(full: Repository) -> None:
    table = csv_of(full)
    assert list(table.index) == ["alpha", "beta"]  # a bound is no competitor
    alpha = table.loc["alpha"]
    assert (alpha["parameters"], alpha["train_flops_per_image"], alpha["test_flops_per_image"]) == (12345, 3e6, 1e6)
    # Trainings of 20, 21 and 22 seconds of two epochs with 600 images.
    assert (alpha["train_seconds_mean"], alpha["train_seconds_sd"], alpha["train_seconds_n"]) == (21, 1, 3)
    assert alpha["train_seconds_ci95"] == pytest.approx(4.302653 / 3**0.5)
    assert alpha["train_images_per_second_mean"] == pytest.approx((1200 / 20 + 1200 / 21 + 1200 / 22) / 3)
    assert alpha["peak_host_mib_mean"] == 1001
    assert alpha["peak_device_mib_n"] == 0
    assert alpha["measured_on"] == "a device, 1 thread, bf16 autocast"
    found = shown(full)
    assert found.columns[:3].tolist() == COUNTED
    assert not any("device" in heading for heading in found.columns)
    assert found.iloc[0].tolist() == ["0.012", "0.003", "0.001", *MEASURED]


@pytest.mark.slow
def test_the_table_stands_in_all_outputs_with_where_it_was_measured(reported: Repository) -> None:
    markdown, latex = reported.page(), reported.latex()
    assert "| Alpha | common | 3 | 0.012 | 0.003 | 0.001 | " + " | ".join(MEASURED) + " |" in markdown
    cells = " & ".join(["0.012", "0.003", "0.001", *MEASURED]).replace("±", r"$\pm$")
    assert rf"Alpha & common & 3 & {cells} \\" in latex
    page = (reported.root / "results/report.html").read_text(encoding="utf-8")
    assert 'data-value="21">21.0 ± 1.0 (±2.5)</td>' in page
    for text in (markdown, latex, page):
        assert "on a device, 1 thread, bf16 autocast" in text
        assert "measurements" in text
    assert "- training images/s: " in markdown
    assert "a device" in (reported.root / "results/tables/toy_costs.csv").read_text()


def test_devices_that_differ_are_named_with_their_methods(full: Repository) -> None:
    for seed in full.seeds:
        change(Layout(full.root).provenance(f"toy-beta-{seed}"), device="a GPU", amp="off", processes=2, threads=4)
        change(Layout(full.root).provenance(f"toy-beta-{seed}"), peak_memory_mib={"host": 900, "device": 70})
    reading = reading_of(full)
    assert "on a device, 1 thread, bf16 autocast (Alpha); on a GPU, 4 threads, 2 processes, float32 (Beta)" in reading
    assert shown(full).columns[-1] == "peak memory, device (MiB)"


def test_a_provenance_that_is_missing_or_of_other_data_counts_in_nothing(full: Repository) -> None:
    Layout(full.root).provenance("toy-alpha-0").unlink()
    change(Layout(full.root).provenance("toy-beta-1"), index_digest="of other data")
    table = csv_of(full)
    assert table["train_seconds_n"].tolist() == [2, 2]
    assert table["train_seconds_mean"].tolist() == [21.5, 21]
    assert "2 runs have no provenance of these data" in reading_of(full)


def test_without_any_provenance_nothing_is_said_to_be_measured(full: Repository) -> None:
    for path in (full.root / "results" / "provenance").iterdir():
        path.unlink()
    assert shown(full).columns.tolist() == COUNTED
    assert "measurements" not in reading_of(full)


def test_baselines_alone_have_no_table(repository) -> None:  # type: ignore[no-untyped-def]
    toy = repository(methods=[], baselines=["ceiling"], seeds=[0])
    toy.write("ceiling", 0, 90)
    assert costs_csv(toy.track(), read_costs(toy.track(), toy.root)) == ""
    assert "## Costs" not in toy.page()
    assert "costs" not in toy.latex()
    assert "costs" not in write_page(toy.settings, toy.root).read_text(encoding="utf-8")


def test_a_track_that_trains_nothing_has_no_speed(full: Repository) -> None:
    for method in ("alpha", "beta"):
        change(Layout(full.root).costs("toy", f"toy-{method}"), epochs=0, train_flops_per_image=None)
    headings = shown(full).columns.tolist()
    assert headings == ["parameters (millions)", "GFLOP per test image", "peak memory, host (MiB)"]


def test_a_readout_has_the_time_of_reading_and_trains_nothing(repository) -> None:  # type: ignore[no-untyped-def]
    toy, key = repository(methods=["alpha"], readouts=["gamma"], seeds=[0]), "toy-gamma_of_alpha-0"
    toy.write("alpha", 0, 45.0)
    toy.write("gamma_of_alpha", 0, 47.0, reads="alpha")
    Layout(toy.root).costs("toy", key.removesuffix("-0")).unlink()
    change(Layout(toy.root).provenance(key), wall_seconds={"prediction": 3.2})
    table = csv_of(toy)
    assert table.index.tolist() == ["alpha", "gamma_of_alpha"]
    row = table.loc["gamma_of_alpha"]
    assert (row["parameters"], row["test_ms_per_image_mean"]) == (0, 1000 * 3.2 / (240 + 400))
    assert row[["train_flops_per_image", "train_seconds_mean", "train_images_per_second_mean"]].isna().all()
    assert shown(toy).iloc[1].tolist() == ["0.000", "n/a", "n/a", "n/a", "n/a", "5.0", "1000"]
    assert "Read-outs train nothing" in reading_of(toy)


def test_a_variant_has_counts_of_its_own(repository) -> None:  # type: ignore[no-untyped-def]
    toy = repository(methods=["alpha"], variants=["less"], seeds=[0, 2])
    for seed in toy.seeds:
        toy.write("alpha", seed, 45.0)
        toy.write("less", seed, 30.0 + seed, variant_of="alpha", title="Alpha, less")
    change(Layout(toy.root).costs("toy", "toy-less"), parameters=77)
    table = csv_of(toy)
    assert table["parameters"].tolist() == [12345, 77]
    assert table.loc["less", "train_seconds_mean"] == 21


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"toy-beta\.json is missing; run `wsolbench costs toy`"),
        ("{}", r"toy-beta\.json is damaged \(key: Field required\); run `wsolbench costs toy`"),
        ({"parameters": -1}, r"toy-beta\.json is damaged \(parameters: "),
        ({"data_digest": "another"}, r"toy-beta\.json was counted for other data than toy-beta-0 .* costs toy`"),
    ],
)
def test_counts_that_cannot_be_used_are_named(full: Repository, content: object, message: str) -> None:
    path = Layout(full.root).costs("toy", "toy-beta")
    if content is None:
        path.unlink()
    elif isinstance(content, dict):
        change(path, **content)
    else:
        path.write_text(str(content))
    with pytest.raises(DataError, match=message):
        shown(full)


def test_a_damaged_provenance_is_named(full: Repository) -> None:
    change(Layout(full.root).provenance("toy-alpha-2"), wall_seconds={"training": "long"})
    with pytest.raises(DataError, match=r"toy-alpha-2\.json is damaged \(wall_seconds\.training"):
        shown(full)
