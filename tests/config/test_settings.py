"""``params.yaml``: what is accepted, and what an error says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wsolbench.config.settings import Part, Settings, read_settings
from wsolbench.errors import SettingsError

MINIMAL = """
methods:
  cam: {}
  adl: {args: {gamma: 0.8}, tracks: {small: {recipe: published, args: {drop_rate: 0.5}, train: {lr: 0.1}}}}
datasets:
  shapes: {}
tracks:
  small:
    dataset: shapes
    backbone: convnet
    weights: null
    resize: 32
    crop: 32
    epochs: 1
    batch: 4
    lr: 0.05
    weight_decay: 0.0
    head_lr_mult: 1.0
    schedule: cosine
run:
  tracks: [small]
  methods: [cam, adl]
  seeds: [0]
"""


def settings_from(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return read_settings(path)


def test_the_committed_params_are_valid() -> None:
    settings = read_settings(Path("params.yaml"))
    assert "shapes-convnet" in settings.run.tracks


EXTENDED = """
  larger: {extends: small, crop: 40, resize: 40, backbone_args: {channels: [4, 5]}}
  largest: {extends: larger, lr: 0.5, backbone_args: {stem_stride: 1}}
"""


def extending(text: str = EXTENDED) -> str:
    return MINIMAL.replace("\nrun:\n", f"{text}run:\n")


def test_a_track_takes_over_what_it_extends_key_by_key(tmp_path: Path) -> None:
    tracks = settings_from(tmp_path, extending()).tracks
    assert tracks["larger"] == tracks["small"].model_copy(
        update={"crop": 40, "resize": 40, "backbone_args": {"channels": [4, 5]}}
    )
    assert tracks["largest"] == tracks["larger"].model_copy(
        update={"lr": 0.5, "backbone_args": {"channels": [4, 5], "stem_stride": 1}}
    )


def test_a_change_of_what_is_extended_reaches_all_that_extend_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(extending())
    tracks = read_settings(path, ["tracks.small.lr=0.25"]).tracks
    assert [track.lr for track in tracks.values()] == [0.25, 0.25, 0.5]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("extends: small", "extends: smal", "tracks.larger.extends: unknown name 'smal'; did you mean 'small'?"),
        ("extends: small", "extends: [small]", "tracks.larger.extends: unknown name"),
        ("extends: small", "extends: larger", "tracks.larger.extends: 'larger' extends 'larger' itself"),
        ("extends: small", "extends: largest", "'larger' extends 'largest' itself"),
        ("lr: 0.5", "lrr: 0.5", "tracks.largest: unknown key 'lrr'; did you mean 'lr'?"),
    ],
)
def test_a_wrong_extension_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(expected)):
        settings_from(tmp_path, extending(EXTENDED.replace(old, new)))


def test_a_data_set_stands_for_those_of_its_tracks_that_are_run() -> None:
    settings = read_settings(Path("params.yaml"))
    assert settings.tracks_of("cub-resnet50") == ["cub-resnet50"]
    of_cub = [name for name, track in settings.tracks.items() if track.dataset == "cub"]
    assert settings.tracks_of("cub") == of_cub[:1]
    run = settings.run.model_copy(update={"tracks": [of_cub[2], "shapes-convnet", of_cub[1]]})
    assert settings.model_copy(update={"run": run}).tracks_of("cub") == of_cub[1:3]
    with pytest.raises(SettingsError, match=r"tracks has no 'cup', nor one with such a data set; did you mean 'cub'\?"):
        settings.tracks_of("cup")


def test_a_method_on_a_track_overrides_arguments_and_recipe(tmp_path: Path) -> None:
    run = settings_from(tmp_path, MINIMAL).resolve("small-adl-3")
    assert (run.track_name, run.method, run.seed) == ("small", "adl", 3)
    assert run.on_track.args == {"gamma": 0.8, "drop_rate": 0.5}
    assert run.track.lr == 0.1
    assert run.on_track.recipe == "published"


def test_a_baseline_has_the_common_recipe(tmp_path: Path) -> None:
    assert settings_from(tmp_path, MINIMAL).resolve("small-mask_supervised-0").on_track.recipe == "common"


LOW = "  low: {of: adl, title: low only, args: {gamma: 0.1}, tracks: {small: {train: {epochs: 2}}}}\n"


def with_low(block: str = LOW) -> str:
    return MINIMAL.replace("datasets:\n", f"{block}datasets:\n")


def test_a_variant_is_its_methods_run_with_changes_of_its_own(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, with_low())
    run = settings.resolve("small-low-4")
    assert (run.key, run.method, run.component, run.seed) == ("small-low-4", "low", "adl", 4)
    assert run.on_track.args == {"gamma": 0.1, "drop_rate": 0.5}
    assert (run.track.lr, run.track.epochs, run.on_track.recipe) == (0.1, 2, "published")
    found = run.as_dict()["method"]
    assert (found["name"], found["variant_of"], found["variant_title"]) == ("low", "adl", "low only")
    assert settings.resolve("small-adl-4") == settings_from(tmp_path, MINIMAL).resolve("small-adl-4")


def test_a_variant_may_say_whose_choice_it_is(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, with_low(LOW.replace("train:", "recipe: searched, train:")))
    assert settings.resolve("small-low-0").on_track.recipe == "searched"


def test_a_method_is_skipped_on_tracks_that_only_does_not_name(tmp_path: Path) -> None:
    text = with_low(LOW.replace("args:", "only: [small], args:")).replace("run:\n", "  other: {extends: small}\nrun:\n")
    settings = settings_from(tmp_path, text)
    assert settings.unsupported(settings.resolve("small-low-0")) is None
    assert "only" in (settings.unsupported(settings.resolve("other-low-0")) or "")


def test_a_track_may_run_some_methods_alone(tmp_path: Path) -> None:
    text = f"{MINIMAL}  readouts: [grad_cam, layer_cam]\n  read: [cam]\n"
    text = text.replace("datasets:\n", "  grad_cam: {}\n  layer_cam: {}\ndatasets:\n", 1)
    settings = settings_from(tmp_path, f"{text}  only: {{small: [cam, grad_cam]}}\n")
    skipped = {name: settings.unsupported(settings.resolve(f"small-{name}-0")) for name in settings.run.readings}
    skipped |= {name: settings.unsupported(settings.resolve(f"small-{name}-0")) for name in settings.run.methods}
    alone = "params.yaml runs cam, grad_cam alone on this track (run.only)"
    assert skipped == {"cam": None, "grad_cam_of_cam": None, "adl": alone, "layer_cam_of_cam": alone}
    assert settings.run.ranked == []
    assert settings_from(tmp_path, f"{text}  only: {{small: [cam, adl]}}\n").run.ranked == ["small"]
    assert settings_from(tmp_path, text).run.ranked == ["small"]
    for wrong in ("only: {smal: [cam]}", "only: {small: [cm]}"):
        with pytest.raises(SettingsError, match=r"run\.only.*: unknown name '(smal|cm)'; did you mean '(small|cam)'"):
            settings_from(tmp_path, f"{text}  {wrong}\n")


def test_methods_whose_maps_know_no_class_are_not_read(tmp_path: Path) -> None:
    text = f"{MINIMAL}  readouts: [grad_cam]\n  read: [cam, trilite, milder]\n"
    text = text.replace("methods: [cam, adl]", "methods: [cam, trilite, milder]")
    milder = "  milder: {of: trilite, title: milder, args: {background_weight: 1}}\n"
    text = text.replace("datasets:\n", f"  grad_cam: {{}}\n  trilite: {{}}\n{milder}datasets:\n", 1).replace(
        "backbone: convnet", "backbone: vit_embedded"
    )
    settings = settings_from(tmp_path, text)
    reasons = {each: settings.unsupported(settings.resolve(f"small-{each}-0")) for each in settings.run.readings}
    assert reasons.pop("grad_cam_of_cam") is None
    assert len(reasons) == 2
    assert all("know no class" in (reason or "") for reason in reasons.values())


def test_where_nothing_is_trained_one_seed_is_all(tmp_path: Path) -> None:
    pretrained = "epochs: 0\n    backbone_args: {keep_classifier: true}"
    settings = settings_from(tmp_path, MINIMAL.replace("epochs: 1", pretrained).replace("[0]", "[3, 4]"))
    found = {seed: settings.unsupported(settings.resolve(f"small-cam-{seed}")) for seed in (3, 4, 5)}
    assert found == {
        3: None,
        4: "nothing is trained on this track: every seed would give what seed 3 gives",
        5: None,  # asked for by hand
    }
    trained = settings_from(tmp_path, MINIMAL.replace("[0]", "[3, 4]"))
    assert trained.unsupported(trained.resolve("small-cam-4")) is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  low:", "  has:", "methods.has: a variant cannot have the name"),
        ("  low:", "  mask_supervised:", "methods.mask_supervised: a variant cannot have the name"),
        ("of: adl", "of: adll", "methods.low.of: unknown name 'adll'; did you mean 'adl'?"),
        ("of: adl, ", "", "methods.low: `of` and `title` belong together"),
        ("title: low only, ", "", "methods.low: `of` and `title` belong together"),
        ("of: adl", "of: low", "methods.low.of: unknown name 'low'"),
        ("args:", "arg:", "methods.low: unknown key 'arg'; did you mean 'args'?"),
        ("args:", "only: [], args:", "methods.low: tracks.small has no effect"),
    ],
)
def test_a_wrong_variant_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(tmp_path, with_low(LOW.replace(old, new)))
    assert expected in str(caught.value)


def test_a_variants_unknown_recipe_field_is_named(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, with_low(LOW.replace("epochs: 2", "epoch: 2")))
    with pytest.raises(SettingsError, match=r"methods\.low\.tracks\.small\.train: unknown key 'epoch'"):
        settings.resolve("small-low-0")


def test_the_benchmark_is_a_part_of_what_runs(tmp_path: Path) -> None:
    text = f"{MINIMAL}  full_only: {{methods: [adl]}}\n"
    run = settings_from(tmp_path, text).run
    assert run.part(benchmark=True) == Part(tracks=["small"], methods=["cam"])
    assert run.part() == Part(tracks=["small"], methods=["cam", "adl"])
    assert run.part(methods=["adl"], benchmark=True).methods == ["adl"]
    with pytest.raises(SettingsError, match="adl"):
        run.part(methods=["adll"])
    with pytest.raises(SettingsError, match=r"run\.full_only\.methods: unknown name 'haz'"):
        settings_from(tmp_path, text.replace("methods: [adl]}", "methods: [haz]}"))


def test_the_suite_names_tracks_that_run(tmp_path: Path) -> None:
    text = f"{MINIMAL}  full_only: {{tracks: [small], methods: [adl]}}\n  suite: [small]\n"
    run = settings_from(tmp_path, text).run
    assert run.part(benchmark=True).tracks == []
    assert run.part(suite=True) == Part(tracks=["small"], methods=["cam"])
    with pytest.raises(SettingsError, match=r"run\.suite names none of run\.tracks"):
        run.model_copy(update={"tracks": []}).part(suite=True)
    with pytest.raises(SettingsError, match=r"run\.suite: unknown name 'smal'; .*small"):
        settings_from(tmp_path, text.replace("suite: [small]", "suite: [smal]"))


def test_exponents_without_a_point_are_numbers(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, MINIMAL.replace("lr: 0.05", "lr: 1e-3"))
    assert settings.tracks["small"].lr == 0.001


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    epochs: 1", "    epoch: 1", "tracks.small: unknown key 'epoch'; did you mean 'epochs'?"),
        ("    epochs: 1\n", "", "tracks.small.epochs: Field required"),
        ("    epochs: 1", "    epochs: ten", "tracks.small.epochs: Input should be a valid integer"),
        ("    epochs: 1", "    epochs: -1", "tracks.small.epochs: Input should be greater than or equal to 0"),
        ("    crop: 32", "    crop: 33", "crop 33 is larger than resize 32"),
        ("schedule: cosine", "schedule: step", "schedule 'step' needs either step_epochs or milestones"),
        ("schedule: cosine", "schedule: step\n    step_epochs: 3\n    milestones: [1]", "needs either step_epochs"),
        ("schedule: cosine", "schedule: step\n    milestones: [2, 1]", "milestones must ascend, not [2, 1]"),
        ("schedule: cosine", "schedule: cosine\n    milestones: [3]", "milestones does nothing"),
        ("schedule: cosine", "schedule: cosine\n    step_epochs: 3", "step_epochs does nothing"),
        ("schedule: cosine", "schedule: linear", "tracks.small.schedule"),
        ("  cam: {}", "  camm: {}", "methods: unknown name 'camm'; did you mean 'cam'?"),
        ("tracks: [small]", "tracks: [smal]", "run.tracks: unknown name 'smal'; did you mean 'small'?"),
        ("dataset: shapes", "dataset: shape", "tracks.small.dataset: unknown name 'shape'; did you mean 'shapes'?"),
        ("backbone: convnet", "backbone: convnett", "did you mean 'convnet'?"),
        ("{small: {recipe", "{smal: {recipe", "methods.adl.tracks: unknown name 'smal'; did you mean 'small'?"),
        ("seeds: [0]", "seeds: [0]\n  baselines: [mask_supervise]", "did you mean 'mask_supervised'?"),
        ("run:\n", "run: [\n", "is not valid YAML"),
    ],
)
def test_an_error_names_file_key_and_what_would_be_right(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in MINIMAL
    with pytest.raises(SettingsError) as caught:
        settings_from(tmp_path, MINIMAL.replace(old, new))
    assert expected in str(caught.value)
    assert "params.yaml" in str(caught.value)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    text = MINIMAL.replace("epochs: 1", "epochs: ten").replace("batch: 4", "batch: four")
    with pytest.raises(SettingsError, match=r"epochs.*\n.*batch"):
        settings_from(tmp_path, text)


def test_an_override_of_an_unknown_recipe_field_is_an_error(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, MINIMAL.replace("train: {lr: 0.1}", "train: {lrr: 0.1}"))
    with pytest.raises(
        SettingsError, match=r"methods\.adl\.tracks\.small\.train: unknown key 'lrr'; did you mean 'lr'"
    ):
        settings.resolve("small-adl-0")


@pytest.mark.parametrize("key", ["small-cam", "small-cam-x", "cam-0", "smal-cam-0", "small-camm-0"])
def test_a_run_that_does_not_exist_is_an_error(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match=key.split("-", maxsplit=1)[0]):
        settings_from(tmp_path, MINIMAL).resolve(key)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="run wsolbench from the repository's root"):
        read_settings(tmp_path / "params.yaml")


def test_overrides_are_put_in_before_the_check(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(MINIMAL)
    changed = read_settings(path, ["tracks.small.lr=0.25", "runtime.threads=3", "methods.cam.args={}"])
    assert changed.tracks["small"].lr == 0.25
    assert changed.runtime.threads == 3
    assert read_settings(path).tracks["small"].lr != 0.25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tracks.small.lr", "'tracks.small.lr' is not of the form key.of.params=value"),
        ("tracks..lr=1", "is not of the form"),
        ("tracks.small.lr=[", "'[' is not valid YAML"),
        ("tracks.small.lr.x=1", "'tracks.small.lr.x=1': lr holds no keys"),
        ("runtime.workers=many", "runtime.workers: Input should be 'auto' (found 'many')"),
        ("tracks.small.lrr=1.0", "unknown key 'lrr'; did you mean 'lr'?"),
    ],
)
def test_wrong_overrides_are_named(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(MINIMAL)
    with pytest.raises(SettingsError) as caught:
        read_settings(path, [change])
    assert message in str(caught.value)
