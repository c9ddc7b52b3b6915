"""The readout stage: maps of a trained run, read out of its network in another way; nothing is trained."""

from __future__ import annotations

import logging
import time
from typing import Any

import torch

from wsolbench.acquire.building import build_dataset
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Run, Settings, validated_arguments
from wsolbench.data.cache import Reading
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import MAPS_FILE, Stored, write_maps
from wsolbench.errors import SettingsError
from wsolbench.files import replace_directory
from wsolbench.models.method import ReadOut
from wsolbench.runs.device import set_up_device
from wsolbench.runs.provenance import write_provenance
from wsolbench.runs.run_folder import CHECKPOINT_FILE, read_record, write_record
from wsolbench.runs.scratch import exclusive, log_file
from wsolbench.training.prediction import EVALUATED, predict_split
from wsolbench.training.trained import load_trained

__all__ = ["build_readout", "read_out"]

_log = logging.getLogger("wsolbench.train")


def build_readout(run: Run, record: dict[str, Any], layout: Layout, device: torch.device) -> ReadOut:
    """Build a read-out on the trained network of a record, ready for prediction on a device.

    Raises:
        SettingsError: an argument does not fit the constructor.
        DataError: the checkpoint is missing, damaged, or not that of the method as it is now.
    """
    component = registry.load("readout", run.component)
    arguments = validated_arguments(component, run.on_track.args, f"methods.{run.block}.args", given=1)
    method = load_trained(record, layout, device)
    if run.track.channels_last:
        method.to(memory_format=torch.channels_last)  # as training left it; another layout rounds differently
    readout: ReadOut = component(method, **arguments)
    return readout.eval()


def read_out(run: Run, settings: Settings, layout: Layout) -> None:
    """Read the maps of a run and put them in place: ``maps.npz`` and ``run.yaml``, or ``skipped.json`` with a reason.

    Its provenance says how long that took.

    Raises:
        SettingsError: the run is no read-out's, or an argument does not fit.
        DataError: the run that it reads is missing, damaged or of other images.
        DivergedError: a map is not finite.
    """
    if run.reads is None:
        raise SettingsError(f"'{run.key}' names no read-out; give <track>-<readout>_of_<method>-<seed>")
    start = time.monotonic()
    trained = read_record(layout, run.read_key)
    record = run.as_dict()
    described = registry.load("readout", run.component).describe()
    record["method"] |= described | {"title": f"{described['title']} of {trained['method']['title']}"}
    reason = settings.unsupported(run) or trained.get("reason")
    with exclusive(layout.work(run.key)) as work, log_file(layout.log(run.key)):
        out = work / "out"
        out.mkdir(exist_ok=True)
        if reason is None:
            device, prepared = set_up_device(settings.runtime), layout.prepared(run.track_name)
            readout = build_readout(run, trained, layout, device)
            root = build_dataset(settings, run.track.dataset).image_root(prepared)
            reading, maps = Reading.of(settings.runtime, layout), dict[str, Stored]()
            sizes = {"side": run.track.test_side, "batch": run.track.batch}
            started = time.monotonic()
            for name in EVALUATED:
                split = read_split(prepared, name, with_truth=False)
                maps[name] = predict_split(readout, split, root, device=device, reading=reading, **sizes)
            seconds = {"loading": started - start, "prediction": time.monotonic() - started}
            write_maps(out / MAPS_FILE, maps)
            names = ("num_classes", "class_names", "index_digest", "weights", "training")
            record |= {name: trained[name] for name in names if name in trained}
            record["read"] = {"key": run.read_key, "checkpoint": trained["files"][CHECKPOINT_FILE]}
            identity = {name: trained.get(name) for name in ("seed", "index_digest", "weights")}
            identity |= {"key": run.key, "amp": "off"} | settings.runtime.model_dump(include={"deterministic", "tf32"})
            write_provenance(layout.provenance(run.key), identity, device, seconds)
        else:
            record["reason"] = reason
        write_record(out, record)
        replace_directory(out, layout.run(run.key))
    _log.info("%s: read from %s in %.1f s", run.key, run.read_key, time.monotonic() - start)
