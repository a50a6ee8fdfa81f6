"""A running collector keeps to `contract/openapi.json`, whatever schemathesis makes of it."""

import subprocess
import sys
from pathlib import Path

from contract.generate import ROOT
from tests.integration.conftest import clean_environment, running

# A batch that breaks the schema is repaired or rejected event by event, with 200: that is the promise. And a text of
# `text/plain`, or of `Content-Encoding`, is valid by the document and refused for what it says.
UNFIT = "negative_data_rejection,positive_data_acceptance"


def test_every_answer_is_one_the_document_promises(tmp_path: Path):
    """A thousand requests, valid and not: statuses, bodies, headers and content types as documented, and no 5xx."""
    with running(tmp_path, "workers = 1") as collector:
        collector.wait_until_ready()
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", str(ROOT / "contract" / "openapi.json"),
                "--url", f"http://127.0.0.1:{collector.port}", "--header", "Authorization: Bearer browser",
                "--phases", "coverage,fuzzing", "--max-examples", "20", "--generation-deterministic",
                "--exclude-checks", UNFIT, "--no-color", "--warnings", "off",
            ],
            cwd=tmp_path, env=clean_environment(), text=True, capture_output=True, timeout=300, check=False,
        )  # fmt: skip

        assert done.returncode == 0, done.stdout + done.stderr
        assert collector.stop() == 0
        log = collector.log.read_text(encoding="utf-8")
        assert "Traceback" not in log
        assert "request_failed" not in log
        assert sum(collector.spooled().accepted.values()) > 20, "it did not test refusals only"
