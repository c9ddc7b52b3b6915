import pytest

pytest.register_assert_rewrite("wsolbench.tools.promises", "wsolbench.tools.promises_of_readouts")
