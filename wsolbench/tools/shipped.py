"""``catalogue.json``: what listings and ``wsolbench doctor`` say of shipped components, so that neither imports torch.

Run as a module, it writes the file's text to standard output; ``make schema`` does.
"""

from __future__ import annotations

import json
import sys

from wsolbench.config.settings import read_settings
from wsolbench.tools.catalogue import KINDS, entry, own_facts
from wsolbench.tools.doctor import check_arguments, own_arguments

__all__ = ["catalogue_text"]


def catalogue_text() -> str:
    """Return the file's text for the present code and ``params.yaml``.

    Raises:
        SettingsError: a component cannot be loaded.
    """
    found = {str(kind): entry(*own_facts(kind)) for kind in KINDS}
    arguments = own_arguments(read_settings())
    found["arguments"] = entry(arguments, lambda: check_arguments(arguments))
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(catalogue_text())
