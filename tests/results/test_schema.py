from pathlib import Path

import pytest

from wsolbench.results.schema import Costs, Provenance, parse_metrics

_READERS = {
    "metrics": parse_metrics,
    "provenance": Provenance.model_validate_json,
    "costs": Costs.model_validate_json,
}


@pytest.mark.parametrize("kind", _READERS)
def test_what_is_stored_is_written_again_as_it_was(kind: str) -> None:
    files = sorted(Path("results", kind).rglob("*.json"))
    assert files
    for path in files:
        assert _READERS[kind](path.read_bytes()).text() == path.read_text()


def test_keys_of_later_versions_are_kept() -> None:
    content = Path("results/metrics/shapes-convnet/shapes-convnet-cam-0.json").read_bytes()
    later = content.replace(b'{\n  "status"', b'{\n  "of_2030": {"deep": [1]},\n  "status"', 1)
    assert '"of_2030"' in parse_metrics(later).text()
