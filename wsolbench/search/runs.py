"""Run the trials of a search: here, one after the other, or in several processes that share its journal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from wsolbench.config.paths import Layout
from wsolbench.config.settings import RuntimeSettings
from wsolbench.errors import SettingsError
from wsolbench.launch.processes import STOPPED, end_groups, log_tail, stop_requests
from wsolbench.runs.machine import cpu_workers, visible_gpus
from wsolbench.runs.progress import meter
from wsolbench.search.plan import Plan
from wsolbench.search.record import COMPLETE, FAILED, Search, write_search
from wsolbench.search.space import Parameter
from wsolbench.search.study import Finished, SearchError, Study
from wsolbench.search.trial import FailedTrialError

__all__ = ["RunOne", "rows_of", "run_here", "run_in_processes", "write_finished"]

RunOne = Callable[[int, Mapping[str, Any], Path], float]
"""Runs a trial from number, parameters and scratch directory; returns percent, or raises FailedTrialError."""

_POLL_S = 0.5
_COMMAND = "from wsolbench.cli import main; main()"
_TAIL_LINES = 3


def run_here(study: Study, budget: int, run_one: RunOne, say: Callable[[str], None]) -> dict[int, Finished]:
    """Run trials in this process until the budget is spent; wait for those that other processes run.

    Args:
        study: may be shared.
        budget: trials that the search has, failed ones included.
        run_one: trains and judges.
        say: is told a line per trial.

    Returns:
        All trials by number.
    """
    while True:
        claim = study.claim(budget)
        if claim is None:
            finished = study.finished(budget)
            if len(finished) == budget:
                return finished
            time.sleep(_POLL_S)
            continue
        shown = ", ".join(f"{name} {_short(value)}" for name, value in claim.stored.items())
        say(f"trial {claim.number + 1}/{budget}: {shown}")
        value, reason = None, ""
        try:
            value = run_one(claim.number, claim.stored, claim.folder)
        except FailedTrialError as error:
            reason = str(error)
        except BaseException:
            study.give_up(claim)
            raise
        study.tell(claim, value, reason)
        say(f"trial {claim.number + 1}/{budget}: {f'failed: {reason}' if value is None else f'{value:.2f} % of val'}")


def run_in_processes(plan: Plan, study: Study, budget: int, workers: int, layout: Layout) -> dict[int, Finished]:
    """Run trials in several processes of this machine, one per GPU where there are any; see :func:`run_here`.

    What they print goes to ``results/logs/search``.

    Raises:
        SettingsError: more processes than GPUs.
        SearchError: a process broke down, or a signal stopped them; they saved their states.
    """
    gpus = _gpus(plan.settings.runtime, workers)
    run, received = plan.run, list[int]()
    logs = [layout.log(f"search/{run.track_name}-{run.method}-{index}") for index in range(workers)]
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requests())
        running: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, running)
        for index, log in enumerate(logs):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(log.open("wb"))
            gpu = {"CUDA_VISIBLE_DEVICES": gpus[index] if gpus else ""}
            shares = {"LOKY_MAX_CPU_COUNT": str(cpu_workers(workers))}
            running.append(_started(run.track_name, run.method, budget, output.fileno(), gpu | shares))
        bar = stack.enter_context(meter(f"search {run.track_name}, {run.method}", budget, "trials"))
        while any(process.poll() is None for process in running) and not stop:
            finished = study.finished(budget)
            if news := [number for number in finished if number not in received]:
                received += news
                values = [trial.value for trial in finished.values() if trial.value is not None]
                bar.advance(len(news), f"best {max(values):.2f} %" if values else "none has succeeded")
            time.sleep(_POLL_S)
    finished = study.finished(budget)
    if len(finished) < budget:
        broken = "".join(
            f"\n{log}:{log_tail(log, _TAIL_LINES)}"
            for process, log in zip(running, logs, strict=True)
            if process.returncode and not stop
        )
        error = SearchError(
            f"{len(finished)} of {budget} trials of '{run.method}' are finished; the same command goes on{broken}"
        )
        error.exit_status = STOPPED if stop else 1
        raise error
    return finished


def write_finished(plan: Plan, study: Study, finished: Mapping[int, Finished], root: Path) -> Search:
    """Write a search whose budget is spent to ``results/search``."""
    with study.alone():  # several processes may be done at the same moment
        rows = rows_of(plan.parameters, finished, plan.run.track.epochs)
        return write_search(root, plan.head(len(finished)), rows)


def rows_of(parameters: Sequence[Parameter], finished: Mapping[int, Finished], epochs: int) -> list[dict[str, Any]]:
    """Return the table of a search; see :attr:`wsolbench.search.record.Search.table`."""
    return [
        {
            "number": number,
            "state": FAILED if trial.value is None else COMPLETE,
            "value": trial.value,
            "reason": trial.reason,
            "epochs": epochs,
            **{parameter.name: trial.stored[parameter.name] for parameter in parameters},
        }
        for number, trial in sorted(finished.items())
    ]


def _gpus(runtime: RuntimeSettings, workers: int) -> list[str]:
    gpus = [] if runtime.device == "cpu" else visible_gpus()
    if gpus and workers > len(gpus):
        raise SettingsError(f"--workers {workers}: there are {len(gpus)} GPUs")
    return gpus


def _started(
    track: str, method: str, budget: int, output: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process of the search in a group of its own, which a terminal's Ctrl-C does not reach."""
    arguments = ["search", track, "--method", method, "--trials", str(budget)]
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-c", _COMMAND, *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let processes that still run save their states; all at once, and each has its time."""
    end_groups([process.pid for process in running if process.poll() is None])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
