"""bfloat16 on a processor that can only emulate it is refused before anything runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.training.conftest import TRACK
from wsolbench.baselines.stage import run_baseline
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Run, RuntimeSettings, Settings
from wsolbench.errors import SettingsError
from wsolbench.runs import machine
from wsolbench.runs.machine import check_precision, cpu_workers, has_native_bf16, trains_on_cpu, visible_gpus
from wsolbench.search.run import search_method
from wsolbench.tools.doctor import findings
from wsolbench.training.trainer import train

HAS = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"
HAS_NOT = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a file in place of the processor's description, of one without bfloat16."""
    file = tmp_path / "cpuinfo"
    file.write_text(HAS_NOT)
    monkeypatch.setattr(machine, "_CPUINFO", file)
    monkeypatch.setattr(machine, "has_native_bf16", has_native_bf16)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    return file


@pytest.fixture
def half(tiny_settings: Settings) -> Settings:
    """The tiny track in bfloat16."""
    track = tiny_settings.tracks[TRACK].model_copy(update={"amp": "bf16"})
    return tiny_settings.model_copy(update={"tracks": {TRACK: track}})


def run_of(settings: Settings) -> Run:
    return settings.resolve(f"{TRACK}-cam-0")


@pytest.mark.parametrize(
    ("cpuinfo", "isa", "expected"),
    [
        (HAS, None, True),
        (HAS.replace("avx512_bf16", "amx_bf16"), None, True),
        (ARM, None, True),
        (HAS_NOT, None, False),
        (HAS, "AVX2", False),
        (HAS, "avx512_core_vnni", False),
        (HAS, "AVX512_CORE_BF16", True),
        (HAS_NOT, "ALL", False),
        ("processor\t: 0\n", None, None),
    ],
)
def test_the_flags_of_the_processor_and_what_onednn_may_use_tell_of_bf16(
    processor: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str, isa: str | None, expected: bool | None
) -> None:
    processor.write_text(cpuinfo)
    if isa is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", isa)
    assert has_native_bf16() is expected


def test_emulated_bf16_is_refused_and_float32_is_not(
    processor: Path, half: Settings, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_bf16_slowdown", lambda: 9.04)
    with pytest.raises(SettingsError, match=rf"{TRACK}-cam-0.* 9\.0 times .*tracks\.{TRACK}\.amp"):
        check_precision([run_of(tiny_settings), run_of(half)])
    check_precision([run_of(tiny_settings)])
    processor.write_text(HAS)
    check_precision([run_of(half)])


def test_where_flags_cannot_be_read_the_measurement_decides(
    processor: Path, half: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor.unlink()
    monkeypatch.setattr(machine, "_bf16_slowdown", lambda: 0.6)
    check_precision([run_of(half)])
    monkeypatch.setattr(machine, "_bf16_slowdown", lambda: 3.0)
    with pytest.raises(SettingsError, match=r"3\.0 times"):
        check_precision([run_of(half)])


@pytest.mark.usefixtures("processor")
def test_a_training_a_baseline_a_search_and_doctor_refuse_it(
    half: Settings, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_bf16_slowdown", lambda: 9.0)
    with pytest.raises(SettingsError, match="amp: bf16"):
        train(run_of(half), half, layout)
    with pytest.raises(SettingsError, match="amp: bf16"):
        run_baseline(half, f"{TRACK}-mask_supervised-0", layout, 1)
    with pytest.raises(SettingsError, match="amp: bf16"):
        search_method(half, TRACK, "cam", layout)
    yaml = YAML()
    params = yaml.load(Path("params.yaml").read_text())
    params["tracks"]["shapes-convnet"]["amp"] = "bf16"
    params["runtime"]["device"] = "cpu"
    with (tmp_path / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    assert [each.subject for each in findings(tmp_path) if each.state == "wrong" and "9.0 times" in each.text]


def test_only_what_runs_on_the_cpu_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert [trains_on_cpu(RuntimeSettings(device=device)) for device in ("auto", "cpu", "cuda")] == [False, True, False]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert trains_on_cpu(RuntimeSettings())


@pytest.mark.slow
def test_without_avx512_the_message_has_a_measured_factor() -> None:
    code = (
        "from wsolbench.runs.machine import *; from wsolbench.config.settings import *; s = read_settings();"
        "s.tracks['shapes-convnet'] = s.tracks['shapes-convnet'].model_copy(update={'amp': 'bf16'});"
        "check_precision([s.resolve('shapes-convnet-cam-0')])"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "SettingsError" in done.stderr
    factor = re.search(r"takes ([\d.]+) times as long", done.stderr)
    assert factor is not None
    assert float(factor[1]) > 2


def test_gpus_are_those_that_this_process_may_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5f")
    assert visible_gpus() == ["3", "GPU-5f"]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert visible_gpus() == []


def test_a_cpu_has_room_for_its_cores_by_threads_and_for_one_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert [cpu_workers(threads) for threads in (1, 3, 16)] == [8, 2, 1]
