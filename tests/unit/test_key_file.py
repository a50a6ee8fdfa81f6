"""The key file: what it holds, what breaks it, and that it is only ever replaced whole."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector_server.key_file import KeyRecord, decode_keys, digest, edited_keys, encode_keys, make_key, read_keys
from collector_server.key_store import LAST_GOOD, KeyStore
from collector_server.settings import KeyRights
from commands.settings import Settings, load_settings
from contract.errors import FolderNotWritable, KeyFileBroken, UsageError

NOON = datetime(2026, 9, 21, 3, tzinfo=UTC)
GOLDEN = (
    b'{"sillok_keys":1,"count":1}\n'
    b'{"source":"mts","kind":"browser","origins":["https://m.example.com"],"loopback_only":false,'
    b'"events_per_second_max":500.0,"id":"k00ff00ff00",'
    b'"sha256":"2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683","state":"active",'
    b'"created":"2026-09-21T03:00:00Z","changed":"2026-09-21T03:00:00Z"}\n'
)


def made(source: str = "mts") -> KeyRecord:
    return make_key(KeyRights(source=source), NOON)[1]


def test_the_format_is_these_bytes():
    record = KeyRecord(
        source="mts", origins=("https://m.example.com",), events_per_second_max=500.0, id="k00ff00ff00",
        sha256=digest("key"), state="active", created=NOON, changed=NOON,
    )  # fmt: skip
    assert encode_keys([record]) == GOLDEN
    assert decode_keys(GOLDEN) == (record,)


def test_a_key_is_256_random_bits_and_the_file_holds_its_hash_only():
    pairs = [make_key(KeyRights(source="mts", kind="server")) for _ in range(100)]

    assert len({text for text, _ in pairs}) == 100
    assert all(text.startswith("server-") and len(text) == len("server-") + 43 for text, _ in pairs)
    data = encode_keys([record for _, record in pairs])
    assert not any(text[len("server-") :].encode() in data for text, _ in pairs)
    assert [record.sha256 for record in decode_keys(data)] == [digest(text) for text, _ in pairs]


TWO = encode_keys([made("web"), made("mts")])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "line 1 is not JSON"),
        (b"\n", "line 1 is not JSON"),
        (TWO[:-1][: TWO[:-1].rindex(b"\n") + 1], "line 1 promises 2 keys, but 1 follow"),
        (TWO[:-40], "line 3 is not JSON"),
        (TWO + TWO.splitlines()[1] + b"\n", "line 1 promises 2 keys, but 3 follow"),
        (TWO.replace(b'"count":2', b'"count":3') + TWO.splitlines()[1], "line 4: this key stands in an earlier line"),
        (TWO.replace(b'"sillok_keys":1', b'"sillok_keys":2'), "line 1: this version reads format 1 only"),
        (TWO.replace(b'"state":"active"', b'"state":"activ"', 1), "line 2: Invalid enum value 'activ'"),
        (TWO.replace(b'"kind":', b'"kynd":', 1), "line 2: Object contains unknown field `kynd`"),
        (TWO.replace(b'"source":"mts"', b'"source":""'), "line 3: Expected `str` of length >= 1"),
        (TWO.replace(b"web", b"\xb8\xc5\xb8"), "line 2 is not JSON"),
        (b"\0" * 4096, "line 1 is not JSON"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_the_line_and_the_reason(data: bytes, words: str):
    with pytest.raises(KeyFileBroken) as error:
        decode_keys(data)
    assert words in str(error.value)


def test_no_cut_of_a_file_is_a_good_file():
    for end in range(len(TWO) - 1):
        with pytest.raises(KeyFileBroken):
            decode_keys(TWO[:end])


def test_a_key_that_stands_in_the_settings_too_is_refused():
    """Revoked in the file, it would work on."""
    text, record = make_key(KeyRights(source="mts"))
    with pytest.raises(KeyFileBroken, match=r"line 2: this key stands in \[serve.keys\] too"):
        decode_keys(encode_keys([record]), {digest(text)})


def test_an_edit_replaces_the_file_whole_and_keeps_its_mode(tmp_path: Path):
    path = tmp_path / "folder" / "keys.jsonl"
    with edited_keys(path) as records:
        records.append(made())
    path.chmod(0o640)
    first = path.stat()
    with edited_keys(path) as records:
        records.append(made("web"))

    assert [record.source for record in read_keys(path)] == ["mts", "web"]
    assert path.stat().st_ino != first.st_ino
    assert path.stat().st_mode == first.st_mode
    assert sorted(left.name for left in path.parent.iterdir()) == ["keys.jsonl", "keys.jsonl.lock"]


def test_an_edit_that_fails_changes_nothing(tmp_path: Path):
    path = tmp_path / "keys.jsonl"
    with edited_keys(path) as records:
        records.append(made())
    before = path.read_bytes()

    def fail() -> None:
        with edited_keys(path) as records:
            records.clear()
            raise UsageError("no")

    with pytest.raises(UsageError):
        fail()
    assert path.read_bytes() == before


def test_editors_at_the_same_time_lose_no_key(tmp_path: Path):
    """Each is a process of its own, as `sillok keys` is."""
    program = (
        "import sys; from pathlib import Path\n"
        "from collector_server.key_file import *; from collector_server.settings import KeyRights\n"
        "for n in range(10):\n"
        "    with edited_keys(Path(sys.argv[1])) as records: records.append(make_key(KeyRights(source='s'))[1])\n"
    )
    path = tmp_path / "keys.jsonl"

    def run(_: int) -> int:
        return subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=120).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == [0] * 4
    assert len(read_keys(path)) == 40


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(FolderNotWritable, match="cannot write the key file"), edited_keys(tmp_path / "file" / "keys"):
        pass


# Which keys are in force


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def write(path: Path, *sources: str) -> None:
    path.write_bytes(encode_keys([made(source) for source in sources]))


def sources(store: KeyStore) -> list[str]:
    return [record.source for record in store.records]


def test_a_broken_file_changes_nothing_and_a_restart_takes_the_last_good_one(tmp_path: Path, spool: Path):
    path = tmp_path / "keys.jsonl"
    write(path, "mts", "web")
    store = KeyStore(path, spool, ())
    store.start()
    assert (sources(store), store.ok) == (["mts", "web"], True)

    path.write_bytes(path.read_bytes()[:-30])
    assert not store.reload()
    assert (sources(store), store.ok) == (["mts", "web"], False)

    restarted = KeyStore(path, spool, ())
    restarted.start()
    assert (sources(restarted), restarted.ok) == (["mts", "web"], False)

    write(path, "hts")
    assert restarted.reload()
    assert (sources(restarted), restarted.ok) == (["hts"], True)


def test_a_file_that_has_gone_is_a_broken_one(tmp_path: Path, spool: Path):
    """Or moving it away by mistake would refuse every customer's events."""
    path = tmp_path / "keys.jsonl"
    write(path, "mts")
    KeyStore(path, spool, ()).start()
    path.unlink()

    store = KeyStore(path, spool, ())
    store.start()
    assert (sources(store), store.ok) == (["mts"], False)


def test_no_file_yet_is_no_key(tmp_path: Path, spool: Path):
    store = KeyStore(tmp_path / "keys.jsonl", spool, ())
    store.start()
    assert (sources(store), store.ok, list(spool.iterdir())) == ([], True, [])


@pytest.mark.parametrize("last_good", [None, b"", GOLDEN[:-10]])
def test_a_broken_file_without_a_last_good_one_is_refused(tmp_path: Path, spool: Path, last_good: bytes | None):
    path = tmp_path / "keys.jsonl"
    path.write_bytes(b"{")
    if last_good is not None:
        (spool / LAST_GOOD).write_bytes(last_good)
    with pytest.raises(KeyFileBroken, match="there is no last good state"):
        KeyStore(path, spool, ()).start()


def test_the_key_file_lies_in_the_data_folder_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert str(load_settings(None, {}).keys_file()) == "sillok-data/keys.jsonl"
    assert Settings().located_serve().keys_file == "sillok-data/keys.jsonl"
    assert str(load_settings(None, {"SILLOK_SERVE_KEYS_FILE": "/etc/sillok/keys"}).keys_file()) == "/etc/sillok/keys"
