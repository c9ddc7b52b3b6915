"""The blocks and commands of every page that is written by hand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGES = [
    *(Path(name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "entries/README.md")),
    *(Path(name) for name in ("results/search/README.md", "tests/vectors/README.md")),
    *sorted(Path(".github").rglob("*.md")),
    *sorted(Path("docs").rglob("*.md")),
]
"""All pages but those that the benchmark writes into ``results/``."""

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n)?^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)",
    re.MULTILINE | re.DOTALL,
)
_HERE_DOCUMENT = re.compile(r"<<(\w+)\n.*?^\1$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:wsolbench|make|dvc) [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``why`` it is not run, if it is not."""

    page: Path
    number: int
    language: str
    text: str
    why: str | None

    def __str__(self) -> str:
        return f"{self.page.with_suffix('')}-{self.number}".replace("/", "-")

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command line, without comments, variables that are set before it, and here-documents."""
        text = _HERE_DOCUMENT.sub("", self.text).replace("\\\n", " ")
        parts = (part for line in text.splitlines() for part in re.split(r"&&|;", _without_comment(line)))
        return [words for words in map(_words, parts) if words]


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in some languages."""
    return [block for page in PAGES for block in _blocks_of(page) if block.language in languages]


def languages() -> set[str]:
    """Return the languages of all blocks, ``""`` among them where one does not say its own."""
    return {block.language for page in PAGES for block in _blocks_of(page)}


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def inline_commands(page: Path) -> list[list[str]]:
    """Return the words of the commands of ours that a page's sentences show."""
    return [shlex.split(found) for found in _INLINE.findall(prose(page))]


def _blocks_of(page: Path) -> Iterator[Block]:
    for number, found in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8"))):
        yield Block(page, number, found["language"], found["text"], found["why"])


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#\s.*$", "", line)


def _words(command: str) -> list[str]:
    words = shlex.split(command)
    while words and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    return words
