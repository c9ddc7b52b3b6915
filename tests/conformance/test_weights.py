"""Pinned weights are found, checked, and nothing else is accepted."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys

import pytest

from wsolbench import registry
from wsolbench.backbones.weights import PINNED, WEIGHTS_VARIABLE, PinnedWeights, default_weights, find_weights
from wsolbench.errors import WeightsError

CONTENT = b"weights"
ENTRY = PinnedWeights("tiny", "tiny.safetensors", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "nowhere", "MIT")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The directory of the variable and that of the settings, both empty."""
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "variable"))
    for name in ("variable", "root"):
        (tmp_path / name).mkdir()
    return tmp_path / "variable", tmp_path / "root"


def test_the_variables_directory_comes_before_the_settings(folders):
    for folder in folders:
        (folder / ENTRY.file).write_bytes(CONTENT)
    assert find_weights(ENTRY, folders[1]) == folders[0] / ENTRY.file


def test_the_settings_directory_is_searched_too(folders):
    (folders[1] / ENTRY.file).write_bytes(CONTENT)
    assert find_weights(ENTRY, folders[1]) == folders[1] / ENTRY.file


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_do(folders):
    with pytest.raises(WeightsError) as error:
        find_weights(ENTRY, folders[1])
    for part in (ENTRY.file, *map(str, folders), WEIGHTS_VARIABLE, "weights.root", ENTRY.sha256):
        assert part in str(error.value)


def test_no_directory_at_all_is_said(monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    with pytest.raises(WeightsError, match="no directory to look in is set"):
        find_weights(ENTRY, None)


def test_a_wrong_sha256_is_refused_with_both_values(folders):
    changed = CONTENT[::-1]
    (folders[0] / ENTRY.file).write_bytes(changed)
    (folders[1] / ENTRY.file).write_bytes(CONTENT)  # a good one elsewhere does not excuse it
    with pytest.raises(WeightsError, match=f"{hashlib.sha256(changed).hexdigest()}, pinned is {ENTRY.sha256}"):
        find_weights(ENTRY, folders[1])


def test_a_truncated_file_is_refused_with_both_sizes(folders):
    (folders[0] / ENTRY.file).write_bytes(CONTENT[:3])
    with pytest.raises(WeightsError, match="has 3 bytes, pinned are 7"):
        find_weights(ENTRY, folders[1])


def test_the_first_entry_is_the_default_and_convnet_has_none():
    assert default_weights("convnet") is None
    assert default_weights("mobilenet_v1") == "imagenet_1.0"


def test_every_entry_is_complete_and_belongs_to_a_backbone():
    assert set(PINNED) <= set(registry.names("backbone"))
    for table in PINNED.values():
        for name, entry in table.items():
            assert entry.name == name
            assert all(dataclasses.asdict(entry).values())
            assert len(entry.sha256) == 64


def test_every_pinned_file_at_hand_passes(test_data, monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    for table in PINNED.values():
        for entry in table.values():
            assert find_weights(entry, test_data / "weights").is_file()


def test_convnet_refuses_weights(tmp_path):
    with pytest.raises(WeightsError, match="convnet has no weights"):
        registry.load("backbone", "convnet")(tmp_path / "some.safetensors")


def test_the_table_is_readable_without_torch():
    code = "import sys, wsolbench.backbones.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
