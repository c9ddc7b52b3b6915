import pandas as pd
import pytest

from wsolbench.errors import DataError
from wsolbench.results.load import load_per_image, load_results, truth_of
from wsolbench.results.metrics import METRICS
from wsolbench.results.stats import summarise


def test_a_row_per_run_and_metric_in_the_order_of_the_settings(full):
    frame = load_results(full.settings, ["toy"], full.root).frame
    assert frame["method"].unique().tolist() == ["alpha", "beta", "ceiling"]
    assert frame["kind"].unique().tolist() == ["method", "baseline"]
    assert frame["metric"].cat.categories.tolist() == list(METRICS)
    of_beta = frame.query("method == 'beta' and metric == 'max_box_acc'")
    assert of_beta[["seed", "value"]].to_numpy().tolist() == [[0, 52.5], [1, 53.5], [2, 54.5]]
    assert "gt_known.published" not in set(frame["metric"])


def test_numbers_are_summarised_over_seeds(full):
    summary = summarise(load_results(full.settings, ["toy"], full.root).frame)
    beta = summary.loc[("toy", "method", "common", "beta"), "max_box_acc"]
    assert beta.to_dict() == pytest.approx({"mean": 53.5, "sd": 1, "ci95": 4.302652729749 / 3**0.5, "n": 3})


def test_a_single_seed_has_no_spread_and_a_missing_number_no_mean(repository):
    toy = repository(seeds=[0], baselines=["ceiling"])
    toy.write("alpha", 0, 50)
    toy.write("ceiling", 0, 90, cls={"top1": None, "top5": None})
    summary = summarise(load_results(toy.settings, ["toy"], toy.root).frame)
    ceiling = summary.xs("ceiling", level="method").iloc[0]
    assert ceiling["max_box_acc"][["sd", "ci95"]].isna().all()
    assert ceiling["cls.top1"].isna().to_list() == [True, True, True, False]
    assert ceiling["cls.top1", "n"] == 0


def test_runs_have_facts_and_skipped_ones_their_reason(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0])
    toy.write("alpha", 0, 50, class_agnostic=True, training={"at_chance": True, "loss_grew": False})
    toy.skip("beta", 0, "needs masks")
    runs = load_results(toy.settings, ["toy"], toy.root).runs.set_index("method")
    assert runs.loc["alpha", ["learned_nothing", "class_agnostic", "images_test"]].tolist() == [True, True, 400]
    assert runs.loc["beta", "skipped"] == "needs masks"


def test_variants_readouts_and_reconstructions_are_told_apart(repository):
    toy = repository(methods=["alpha", "reader"], variants=["less"], seeds=[0])
    toy.write("alpha", 0, 50, method_status="reconstruction")
    toy.write("less", 0, 40, variant_of="alpha")
    toy.write("reader", 0, 45, reads="alpha")
    runs = load_results(toy.settings, ["toy"], toy.root).runs
    assert runs["kind"].tolist() == ["method", "readout", "method"]
    assert runs["variant_of"].fillna("").tolist() == ["", "", "alpha"]
    assert runs["title"].tolist() == ["Alpha (our reconstruction)", "Reader", "Less"]


def test_tracks_are_measured_by_boxes_or_else_masks(full, masked):
    assert truth_of(load_results(masked.settings, ["toy"], masked.root).frame) == "masks"
    assert truth_of(pd.DataFrame({"metric": ["gt_known.fixed", "p_iou.fixed"]})) == "boxes"


def test_images_of_several_runs_in_one_table(full):
    table = load_per_image("toy", ["toy-alpha-0", "toy-beta-0"], full.root, ["iou_val"])
    assert table.loc["toy-beta-0"].columns.tolist() == ["id", "iou_val"]
    assert len(table) == 800


def test_a_table_of_other_images_is_named(full):
    path = full.root / "results" / "per_image" / "toy" / "toy-beta-0.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(DataError, match=r"toy-beta-0.parquet is of other images than toy-alpha-0"):
        load_per_image("toy", ["toy-alpha-0", "toy-beta-0"], full.root, ["iou_val"])
