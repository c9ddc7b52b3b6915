"""Trials are functions of their number: neither interruption nor other processes change what is tried and found."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._base import BaseJournalSnapshot

from tests.search.conftest import DEFINITION, PARAMETERS, said_nothing, stub
from wsolbench.config.distributions import Choice
from wsolbench.search.runs import rows_of, run_here
from wsolbench.search.space import ROUND, decoded, random_values
from wsolbench.search.study import Finished, SearchError, Study, changed_names, remove_study

StudyIn = Callable[..., Study]


def trials_of(study: Study, budget: int) -> dict[int, Finished]:
    return run_here(study, budget, stub, said_nothing)


def test_a_random_trial_depends_on_seed_track_method_and_number_alone() -> None:
    drawn = random_values(PARAMETERS, 0, "toy", "alpha", 3)
    assert drawn == random_values(PARAMETERS, 0, "toy", "alpha", 3)
    for other in ((1, "toy", "alpha", 3), (0, "other", "alpha", 3), (0, "toy", "alpha", 4)):
        changed = random_values(PARAMETERS, *other)
        assert changed["train.lr"] != drawn["train.lr"]
        assert changed["args.rate"] != drawn["args.rate"]


def test_all_methods_try_the_same_recipes_and_their_own_arguments() -> None:
    alpha, beta = (random_values(PARAMETERS, 0, "toy", method, 3) for method in ("alpha", "beta"))
    assert alpha["train.lr"] == beta["train.lr"]
    assert alpha["args.rate"] != beta["args.rate"]


def test_an_argument_more_leaves_the_other_draws_as_they_were() -> None:
    fewer = random_values(PARAMETERS[:2], 0, "toy", "alpha", 3)
    assert fewer == {name: random_values(PARAMETERS, 0, "toy", "alpha", 3)[name] for name in fewer}


def test_draws_cover_their_ranges() -> None:
    drawn = [random_values(PARAMETERS, 0, "toy", "alpha", number) for number in range(300)]
    rates = [each["train.lr"] for each in drawn]
    assert all(0.01 <= rate <= 1 for rate in rates)
    assert sum(rate < 0.1 for rate in rates) == pytest.approx(150, abs=30)  # half of the decades
    assert {each["args.sizes"] for each in drawn} == {"[1]", "[2, 3]", "null"}


def test_choices_come_back_as_the_constructor_takes_them() -> None:
    assert isinstance(PARAMETERS[2].drawn, Choice)
    for text, value in (("[2, 3]", (2, 3)), ("null", None)):
        assert decoded(PARAMETERS, {"train.lr": 0.1, "args.rate": 0.2, "args.sizes": text})["args.sizes"] == value


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_interrupted_search_ends_as_an_uninterrupted_one(study_in: StudyIn, sampler: str) -> None:
    whole = trials_of(study_in("whole", sampler), 2 * ROUND + 3)

    class Killed(BaseException):
        pass

    def dies_in(fatal: int) -> Callable[..., float]:
        def run_one(number: int, stored: Any, folder: Path) -> float:
            if number == fatal:
                raise Killed
            return stub(number, stored, folder)

        return run_one

    for fatal in (0, 7, ROUND + 2):
        with pytest.raises(Killed):
            run_here(study_in("killed", sampler), 2 * ROUND + 3, dies_in(fatal), said_nothing)
    assert trials_of(study_in("killed", sampler), 2 * ROUND + 3) == whole
    assert 0 < sum(trial.value is None for trial in whole.values()) < len(whole)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_workers_that_share_a_search_find_what_one_finds(study_in: StudyIn, sampler: str) -> None:
    alone = trials_of(study_in("alone", sampler), 2 * ROUND + 1)
    took: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def work(worker: int) -> None:
        def run_one(number: int, stored: Any, folder: Path) -> float:
            took[worker].append(number)
            return stub(number, stored, folder)

        run_here(study_in("shared", sampler), 2 * ROUND + 1, run_one, said_nothing)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in took]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(took[0] + took[1] + took[2]) == list(range(2 * ROUND + 1))  # each trial once
    assert study_in("shared", sampler).finished(2 * ROUND + 1) == alone


def test_tpe_learns(study_in: StudyIn) -> None:
    found = trials_of(study_in("tpe", "tpe"), 5 * ROUND)
    first, last = ([trial.value or 0 for number, trial in found.items() if number // ROUND == part] for part in (0, 4))
    assert sum(last) > 1.5 * sum(first)


def test_tpe_does_not_draw_before_the_round_before_is_over(study_in: StudyIn) -> None:
    study = study_in("tpe", "tpe")
    claims = [study.claim(2 * ROUND) for _ in range(ROUND)]
    assert None not in claims
    assert study.claim(2 * ROUND) is None
    for claim in claims:
        assert claim is not None
        study.tell(claim, 1.0)
    next_round = study.claim(2 * ROUND)
    assert next_round is not None
    study.give_up(next_round)


def test_a_failed_trial_counts_with_its_reason_and_stops_nothing(study_in: StudyIn) -> None:
    found = trials_of(study_in(), 12)
    failed = [number for number, trial in found.items() if trial.value is None]
    assert failed
    assert {found[number].reason for number in failed} == {"the rate is too high"}
    assert len(found) == 12
    rows = rows_of(PARAMETERS, found, 3)
    assert [row["number"] for row in rows if row["state"] == "failed"] == failed


def test_scratch_goes_when_a_trial_is_over_and_stays_when_it_is_not(study_in: StudyIn, tmp_path: Path) -> None:
    study = study_in()
    claim = study.claim(2)
    assert claim is not None
    claim.folder.mkdir()
    (claim.folder / "scratch").write_text("0")
    study.give_up(claim)
    again = study_in().claim(2)
    assert again is not None
    assert (again.number, again.stored, (again.folder / "scratch").read_text()) == (0, claim.stored, "0")
    study.tell(again, 12.5)
    assert not again.folder.exists()
    assert study_in().finished(2) == {0: Finished(claim.stored, 12.5)}


def test_scratch_that_a_dying_process_did_not_remove_goes_with_the_next(study_in: StudyIn, tmp_path: Path) -> None:
    trials_of(study_in(), 2)
    left = tmp_path / "study" / "trials" / "1"
    left.mkdir()
    (left / "maps").write_text("")
    study_in()
    assert not left.exists()


def test_a_trial_that_another_process_runs_is_not_given_away(study_in: StudyIn) -> None:
    first, second = study_in(), study_in()
    mine, other = first.claim(2), second.claim(2)
    assert mine is not None
    assert other is not None
    assert (mine.number, other.number) == (0, 1)
    assert first.claim(2) is None
    first.give_up(mine)
    taken = second.claim(2)
    assert taken is not None
    assert taken.number == 0
    second.give_up(taken)
    second.give_up(other)


def test_a_larger_budget_adds_to_a_search_and_a_smaller_one_is_its_beginning(study_in: StudyIn) -> None:
    small = trials_of(study_in(), 5)
    large = trials_of(study_in(), 9)
    assert {number: large[number] for number in range(5)} == small
    assert trials_of(study_in(), 5) == small


def test_another_definition_is_refused_by_name(study_in: StudyIn) -> None:
    study_in()
    with pytest.raises(SearchError, match=r"track\.lr differ.*search again"):
        study_in(definition={**DEFINITION, "track": {"lr": 0.2, "epochs": 3}}, again="search again")


def test_changed_names_go_down_into_mappings() -> None:
    assert changed_names({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}) == ["a.c", "e", "d"]


def test_a_last_line_that_was_cut_off_is_cut_off_whole(study_in: StudyIn, tmp_path: Path) -> None:
    whole = trials_of(study_in(), 6)
    journal = tmp_path / "study" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    assert trials_of(study_in(), 6) == whole
    assert all(json.loads(line) for line in journal.read_text().splitlines())


@pytest.mark.parametrize("damage", [b"{]\n", b'{"op_code": 77, "worker_id": "x"}\n', b"[1]\n"])
def test_a_damaged_journal_is_named(study_in: StudyIn, tmp_path: Path, damage: bytes) -> None:
    trials_of(study_in(), 2)
    journal = tmp_path / "study" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], damage, *lines[3:]]))
    with pytest.raises(SearchError, match=r"journal\.jsonl is damaged .*delete the directory"):
        trials_of(study_in(), 2)


def test_nothing_but_json_is_read_from_a_journal() -> None:
    # Optuna unpickles snapshots of backends that keep some; a file keeps none.
    assert not issubclass(JournalFileBackend, BaseJournalSnapshot)


def test_a_search_begins_with_trials_that_are_stored(study_in: StudyIn) -> None:
    done = list(trials_of(study_in("one"), 4).values())
    other = study_in("two", earlier=done)
    assert list(other.finished(9).values()) == done
    assert trials_of(other, 9) == trials_of(study_in("one"), 9)


def test_a_search_is_removed_unless_a_process_runs_a_trial_of_it(study_in: StudyIn, tmp_path: Path) -> None:
    trials_of(study_in(), 2)
    with (tmp_path / "study" / "trials" / "1.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SearchError, match=r"another process runs trial 1"):
            remove_study(tmp_path / "study")
    remove_study(tmp_path / "study")
    assert study_in(definition={"other": 1}).finished(5) == {}
    remove_study(tmp_path / "nothing")
