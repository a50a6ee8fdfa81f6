"""What an older version wrote means the same to this one: header, counts, rows, rejects and reports."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import SpoolFormatError
from storage.contents import Contents
from storage.rows import COLUMNS
from storage.spool.reader import parse_segment

_GOLDEN = Path(__file__).parents[1] / "golden"


def told(data: bytes) -> dict[str, Any]:
    """Return all that the loader would store of a segment, as JSON can hold it."""
    segment = parse_segment(data)
    contents = Contents(segment)
    rows = [
        {
            name: value.decode()
            if isinstance(value, bytes)
            else value
            if isinstance(value, (int, list))
            else str(value)
            for name, value in zip(COLUMNS, row, strict=True)
            if value is not None
        }
        for row in contents.rows_to_copy(1)
    ]
    assert segment.footer is not None
    return {
        "segment": segment.header.segment,
        "footer": {
            name: str(getattr(segment.footer, name)) for name in ("received", "accepted", "rejected", "hash_sum")
        },
        "rows": rows,
        "rejected": [[str(value) for value in row] for row in contents.rejected],
        "clients": [[*key, report.created, report.pending] for key, (report, _) in contents.clients.items()],
    }


@pytest.mark.parametrize("version", sorted(path.stem for path in _GOLDEN.glob("*.sealed")))
def test_a_segment_of_an_older_version_is_read_as_it_was_meant(version: str) -> None:
    wanted = json.loads((_GOLDEN / f"{version}.json").read_text(encoding="utf-8"))
    assert told((_GOLDEN / f"{version}.sealed").read_bytes()) == wanted


def test_a_segment_of_a_newer_version_is_refused_by_name() -> None:
    data = bytearray((_GOLDEN / "0.1.sealed").read_bytes())
    data[7] += 1
    with pytest.raises(SpoolFormatError, match="format 2, this version reads format 1: install the newer Sillok"):
        parse_segment(bytes(data))
