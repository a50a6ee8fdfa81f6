"""One installation for all tests of a module: it takes seconds to start."""

from collections.abc import Iterator

import pytest

from commands.up import Installation
from tests.acceptance.qa import installed


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("installation")) as started:
        yield started
