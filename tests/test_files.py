"""What :mod:`wsolbench.files` promises: whole or not there, right or named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wsolbench import files
from wsolbench.errors import DataError, LaunchError
from wsolbench.files import (
    bytes_sha256,
    check_record,
    file_sha256,
    locked,
    open_regular,
    read_file,
    replace_directory,
    replacing,
    with_digest,
    write_bytes,
    write_text,
)

CURE = "make it again"


def test_what_is_written_is_read_back_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text(path, "one\r\nzwölf")
    write_bytes(path, b"two")
    assert read_file(path, CURE) == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.txt"]


def test_an_error_while_writing_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_file_has_the_rights_that_the_user_gives_to_files(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_two_writers_of_one_file_leave_the_content_of_one_of_them(tmp_path: Path) -> None:
    path, contents = tmp_path / "a", [bytes([letter]) * 10**6 for letter in range(4)]
    writers = [threading.Thread(target=write_bytes, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_bytes() in contents
    assert len(list(tmp_path.iterdir())) == 1


def test_a_changed_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"content")
    digest = file_sha256(path)
    assert digest == bytes_sha256(b"content")
    assert read_file(path, CURE, digest) == b"content"
    write_bytes(path, b"contenT")
    with pytest.raises(DataError, match=rf"{path} is damaged .*; {CURE}"):
        read_file(path, CURE, digest)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "round").symlink_to("round")
    for name in ("pipe", "zero", "round", ".", "missing", "a\0b"):
        with pytest.raises(DataError, match=CURE):
            open_regular(tmp_path / name, CURE)
        with pytest.raises(DataError, match=CURE):
            read_file(tmp_path / name, CURE)
        with pytest.raises(DataError, match=CURE):
            file_sha256(tmp_path / name, CURE)


def test_a_record_is_taken_only_with_its_own_digest(tmp_path: Path) -> None:
    record = {"b": [1, 2.5, None], "a": {"c": "ü"}}
    stored = json.loads(json.dumps(with_digest(record)))
    assert check_record(stored, tmp_path, CURE) == with_digest(record)
    for wrong in (
        record,
        stored | {"b": [1, 2.4, None]},
        stored | {"d": 1},
        stored | {"a": {1: 2, "x": object()}},
        [],
        None,
    ):
        with pytest.raises(DataError, match=CURE):
            check_record(wrong, tmp_path, CURE)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_directory_takes_the_place_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = tmp_path / "runs" / "run"
    for content in ("old", "new"):
        made = tmp_path / "out"
        write_text(made / "sub" / content, content)
        replace_directory(made, target)
        assert [str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()] == [f"sub/{content}"]
        assert not made.exists()
        assert [path.name for path in target.parent.iterdir()] == ["run"]


def test_a_directory_takes_the_place_of_a_file_or_a_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    write_text(kept / "a", "a")
    for position, make in enumerate((lambda path: path.write_text("x"), lambda path: path.symlink_to(kept))):
        target = tmp_path / f"target{position}"
        make(target)
        write_text(tmp_path / "out" / "b", "b")
        replace_directory(tmp_path / "out", target)
        assert (target / "b").read_text() == "b"
        assert not target.is_symlink()
    assert (kept / "a").read_text() == "a"


REPLACE = """
import sys
from pathlib import Path
from wsolbench.files import replace_directory
print("ready", flush=True)
replace_directory(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_process_killed_at_any_time_leaves_the_old_directory_or_the_new_one_whole(tmp_path: Path) -> None:
    target, whole, seen = tmp_path / "target", {f"{number:03d}" for number in range(300)}, set()
    for position in range(14):
        for folder, content in ((target, "old"), (tmp_path / "new", "new")):
            files.shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name in whole:
                (folder / name).write_text(content)
        with subprocess.Popen(
            [sys.executable, "-c", REPLACE, str(tmp_path / "new"), str(target)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(0.0007 * position if position < 13 else 60)  # the last one is not killed
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        contents = {path.read_text() for path in target.iterdir()}
        assert {path.name for path in target.iterdir()} == whole
        assert len(contents) == 1
        seen |= contents
    assert "new" in seen


def test_a_lock_is_held_by_one_and_refuses_or_waits(tmp_path: Path) -> None:
    path = tmp_path / "a" / "lock"
    order = []

    def wait() -> None:
        with locked(path):
            order.append("second")

    other = threading.Thread(target=wait)
    with locked(path):
        with pytest.raises(LaunchError, match="busy"), locked(path, LaunchError("busy")):
            raise AssertionError
        other.start()
        other.join(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    with locked(path, LaunchError("busy")):
        pass


def test_a_forked_child_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    (started, starts), (ended, ends) = os.pipe(), os.pipe()
    with locked(tmp_path / "lock"):
        child = os.fork()
        if child == 0:
            os.close(ends)
            os.write(starts, b".")
            os.read(ended, 1)  # until the parent closes its end
            os._exit(0)
    os.read(started, 1)
    with locked(tmp_path / "lock", LaunchError("the child holds it")):
        pass
    os.close(ends)
    os.waitpid(child, 0)
    for number in (started, starts, ended):
        os.close(number)
