"""Every method and read-out of the repository keeps its promises. A new file is tested without an edit here."""

from wsolbench.tools.promises import *  # noqa: F403
from wsolbench.tools.promises_of_readouts import *  # noqa: F403
