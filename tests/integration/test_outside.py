"""The outside account: what somebody else counted, from a file or a query, held against clean.events by event day."""

import sqlite3
from datetime import timedelta

import msgspec
import pytest

import sillok
from commands.settings import load_settings
from contract.errors import ExpectationsBroken, UsageError
from processor.outside import COLUMNS, read_expected, read_tolerance
from tests.builders import KST, MINUTE_US, Sent, event, moment, today_us
from tests.fakes import FakeClock

NOON = today_us(12, days=-1)
DAY = moment(NOON).astimezone(KST).date()
BEFORE = DAY - timedelta(days=1)
HEAD = "event_date,event_type,source,event_name,expected\n"


def order(source_day=NOON, **fields):
    return event(**{"event_type": "custom", "event_name": "order_done", "time": source_day // 1000, **fields})


@pytest.fixture
def road(road):
    """Return a road on which yesterday five orders and a search were made, in two apps, and one by a tester."""
    road.spool.clock = FakeClock(today_us(11, days=-1))
    road.send(
        Sent([order(), order(), order(event_name="order_cancelled")], at_us=NOON, source="ios"),
        Sent([order(), order(), event(event_type="search", time=NOON // 1000)], at_us=NOON + 1, source="android"),
        Sent([order()], at_us=NOON + MINUTE_US, source="ios", is_test=True),
    )
    return road


@pytest.fixture
def reconcile(road, capsys, tmp_path):
    """Return a function that runs the command with --expect on a file of this text; exit status and JSON."""

    def run(file: str | None, *arguments: str, name: str = "orders.csv", expect_dsn: str = "") -> tuple[int, dict]:
        path = tmp_path / name
        if file is not None:
            path.write_text(file, encoding="utf-8")
        settings = load_settings(None, {"SILLOK_PROCESS_DSN": road.dsn, "SILLOK_EXPECT_DSN": expect_dsn})
        options = sillok._parser().parse_args(["reconcile", "--json", "--expect", str(path), *arguments])
        capsys.readouterr()
        return options.command.run(settings, options), msgspec.json.decode(capsys.readouterr().out)

    return run


def found(books: dict) -> list[tuple]:
    return [
        (r["event_type"], r["source"], r["event_name"], r["expected"], r["found"], r["holds"]) for r in books["outside"]
    ]


def test_what_should_have_happened_is_there(reconcile):
    """By type, by app, by name; testers' events are nobody's orders."""
    rows = (("custom", "", "", 5), ("custom", "", "order_done", 4), ("custom", "ios", "", 3), ("custom", "ios", "order_done", 2),
            ("custom", "web", "", 0), ("search", "android", "", 1))  # fmt: skip
    status, books = reconcile(HEAD + "".join(f"{DAY},{','.join(map(str, row))}\n" for row in rows))
    assert status == 0
    assert found(books) == [(*row, row[3], True) for row in sorted(rows)]
    assert all(row["final"] for row in books["outside"])
    assert books["range_from"] == f"{DAY}T00:00:00+09:00", "without a day, the books are those of the file's days"


@pytest.mark.parametrize(
    ("expected", "tolerance", "status"),
    [(4, "0", 0), (5, "0", 1), (3, "0", 1), (5, "1", 0), (6, "1", 1), (5, "20%", 0), (5, "19.99%", 1), (3, "33.34%", 0), (0, "50%", 1)],
)  # fmt: skip
def test_the_tolerance_is_a_part_of_what_is_expected_or_a_number(reconcile, expected, tolerance, status):
    """Too many are as wrong as too few."""
    text = f"expected,event_name,event_type,event_date\n{expected},order_done,custom,{DAY}\n"
    code, books = reconcile(text, "--tolerance", tolerance)
    assert code == status
    assert found(books) == [("custom", "", "order_done", expected, 4, status == 0)]
    assert books["balanced"], "what was received is another matter"


def test_an_event_counts_on_the_day_it_happened(reconcile, road):
    """However late it was received."""
    road.send(Sent([order(NOON - 24 * 60 * MINUTE_US)], at_us=NOON + 2 * MINUTE_US))
    status, books = reconcile(HEAD + f"{BEFORE},custom,,,1\n{DAY},custom,,,5\n")
    assert (status, [row["found"] for row in books["outside"]]) == (0, [1, 5])


def test_other_days_are_left_out_and_counted(reconcile):
    """With a day of its own the command holds that day alone."""
    text = HEAD + f"{BEFORE},custom,,,77\n{DAY},custom,,,5\n"
    status, books = reconcile(text, "--day", str(DAY))
    assert (status, len(books["outside"]), books["outside_left_out"]) == (0, 1, 1)
    with pytest.raises(UsageError, match="expects nothing of these days"):
        reconcile(text, "--day", str(BEFORE - timedelta(days=1)))


def test_a_sqlite_file_is_read(reconcile, tmp_path):
    """Its table or view `expected`."""
    with sqlite3.connect(tmp_path / "orders.db") as file:
        file.execute("create table orders (at text, app text)")
        file.executemany(
            "insert into orders values (?, ?)", [(f"{DAY} 10:00", "ios")] * 2 + [(f"{DAY} 11:00", "android")] * 2
        )
        file.execute("create view expected as select date(at) as event_date, 'custom' as event_type, app as source,"
                     " 'order_done' as event_name, count(*) as expected from orders group by 1, 3")  # fmt: skip
    file.close()
    status, books = reconcile(None, name="orders.db")
    assert (status, len(books["outside"])) == (0, 2)


def test_a_query_is_asked_of_the_database_in_the_settings(reconcile, road):
    """Read-only; its DSN is never an argument, where every user of the machine would see it."""
    query = f"select date '{DAY}' as event_date, 'custom' as event_type, 5::numeric as expected"
    assert reconcile(query, name="orders.sql", expect_dsn=road.dsn)[0] == 0
    with pytest.raises(UsageError, match=r"set `dsn` in \[expect\]"):
        reconcile(query, name="orders.sql")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("create table mine (a int)", "read-only transaction"),
        ("with gone as (delete from clean.events returning 1) select * from gone", "read-only transaction"),
        ("commit; delete from clean.events", "cannot insert multiple commands"),
        ("select 1 as surprise", "lacks `event_date`, `event_type`, `expected`"),
        ("select from nowhere", 'relation "nowhere" does not exist'),
        ("set lock_timeout = 1", "it returns no rows"),
    ],
)
def test_a_query_can_change_nothing(reconcile, road, query, reason):
    with pytest.raises(ExpectationsBroken, match=reason):
        reconcile(query, name="orders.sql", expect_dsn=road.dsn)
    assert road.values("select count(*) from clean.events") == [7]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: it lacks `event_date`, `event_type`, `expected`"),
        (HEAD, "expects nothing: it has no rows"),
        (f"event_date,event_type\n{DAY},custom\n", "line 1: it lacks `expected`"),
        (f"event_date,event_type,expected,amount\n{DAY},custom,1,2\n", "line 1: it does not know `amount`"),
        ("event_date,event_type,expected,expected\n", "line 1: it has twice `expected`"),
        (HEAD + f"{DAY},custom,,,5\n\n22.11.2026,custom,,,5\n", "line 4: `event_date` is no day such as 2026-11-22"),
        (HEAD + f"{DAY},order,,,5\n", "line 2: `event_type` is none of page_view"),
        (HEAD + f"{DAY},custom,,,4.5\n", "line 2: `expected` is no whole number"),
        (HEAD + f"{DAY},custom,,,-1\n", "line 2: `expected` is no whole number"),
        (HEAD + f"{DAY},custom,,,NaN\n", "line 2: `expected` is no whole number"),
        (HEAD + f"{DAY},custom,,,\n", "line 2: `expected` is no whole number"),
        (HEAD + f"{DAY},custom,5\n", "line 2: 3 values for 5 columns"),
        (HEAD + f"{DAY},custom,,,5\n{DAY},custom, ,,6\n", "line 3: the same day and type as line 2"),
        (HEAD + f'{DAY},"custom,,,5\n', "line 2: unexpected end of data"),
    ],
)
def test_an_error_in_the_file_names_its_line_and_reason(tmp_path, text, reason):
    """And never a value."""
    path = tmp_path / "orders.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExpectationsBroken) as error:
        read_expected(path, "")
    assert reason in str(error.value)


def test_files_that_are_none(tmp_path):
    """Missing, in another encoding, an SQLite file without the table."""
    with pytest.raises(ExpectationsBroken, match="cannot read"):
        read_expected(tmp_path / "absent.csv", "")
    (tmp_path / "korean.csv").write_bytes((HEAD + f"{DAY},custom,,주문,5\n").encode("cp949"))
    with pytest.raises(ExpectationsBroken, match="line 2: not UTF-8; save it as “CSV UTF-8”"):
        read_expected(tmp_path / "korean.csv", "")
    with sqlite3.connect(tmp_path / "other.db") as file:
        file.execute("create table orders (a)")
    file.close()
    with pytest.raises(ExpectationsBroken, match="no such table: expected; it needs a table or view `expected`"):
        read_expected(tmp_path / "other.db", "")


def test_a_file_from_a_spreadsheet_is_read(tmp_path):
    """With a byte order mark, CRLF, thousands separators, a time behind the day, and columns in capitals."""
    path = tmp_path / "orders.csv"
    path.write_bytes(f'\ufeffEvent_Date,EVENT_TYPE,expected\r\n{DAY} 00:00:00,custom,"1,234"\r\n'.encode())
    [row] = read_expected(path, "")
    assert (row.event_date, row.expected, row.source, row.event_name) == (DAY, 1234, "", "")
    assert [name for name in COLUMNS if hasattr(row, name)] == list(COLUMNS)


@pytest.mark.parametrize("text", ["", "x", "-1", "-1%", "0.5", "nan%", "inf", "1%%"])
def test_a_tolerance_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match=r"a percentage such as 0\.5% or a whole number"):
        read_tolerance(text)
