"""`python -m tests.fuzz.run CLAIM [libFuzzer's options] [FOLDER]`: atheris looks for bytes that break a claim.

It is led by what the code does with each input. It ends with 0 when its time or its runs are over, and writes
an input that breaks the claim to the current folder.
"""

import logging
import sys

import atheris
import structlog

with atheris.instrument_imports(include=["collector_server", "storage", "contract"]):
    from tests.fuzz.claims import CLAIMS


def main() -> None:
    """Fuzz until libFuzzer has had enough."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, CLAIMS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
