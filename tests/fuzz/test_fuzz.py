"""Bytes that nobody would send, and some that somebody will."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contract.generate import ROOT
from storage.spool.frame import pack_frame
from tests.contract.vectors import VECTORS, body_of
from tests.fuzz.claims import CLAIMS, the_decoder_keeps_its_word, the_reader_keeps_its_word

CLICK = {"event_id": "019b76da-c800-7000-8000-0000000000aa", "time": 1_790_000_000_000, "event_type": "click"}
TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b'"events":[', b'"context":{', b'"clients":[', b'"sent_at":', b'"props":{',
    json.dumps(CLICK).encode(), json.dumps(CLICK).encode()[:-1], b'"event_id":"', b'"event_type":"custom"', b'"seq":',
    b'"event_name":"a"', b'"page_url":"https://a.kr/?q=1"', b'"click_text":"', b"900101-1234567", b"\\u0000", b"\\ud800",
    b"\\udc00", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\0", b"null", b"true", b"NaN",
    b"-0.0", b"1e400", b"1e131071", b"9223372036854775808", b"9" * 60, b" ", b"\n",
)  # fmt: skip
# The same examples every time: what looks for new ones is `make soak`.
MANY = settings(max_examples=400, deadline=None, database=None, derandomize=True)


@MANY
@given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=4), max_size=14).map(b"".join))
@example(b'{"events":[%b]}' % TOKENS[12])
def test_the_decoder_refuses_or_accounts_for_whatever_looks_a_little_like_json(body):
    the_decoder_keeps_its_word(body)


@MANY
@example([b'1,"event_type":"clic5","event_type":"click"'])
@given(st.lists(st.lists(st.sampled_from(TOKENS), max_size=4).map(b"".join), min_size=1, max_size=4))
def test_the_decoder_refuses_or_accounts_for_whatever_an_event_holds(parts):
    events = b",".join(b'%b,"page_name":%b}' % (TOKENS[13], part) for part in parts)
    the_decoder_keeps_its_word(b'{"events":[%b]}' % events)


@MANY
@given(st.binary(max_size=200) | st.lists(st.sampled_from(TOKENS), max_size=10).map(b"".join))
def test_the_reader_never_raises_what_it_does_not_declare(data):
    with capture_logs():  # a traceback for each group it cannot decode takes most of the test's time
        the_reader_keeps_its_word(data)


@MANY
@given(
    st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3),
    st.integers(0, 40),
    st.sampled_from([b"", b"\0", b"\1", b"\xff", bytes(15), bytes(16), bytes(17)]),
)
@example([(b"meta", b"body")], 1, b"")
def test_frames_whose_lengths_do_not_add_up_are_none(frames, cut, more):
    payload = b"".join(pack_frame(1, meta, body) for meta, body in frames)
    with capture_logs():
        the_reader_keeps_its_word(payload[: max(0, len(payload) - cut)] + more)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of inputs to begin with: the vectors, the same every time."""
    seeds = tmp_path_factory.mktemp("seeds")
    for number, vector in enumerate(VECTORS):
        if len(body := body_of(vector)) < 4096:
            (seeds / f"vector-{number}").write_bytes(body)
    return seeds


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize(
    "budget",
    [
        pytest.param(["-seed=7", "-runs=1500", "-max_total_time=20"], id="short"),
        pytest.param(["-max_total_time=300"], id="soak", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize("claim", CLAIMS)
def test_atheris_finds_no_bytes_that_break_a_claim(claim: str, budget: list[str], corpus: Path, tmp_path: Path):
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz.run", claim, "-max_len=4096", "-timeout=120", "-rss_limit_mb=0",
            f"-artifact_prefix={tmp_path}/", *budget, str(tmp_path), str(corpus),
        ],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}, text=True, capture_output=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    assert "Done " in done.stderr, "it has run"
