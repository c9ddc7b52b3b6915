"""Results that were not trained here: ``entries/<name>``, a folder per entry with one for each track in it."""

from __future__ import annotations

from pathlib import Path

from wsolbench.config.keys import check_key
from wsolbench.config.schema import load_yaml, validated
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError, SettingsError
from wsolbench.files import parse_file
from wsolbench.results.schema import Entry

__all__ = ["ABOUT", "METRICS_FILE", "PER_IMAGE_FILE", "check_name", "entries_of", "entry_folder", "read_entry"]

ABOUT, METRICS_FILE, PER_IMAGE_FILE = "entry.yaml", "metrics.json", "per_image.parquet"


def entry_folder(root: Path, name: str) -> Path:
    """Return the folder of an entry."""
    return root / "entries" / name


def check_name(settings: Settings, name: str, error: type[Exception] = SettingsError) -> None:
    """Raise ``error``, which names the entry, unless its name can be a folder's and is no method's or baseline's."""
    check_key("entries", name, error)
    run = settings.run
    if name in {*settings.methods, *run.readings, *run.baselines, *run.seeded_baselines}:
        raise error(f"entries/{name}: '{name}' is a method or baseline of params.yaml; choose another name")


def entries_of(settings: Settings, track: str, root: Path) -> dict[str, Entry]:
    """Return the entries that have results on a track, by name, in alphabetical order.

    Raises:
        DataError: a name is taken, or an ``entry.yaml`` is missing or damaged; the message names it.
    """
    found = sorted(path.parts[-3] for path in (root / "entries").glob(f"*/{track}/{METRICS_FILE}"))
    for name in found:
        check_name(settings, name, DataError)
    return {name: read_entry(root, name) for name in found}


def read_entry(root: Path, name: str) -> Entry:
    """Read what is said of an entry.

    Raises:
        DataError: the file is missing or damaged, or lacks a field; the message names both.
    """
    path = entry_folder(root, name) / ABOUT
    data = parse_file(path, lambda content: load_yaml(content.decode()), "`wsolbench score --entry` writes a template")
    try:
        return validated(Entry, data, "", str(path))
    except SettingsError as error:
        raise DataError(str(error)) from None
