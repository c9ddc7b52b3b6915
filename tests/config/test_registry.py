"""Components are found by file name, imported when asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import wsolbench.methods
from wsolbench.config import registry
from wsolbench.errors import SettingsError


def test_names_are_file_stems() -> None:
    assert {"cam", "acol", "adl", "spg", "dgdm"} <= set(registry.names("method"))
    assert {"shapes", "cub"} <= set(registry.names("dataset"))
    assert {"convnet", "mobilenet_v1", "resnet50", "vgg16"} <= set(registry.names("backbone"))
    assert not {name for name in registry.names("backbone") if name.startswith("_")}


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r"unknown method 'dgmd'.*did you mean 'dgdm'"):
        registry.load("method", "dgmd")


def test_loading_twice_gives_the_same_class() -> None:
    assert registry.load("method", "cam") is registry.load("method", "cam")


@pytest.fixture
def methods_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wsolbench.methods, "__path__", [*wsolbench.methods.__path__, str(tmp_path)])
    return tmp_path


def test_a_new_file_is_found_without_registration(methods_folder: Path) -> None:
    source = Path("methods/cam.py").read_text()
    (methods_folder / "found_by_name.py").write_text(source)
    assert "found_by_name" in registry.names("method")
    assert registry.load("method", "found_by_name").__module__ == "wsolbench.methods.found_by_name"


def test_a_file_without_a_method_is_an_error_that_names_it(methods_folder: Path) -> None:
    (methods_folder / "empty_file.py").write_text("")
    with pytest.raises(SettingsError, match=r"empty_file\.py: expected exactly one subclass of Method, found none"):
        registry.load("method", "empty_file")


def test_a_broken_file_does_not_break_the_others(methods_folder: Path) -> None:
    (methods_folder / "broken_file.py").write_text("this is no Python")
    assert registry.load("method", "cam").title == "CAM"


@pytest.mark.parametrize("name", ["methods", "datasets"])
def test_top_level_names_are_not_taken(name: str) -> None:
    """``import datasets`` must find Hugging Face's package, not our folder."""
    code = f"import importlib.util as u; s = u.find_spec('{name}'); print(s.origin if s else None)"
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert str(Path.cwd()) not in out.stdout


def test_listing_names_imports_no_torch() -> None:
    code = (
        "import sys; from wsolbench.config.settings import read_settings as read; read(); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_baseline_is_no_method_to_train() -> None:
    with pytest.raises(SettingsError, match="'random_box' is a baseline"):
        registry.load("method", "random_box")
