"""What other services read of the repository says what is true of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from wsolbench.config import registry
from wsolbench.config.schema import load_yaml

REQUIRED = {"cff-version", "message", "title", "authors"}
FORMS = sorted(Path(".github/ISSUE_TEMPLATE").glob("*.yml"))
TEXTS = [*FORMS, Path(".github/pull_request_template.md"), Path(".github/workflows/ci.yml"), Path("Dockerfile")]


@pytest.fixture(scope="module")
def citation():
    return load_yaml(Path("CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_agrees_with_the_package(citation):
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert (citation["type"], citation["message"] > "", citation["abstract"] > "") == ("software", True, True)
    for name in ("version", "license", "authors"):
        assert citation[name] == project[name]
    assert {each.lower() for each in citation["keywords"]} == {each.lower() for each in project["keywords"]}
    assert Path("LICENSE").read_text(encoding="utf-8").startswith(f"{project['license']} License")


def test_the_citation_is_a_valid_one_of_the_format(citation):
    """As cffconvert's schema has it: only known keys, of the right types, with people who have names."""
    assert {*citation} == REQUIRED | {
        "type",
        "abstract",
        "keywords",
        "license",
        "version",
        "references",
    }
    assert len(set(citation["keywords"])) == len(citation["keywords"]) > 3
    for paper in citation["references"]:
        assert {*paper} <= {"type", "title", "authors", "year", "conference", "journal", "url", "doi"}, paper["title"]
        assert paper["type"] in {"article", "conference-paper"}, paper["title"]
        assert isinstance(paper["year"], int), paper["title"]
        assert all({*author} == {"family-names", "given-names"} for author in paper["authors"]), paper["title"]
        assert ({*paper} & {"journal", "conference"}) or "arxiv.org" in paper["url"], paper["title"]
        assert re.fullmatch(r"https://\S+", paper.get("url", "https://x")), paper["title"]
        assert re.fullmatch(r"10\.\d{4,}/\S+", paper.get("doi", "10.1234/x")), paper["title"]
    titles = [paper["title"] for paper in citation["references"]]
    assert len(set(titles)) == len(titles)


def test_the_citation_has_the_paper_of_each_method(citation):
    papers = citation["references"]
    assert all({"type", "title", "authors", "year"} <= set(paper) and paper["authors"] for paper in papers)
    found = " ".join(f"{paper.get('url')} {paper['authors'][0]['family-names']} {paper['year']}" for paper in papers)
    for name in registry.names("method"):
        reference = registry.load(registry.kind_of(name), name).reference
        number = re.search(r"arXiv (\d{4}\.\d{5})", reference)
        author, year = reference.partition(" ")[0], re.search(r"\d{4}", reference)[0]
        assert (f"abs/{number[1]} " if number else f"{author} {year}") in found, name


@pytest.mark.parametrize("form", [each for each in FORMS if each.name != "config.yml"], ids=lambda form: form.stem)
def test_a_form_asks_something(form):
    parsed = load_yaml(form.read_text(encoding="utf-8"))
    assert parsed["name"]
    assert parsed["description"]
    fields = [field for field in parsed["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 1
    assert all(field["attributes"]["label"] for field in fields)


def test_the_workflow_runs_all_checks_with_pinned_actions():
    (job,) = load_yaml(Path(".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in used)
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


@pytest.mark.parametrize("file", TEXTS, ids=str)
def test_paths_and_targets_that_are_named_exist(file):
    text = file.read_text(encoding="utf-8")
    pattern = r"`([\w./-]*[./][\w./-]*)`|^COPY (\S+)|run: (\.ci/\S+)|\b(docs/[\w./-]+\.md)"
    named = {name for found in re.findall(pattern, text, re.MULTILINE) for name in found if name}
    assert all(Path(name).exists() for name in named - {"results/logs/"}), named
    targets = re.findall(r"^([\w-]+):", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*re.findall(r"\bmake ([a-z][\w-]*)", text)} <= {*targets}
