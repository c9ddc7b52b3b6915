"""Run the trials of a search: here, or in several processes that share its folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import BusyError, DataError, FailedTrialError, SearchError, SettingsError
from wsolbench.files import locked
from wsolbench.launch.processes import STOPPED, end_groups, log_tail, stop_requests
from wsolbench.runs.device import set_up_device
from wsolbench.runs.machine import check_precision, cpu_workers, visible_gpus
from wsolbench.runs.progress import meter
from wsolbench.search.plan import Plan, place_data, plan_of
from wsolbench.search.record import Search, Trial, read_head, read_search, read_trial, store, trial_file, trial_files
from wsolbench.search.trial import run_trial

__all__ = ["open_search", "run_here", "search_method"]

_POLL_S = 0.5
_COMMAND = "from wsolbench.cli import main; main()"
_TAIL_LINES = 3


def search_method(
    settings: Settings,
    track: str,
    method: str,
    layout: Layout,
    trials: int | None = None,
    workers: int = 1,
    *,
    restart: bool = False,
) -> Search:
    """Search a method on a track, ``workers`` trials at a time, until all are stored; ``restart`` begins from nothing.

    ``trials`` (None: ``search.trials``) may be more than are stored, which adds to them; fewer takes none away.

    Raises:
        SettingsError: a name, an argument or the search space is wrong.
        DataError: the data set is not prepared, or cannot judge.
        SearchError: the stored trials were made under another definition, or processes broke down.
        InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
    """
    device = set_up_device(settings.runtime)  # complain before anything is written
    plan = plan_of(settings, track, method, layout)
    if device.type == "cpu":
        check_precision([plan.run])
    if restart:
        _remove(plan)
    budget = open_search(plan, trials or settings.search.trials)
    if workers == 1:
        run_here(plan, budget)
    else:
        _run_in_processes(plan, budget, workers)
    search = read_search(layout.root, track, method)
    if search is None or not search.finished:
        raise SearchError(f"trials vanished from {plan.results} while the search ran; the same command goes on")
    return search


def open_search(plan: Plan, trials: int) -> int:
    """Begin a search or go on with the stored one; return how many trials there will be, never fewer than are stored.

    A damaged file of a trial is removed, so that the trial runs again.

    Raises:
        SearchError: the stored trials were made under another definition.
        DataError: what the search stores beside its trials is damaged.
    """
    with locked(_lock(plan)):
        head, stored = read_head(plan.results), trial_files(plan.results)
        if head is not None:
            found, wanted = (_flat(made.model_dump(mode="json")) for made in (head.definition, plan.definition))
            if names := [name for name in found | wanted if found.get(name) != wanted.get(name)]:
                again = f"wsolbench search {plan.run.track_name} --method {plan.run.method} --restart"
                raise SearchError(
                    f"{plan.results} holds a search under another definition: {', '.join(names)} differ, and its "
                    f"trials would not compare with new ones; take the change back, or search anew (`{again}`)"
                )
            for path in stored:
                try:
                    read_trial(path, head)
                except DataError as error:
                    _say(f"{error}\nit runs again")
                    path.unlink()
        budget = max([trials, *(int(path.stem) + 1 for path in stored if path.exists())])
        if head is None or head.trials != budget:
            store(plan.results, plan.head(budget))
        place_data(plan)
    return budget


def run_here(plan: Plan, budget: int, run_one: Callable[[Plan, int], float] = run_trial) -> None:
    """Run trials of an opened search in this process until all are stored; wait for those that other processes run.

    A process holds a lock of the operating system on the trial that it runs. A trial that is neither stored nor locked
    is run by the next process that comes, from where a killed one saved its state.
    """
    while missing := [number for number in range(budget) if not trial_file(plan.results, number).exists()]:
        ran = False
        for number in missing:
            try:
                with locked(plan.scratch / f"{number}.lock", BusyError(f"trial {number} is run by another process")):
                    if not trial_file(plan.results, number).exists():  # not even meanwhile
                        ran = True
                        _run_one(plan, number, budget, run_one)
            except BusyError:
                continue
        if not ran:
            time.sleep(_POLL_S)


def _run_one(plan: Plan, number: int, budget: int, run_one: Callable[[Plan, int], float]) -> None:
    title, values = f"{plan.name}, trial {number + 1}/{budget}", plan.values(number)
    shown = (f"{name} {each:.4g}" if isinstance(each, float) else f"{name} {each}" for name, each in values.items())
    _say(f"{title}: {', '.join(shown)}")
    value, reason = None, ""
    try:
        value = run_one(plan, number)
    except FailedTrialError as error:
        reason = str(error)
    made = plan.definition.sha256
    store(plan.results, Trial(number=number, values=values, value=value, reason=reason, definition=made))
    shutil.rmtree(plan.scratch / str(number), ignore_errors=True)
    _say(f"{title}: {f'failed: {reason}' if value is None else f'{value:.2f} % of val'}")


def _run_in_processes(plan: Plan, budget: int, workers: int) -> None:
    """Run trials in several processes of this machine, one per GPU where there are any.

    Each is the same command with one worker, in a session of its own, which a terminal's Ctrl-C does not reach. What
    they print goes to ``results/logs/search``.

    Raises:
        SettingsError: more processes than GPUs.
        SearchError: a process broke down, or a signal stopped them; they saved their states.
    """
    gpus = [] if plan.settings.runtime.device == "cpu" else visible_gpus()
    if gpus and workers > len(gpus):
        raise SettingsError(f"--workers {workers}: there are {len(gpus)} GPUs")
    arguments = ["search", plan.run.track_name, "--method", plan.run.method, "--trials", str(budget)]
    running: dict[Path, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requests())
        stack.callback(lambda: end_groups([each.pid for each in running.values() if each.poll() is None]))
        for index, gpu in zip(range(workers), gpus or [""] * workers, strict=False):
            log = plan.layout.log(f"search/{plan.name}-{index}")
            log.parent.mkdir(parents=True, exist_ok=True)
            shares = {"CUDA_VISIBLE_DEVICES": gpu, "LOKY_MAX_CPU_COUNT": str(cpu_workers(workers))}  # joblib's
            running[log] = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-P", "-c", _COMMAND, *arguments],
                cwd=plan.layout.root,
                env=os.environ | shares,
                stdin=subprocess.DEVNULL,
                stdout=stack.enter_context(log.open("wb")),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        shown = len(trial_files(plan.results))
        bar = stack.enter_context(meter(f"search {plan.name}", budget, "trials", shown))
        while any(process.poll() is None for process in running.values()) and not stop:
            time.sleep(_POLL_S)
            now = len(trial_files(plan.results))
            bar.advance(now - shown)
            shown = now
    if (done := len(trial_files(plan.results))) < budget:
        broken = [log for log, process in running.items() if process.returncode and not stop]
        tails = "".join(f"\n{log}:{log_tail(log, _TAIL_LINES)}" for log in broken)
        error = SearchError(f"{done} of {budget} trials of '{plan.name}' are stored; the same command goes on{tails}")
        error.exit_status = STOPPED if stop else 1
        raise error


def _remove(plan: Plan) -> None:
    """Remove the stored trials and what is left of running ones, under whatever definition.

    Raises:
        SearchError: a process is running a trial.
    """
    with locked(_lock(plan)), ExitStack() as stack:
        folder = plan.scratch.parent
        for lock in folder.glob("*/*.lock"):
            busy = SearchError(f"another process runs trial {lock.stem} of '{plan.name}'; wait for it or stop it")
            stack.enter_context(locked(lock, busy))
        for path in (plan.results, *(each for each in folder.iterdir() if each.is_dir())):
            shutil.rmtree(path, ignore_errors=True)


def _lock(plan: Plan) -> Path:
    return plan.scratch.parent / "lock"


def _flat(value: dict[str, Any], start: str = "") -> dict[str, Any]:
    """Return nested mappings as one, whose names have dots."""
    found: dict[str, Any] = {}
    for name, each in value.items():
        found |= _flat(each, f"{start}{name}.") if isinstance(each, dict) else {start + name: each}
    return found


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
