"""Ways in which a file comes to harm, and what readers may answer: the right content, or an error that names it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from wsolbench.errors import WsolbenchError

SECONDS = 300  # after which a reader is taken to hang; the first call of a kernel on a machine compiles it
BYTES = 2**33  # of memory that a reader may take, with what the process has already


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's content with a bit flipped, a piece lost, doubled, zeroed, exchanged or made up."""
    size = max(len(content), 1)
    one, other = sorted(int(place) for place in rng.integers(0, size, 2))
    near = min(one + int(rng.integers(1, 9)), size)
    ways: list[Callable[[], bytes]] = [
        *[lambda: flipped(content, int(rng.integers(size)), int(rng.integers(8)))] * 6,
        lambda: content[:one],
        lambda: content[one:],
        lambda: content[:one] + content[other:],
        lambda: content[:other] + content[one:],
        lambda: content[:one] + bytes(near - one) + content[near:],
        lambda: content[:one] + rng.bytes(near - one) + content[near:],
        lambda: content[:one] + b"\xff" * (near - one) + content[near:],
        lambda: content[other:] + content[:other],
        lambda: content + rng.bytes(9),
        lambda: content[: size // 2] + rng.bytes(size - size // 2),
    ]
    return ways[int(rng.integers(len(ways)))]()


def flipped(content: bytes, place: int, bit: int) -> bytes:
    if not content:
        return b"\1"
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


OTHERS: Mapping[str, bytes] = {
    "empty": b"",
    "zeros": bytes(4096),
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "a mapping": b"{}",
    "deep": b"[" * 100_000,
    "deep mappings": b'{"a":' * 100_000,
    "not UTF-8": b"\xff\xfe\xfa" * 9,
    "text": "id,x0,y0\nä,1,2\n".encode(),
    "a long number": b"9" * 10_000,
    "a picture's beginning": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "an archive's beginning": b"PK\3\4" + bytes(40),
    "a table's beginning": b"PAR1" + bytes(40) + b"PAR1",
    "a huge header": (2**62).to_bytes(8, "little") + b"{}",
}


def _folder(path: Path) -> None:
    path.mkdir()


KINDS: Mapping[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "a folder": _folder,
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@contextlib.contextmanager
def exchanged(path: Path, make: Callable[[Path], Any]) -> Iterator[None]:
    """Put something else in a file's place, and the file back at the end."""
    kept = Path(tempfile.mkdtemp()) / path.name  # elsewhere: some readers remove what they do not know
    shutil.move(path, kept)
    try:
        make(path)
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        shutil.move(kept, path)
        kept.parent.rmdir()


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise TimeoutError in a reader that waits or never ends."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"no answer in {SECONDS} s")

    former_bytes = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, former_bytes[1]))
    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_DATA, former_bytes)
        signal.signal(signal.SIGALRM, former)


def answer(read: Callable[[], Any]) -> tuple[Any, WsolbenchError | None]:
    """Return what a reader returns, as plain data, or its error; any other exception goes through."""
    try:
        with limited():
            return plain(read()), None
    except WsolbenchError as error:
        return None, error


def plain(value: Any) -> Any:
    """Return a value so that two of them can be compared."""
    if isinstance(value, pd.DataFrame):
        return value.to_csv()
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return str(value.dtype), tuple(value.shape), np.asarray(value).tobytes()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({each.name: getattr(value, each.name) for each in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value
