"""What is masked, what is not, and that the one pass over a body misses nothing that would be."""

# ruff: noqa: RUF001 - look-alikes are the point

import json
import random
import re
import time
import uuid

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector_server.app import _stored_user_agent
from collector_server.fold import SEPARATORS, SIGNS, UNSEEN, fold
from collector_server.mask import Masker
from collector_server.personal import has_resident_number
from collector_server.settings import CollectorSettings

MASKER = Masker(CollectorSettings().query_values_kept)
ACCOUNT_MASKER = Masker(account_patterns=[r"[0-9]{3}-[0-9]{2}-[0-9]{6}"])
DAY_MS = 86_400_000

PERSONAL = [
    ("900101-1234567", "[rrn]"),
    ("9001011234567", "[rrn]"),
    ("900101 1234567", "[rrn]"),
    ("900101.1234567", "[rrn]"),
    ("051231-4999999", "[rrn]"),
    ("850615-5123456", "[rrn]"),
    ("홍길동(900101-1234567)님", "홍길동([rrn])님"),
    ("1-900101-1234567-1", "1-[rrn]-1"),
    ("1-2-3-4-5-6-7-8-9-1-2-3-4-5-6-7-8-9-900101-1234567", "1-2-3-4-5-6-7-8-9-1-2-3-4-5-6-7-8-9-[rrn]"),
    ("4111111111111111", "[card]"),
    ("4111-1111-1111-1111", "[card]"),
    ("4111 1111 1111 1111", "[card]"),
    ("4111.1111.1111.1111", "[card]"),
    ("카드5555555555554444승인", "카드[card]승인"),
    ("a-4111-1111-1111-1111", "a-[card]"),
    ("1-4111-1111-1111-1111", "1-[card]"),
    ("3782-822463-10005", "[card]"),
    ("378282246310005", "[card]"),
    ("36227206271667", "[card]"),
    ("01012345678", "[phone]"),
    ("010-1234-5678", "[phone]"),
    ("010 1234 5678", "[phone]"),
    ("010.1234.5678", "[phone]"),
    ("011-123-4567", "[phone]"),
    ("전화010-1234-5678번", "전화[phone]번"),
    ("+82 10-1234-5678", "[phone]"),
    ("+821012345678", "[phone]"),
    ("821012345678", "[phone]"),
    ("+82-010-1234-5678", "[phone]"),
    ("02-123-4567", "[phone]"),
    ("031 1234 5678", "[phone]"),
    ("02.1234.5678", "[phone]"),
    ("+82-2-123-4567", "[phone]"),
    ("070-1234-5678", "[phone]"),
    ("0507-1234-5678", "[phone]"),
    ("02)123-4567", "[phone]"),
    ("(02) 1234-5678", "([phone]"),
    ("010)1234-5678", "[phone]"),
    ("문의 051) 123.4567", "문의 [phone]"),
    ("+82(0)10-1234-5678", "[phone]"),
    ("+82 (0)10 1234 5678", "[phone]"),
    ("+82(0)2-123-4567", "[phone]"),
    ("82(0)1012345678", "[phone]"),
    ("4000-0000-0000-0000-006", "[card]"),
    ("6200 0000 0000 0000 000", "[card]"),
    ("4111 1111 1111 1111 22", "[card] 22"),
    ("hong.gil-dong+1@example.co.kr", "[email]"),
    ("메일hong@example.com으로", "메일[email]으로"),
    ("hong@회사.kr", "[email]"),
    ("홍길동@회사.한국", "[email]"),
    ("hong@증권.회사.한국으로", "[email]으로"),
    ("hong@mail.회사.한국", "[email]"),
    ("hong%40example.com", "[email]"),
    ("019b76da-c800-7000-8000-0000000000aa 010-1234-5678", "019b76da-c800-7000-8000-0000000000aa [phone]"),
    ("[phone] 010-1234-5678", "[phone] [phone]"),
    ("900101 - 1234567", "[rrn]"),
    ("010 - 1234 - 5678", "[phone]"),
    ("900101\t1234567", "[rrn]"),
    ("900101+1234567", "[rrn]"),
    ("000229-3234567", "[rrn]"),
    ("2223003122003222", "[card]"),
    ("2720-9900-0000-0007", "[card]"),
    ("9409-1200-0000-0004", "[card]"),
    ("3622-720627-1667", "[card]"),
    ("5000 4111 1111 1111 1111", "5000 [card]"),
    ("010-1234-5678+82-2-123-4567", "[phone][phone]"),
    # As an input method writes it.
    ("９００１０１－１２３４５６７", "[rrn]"),
    ("홍길동 ９００１０１-1234567 님", "홍길동 [rrn] 님"),
    ("900101–1234567", "[rrn]"),
    ("900101ㅡ1234567", "[rrn]"),
    ("900101\u00a01234567", "[rrn]"),
    ("900101\u00a0–\u00a01234567", "[rrn]"),
    ("900101\u200b1234567", "[rrn]"),
    ("010·1234·5678", "[phone]"),
    ("０１０　１２３４　５６７８", "[phone]"),
    ("＋８２ 10 1234 5678", "[phone]"),
    ("+82–2–123–4567", "[phone]"),
    ("０２）123－4567", "[phone]"),
    ("+82（0）10-1234-5678", "[phone]"),
    ("02%29123-4567", "[phone]"),
    ("%2B82%280%2910-1234-5678", "[phone]"),
    ("4111\u20111111\u20111111\u20111111", "[card]"),
    ("3622 7206 2716–67", "[card]"),
    ("٩٠٠١٠١-١٢٣٤٥٦٧", "[rrn]"),
    ("𝟗𝟎𝟎𝟏𝟎𝟏𝟏𝟐𝟑𝟒𝟓𝟔𝟕", "[rrn]"),
    ("hong＠example．com", "[email]"),
    ("ｈｏｎｇ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[email]"),
    ("hong@example。co。kr", "[email]"),
    # As a URL holds it.
    ("%39%30%30%31%30%31-1234567", "[rrn]"),
    ("900101%2D1234567", "[rrn]"),
    ("900101%201234567", "[rrn]"),
    ("900101%20%E2%80%93%201234567", "[rrn]"),
    ("/%EA%B3%A0%EA%B0%9D/010%2d1234%2d5678/%2F", "/%EA%B3%A0%EA%B0%9D/[phone]/%2F"),
    ("%EF%BC%90%EF%BC%91%EF%BC%9012345678", "[phone]"),
    ("%2539%2530%2530%2531%2530%25311234567", "[rrn]"),
    ("%25252539001011234567", "[rrn]"),
    ("%25%33%39001011234567", "[rrn]"),
    ("hong%2540example.com", "[email]"),
    ("%68ong%40%65xample%2Ecom", "[email]"),
]
INNOCENT = [
    "매수",
    "20260102-0001234",
    "주문번호 2026010200012345",
    "260102000123",
    "O-900101-123456",
    "900101-12345678",
    "901301-1234567",
    "900132-1234567",
    "900101-9234567",
    "900101--1234567",
    "4111111111111112",
    "4111-1111-1111-1112",
    "2111111111111111",
    "1000000000",
    "10000000000",
    "1,000,000,000원",
    "1790000000",
    "16000000",
    "005930",
    "2026-01-02",
    "2026-01-02T03:04:05.678Z",
    "2026.01.02 15:30:00",
    "019b76da-c800-7000-8000-0000000000aa",
    "01012345-4111-4111-8111-010123456789",
    "4111aaaa-4111-4111-8111-411111111111",
    "192.168.100.200",
    "코스피 2,650.15 (-0.32%)",
    "10-20-30",
    "1588-1234",
    "@삼성전자",
    "v4.2.1",
    "900230-1234567",
    "900431-1234567",
    "2612221234567891",
    "2501010000000001",
    "2026-11-22 10:33:05",
    "20261122103305",
    "1,234,567",
    "1,234,567.89",
    "５００３００",
    "１００％",
    "%39%30",
    "%EA%B5%AD%EB%82%B4%20%EC%A3%BC%EC%8B%9D/005930",
    "100%25",
    "%",
    "%%%",
    "%E",
    "%EF%BC",
    "%FF%FE12345678",
    "ＫＢ증권 ＥＴＦ",
    "09:00–15:30",
    "2026–11–22",
    "3·1절",
    "5.12.0-rc.1+20261122",
    # Hashes: chance, and the whole customer depends on it.
    "ab9001011234567cdef0123456789abc",
    "9001011234567a9001011234567b9001011234567c9001011234567d9001011234567e"[:64],
]
NUMBERS = [(9001011234567, "[rrn]"), (4111111111111111, "[card]"), (4111111111111111.0, "[card]"), (821012345678, "[phone]"),
           (9001011234567.5, "[rrn]"), (-9001011234567, "-[rrn]"), (378282246310005, "[card]")]  # fmt: skip
INNOCENT_NUMBERS = [1000000000, 10_000_000_000, 71500, 1790000000, 0.32, 1e15, -5, True, None, 10**30, 1e300, 8210]


def bodies(value):
    """Return a value in a body: written compactly, with spaces, and with escapes; and as a key."""
    yield from (
        json.dumps({"events": [{"props": value}]}, ensure_ascii=False, separators=(",", ":")).encode(),
        json.dumps({"events": [{"props": [value]}]}, ensure_ascii=False).encode(),
        json.dumps({"events": [{"props": value}]}).encode(),
    )
    if isinstance(value, str):
        yield json.dumps({"events": [{"props": {value: 1}}]}, ensure_ascii=False).encode()


@pytest.mark.parametrize(("text", "masked"), PERSONAL)
def test_a_personal_number_is_masked_and_its_body_is_suspicious(text, masked):
    assert MASKER.text(text) == masked
    assert all(map(MASKER.suspicious, bodies(text)))


@pytest.mark.parametrize("text", INNOCENT)
def test_an_innocent_number_is_left_alone(text):
    assert MASKER.text(text) == text


@pytest.mark.parametrize(("number", "masked"), NUMBERS)
def test_a_personal_number_without_quotes_is_masked_and_its_body_is_suspicious(number, masked):
    assert MASKER.value({"값": [number]}) == {"값": [masked]}
    assert all(map(MASKER.suspicious, bodies(number)))


@pytest.mark.parametrize("number", INNOCENT_NUMBERS)
def test_an_innocent_number_without_quotes_keeps_its_value_and_type(number):
    masked = MASKER.value(number)
    assert masked == number
    assert type(masked) is type(number)


def test_milliseconds_near_now_are_a_time_and_no_resident_number():
    """Some of them have the form of one: there is no telling, and times are far more common."""
    now = time.time_ns() // 1_000_000
    for day in range(-399, 400):
        moment = str(now + day * DAY_MS)
        assert MASKER.text(moment) == moment
        assert not has_resident_number(moment)
        assert not any(map(MASKER.suspicious, bodies(int(moment))))


def test_masking_twice_changes_nothing():
    for text, masked in PERSONAL:
        assert MASKER.text(MASKER.text(text)) == masked


@pytest.mark.parametrize(
    "text", ["９", "국내주식 현재가 · 호가", "10–20대", "09:00–15:30", "ＫＢ증권", "%EA%B5%AD%EB%82%B4%20%EC%A3%BC"]
)
def test_what_has_no_number_is_returned_as_it_was_written(text):
    assert MASKER.text(text) == text


def encoded(text, times=1):
    """Percent-encode every byte; again and again only the sign itself."""
    return "".join("%" + "25" * (times - 1) + f"{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("char", [*SIGNS, *SEPARATORS])
def test_every_folded_character_is_folded_and_seen_however_it_is_encoded(char):
    plain = SIGNS.get(char) or SEPARATORS[char]
    for written in (char, encoded(char), encoded(char, 2), encoded(char).lower()):
        assert fold(written) == plain
        if plain in ("@", "0"):  # no 0th of January
            continue
        if plain in ("(", ")"):
            number = f"02{written}123-4567" if plain == ")" else f"+82{written}0)10-1234-5678"
        else:
            number = f"900101{written}1234567" if char in SEPARATORS else f"90010{written}1234567"
        assert MASKER.text(number) in ("[rrn]", "[phone]"), written
        assert all(map(MASKER.suspicious, bodies(number))), written


@pytest.mark.parametrize("char", UNSEEN)
def test_what_nobody_sees_parts_no_number_and_hides_none(char):
    for written in (char, encoded(char), encoded(char, 2), char * 3):
        number = f"900101{written}1234567"
        assert MASKER.text(number) == "[rrn]", written
        assert all(map(MASKER.suspicious, bodies(number))), written


def test_a_text_with_a_mask_keeps_its_lines_and_pictures():
    assert MASKER.text("\n줄 👨‍👩‍👧 1\n줄\n010\n1234\n5678\n") == "\n줄 👨‍👩‍👧 1\n줄\n[phone]\n"


def test_a_text_encoded_again_and_again_is_folded_in_linear_time():
    """Each level of encoding is taken off at once: thirty thousand of them are no work."""
    assert fold("%" + "25" * 15_000 + "39") == "9"


# Pieces that lie next to each other in every way: numbers of persons, what looks like them, and glue.
SEPARATOR = st.sampled_from(
    [
        "",
        "-",
        " ",
        ".",
        "--",
        "\n",
        "/",
        " - ",
        "+",
        "–",
        "\u00a0",
        "－",
        "\u00a0ㅡ ",
        "%20",
        "%2D",
        "\t",
        "  ",
        "   -  ",
        "+-+",
        "\r\n",
        "\n-\n",
        "\u3164",
        "\u200e-",
        "\ufe0f",
        "\u20e3",
        "\ufe0f\u20e3-",
        "\x00-",
        "\u2028",
        "%0A",
        "%E3%85%A4",
        "\ufffd",
        "\x7f",
        " \u200b\u200b ",
        "%20-%20",
        "%EF%B8%8F",
    ]
)
ACCOUNT_DASH = st.sampled_from(["-", "-", " - ", "–", "%2D", "\n-", "--", " "])
PLAIN_NUMBER = st.one_of(
    st.tuples(st.sampled_from(["900101", "051231", "180101"]), SEPARATOR, st.from_regex(r"[1-8][0-9]{6}", fullmatch=True)),
    st.tuples(st.just("4111"), SEPARATOR, st.just("1111"), SEPARATOR, st.just("1111"), SEPARATOR, st.just("1111")),
    st.tuples(st.sampled_from(["3782", "3714"]), SEPARATOR, st.sampled_from(["822463", "496353"]), SEPARATOR,
              st.sampled_from(["10005", "98431"])),
    st.tuples(st.just("6200"), SEPARATOR, st.just("0000"), SEPARATOR, st.just("0000"), SEPARATOR, st.just("0000"), SEPARATOR,
              st.just("000")),
    st.tuples(st.sampled_from(["010", "+82 10", "82-10", "+8210", "8210", "011", "+82-010", "010)", "+82(0)10", "+82 (0)10"]), SEPARATOR,
              st.from_regex(r"[0-9]{3,4}", fullmatch=True), SEPARATOR, st.from_regex(r"[0-9]{4}", fullmatch=True)),
    st.tuples(st.sampled_from(["02", "031", "+82 2", "+8231", "070", "0507", "+82(0)2"]), st.sampled_from(["-", " ", ".", ")", ") "]),
              st.from_regex(r"[0-9]{3,4}", fullmatch=True), st.sampled_from(["-", " ", "."]),
              st.from_regex(r"[0-9]{4}", fullmatch=True)),
    st.tuples(st.sampled_from(["0082", "(+82)", "(82)", "+ 82", "82", "(0082)"]), SEPARATOR, st.sampled_from(["10", "(0)10", "2", "(10)", "070", "50"]),
              SEPARATOR, st.from_regex(r"[0-9]{7,8}", fullmatch=True)),
    st.tuples(st.sampled_from(["070", "0507", "02", "2026-02"]), SEPARATOR, st.from_regex(r"[0-9]{7,8}", fullmatch=True)),
    st.tuples(st.from_regex(r"[0-9]{3}|[0-9]{4}|[0-9]{6}", fullmatch=True), ACCOUNT_DASH, st.from_regex(r"[0-9]{2,4}|[0-9]{6}", fullmatch=True), ACCOUNT_DASH,
              st.from_regex(r"[0-9]{2,7}", fullmatch=True), st.sampled_from(["", "-01", "-012", "–1"])),
    st.tuples(st.sampled_from(["hong@example.co.kr", "h%40b.kr", "@", "a@b"])),
).map("".join)  # fmt: skip


def disguised(text, how, which):
    """Write some of the characters in another way."""
    return "".join(how(char) if which >> place % 32 & 1 else char for place, char in enumerate(text))


def full_width(char):
    return chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char


PERSONAL_NUMBER = st.one_of(
    PLAIN_NUMBER,
    st.builds(
        disguised,
        PLAIN_NUMBER,
        st.sampled_from(
            [
                full_width,
                encoded,
                lambda char: encoded(char, 2),
                lambda char: encoded(encoded(char)),
                lambda char: encoded(full_width(char)).lower(),
                lambda char: chr(ord(char) - ord("0") + 0x0660) if char.isdecimal() and char.isascii() else char,
            ]
        ),
        st.one_of(st.just(2**32 - 1), st.integers(0, 2**32 - 1)),
    ),
)
LOOKALIKE = st.one_of(
    st.uuids().map(str),
    st.from_regex(r"[0-9]{8}-[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{12}", fullmatch=True),
    st.integers(-399, 399).map(lambda day: str(time.time_ns() // 1_000_000 + day * DAY_MS)),
    st.text("0123456789-. +", max_size=45),
)
GLUE = st.sampled_from(
    [
        "",
        " ",
        "-",
        ".",
        "홍길동 ",
        "님",
        "a",
        "f",
        "0",
        "9",
        "\b",
        "\f",
        "\n",
        "\t",
        '"',
        "\\",
        "/",
        "\u2028",
        "_",
        ",",
        "–",
        "９",
        "\u00a0",
        "·",
        "%",
        "%20",
        "%25",
        "%3",
        "\t",
        "+",
        "２",
        "(",
        ")",
        "%EA%B0%80",
        "a9",
        "\u200b",
        "\ufe0f",
        "\x00",
        "）",
        "(0)",
        "%29",
    ]
)
TEXT = st.lists(st.one_of(PERSONAL_NUMBER, LOOKALIKE, GLUE), min_size=1, max_size=7).map("".join)


@settings(max_examples=600, deadline=None, database=None)
@given(TEXT)
@example("\b01999999-4111-1111-1111-111111111111")
@example("019b76da-c800-7000-8000-0000000000aa-4111-1111-1111-1111")
@example("4111-1801011234567")
@example("010)–0000000")
@example("+82(0)–10-1234-5678")
@example("＋82 2-000-0000")
def test_whatever_would_be_masked_makes_its_body_suspicious(text):
    """Else an event would be masked or not by the company it keeps, and a second try would be another event."""
    if MASKER.text(text) != text:
        for body in bodies(text):
            assert MASKER.suspicious(body), body
            assert ACCOUNT_MASKER.suspicious(body), body


@settings(max_examples=300, deadline=None, database=None)
@given(TEXT)
@example("0100000000+822.000.0000")
@example("9001.8210000.3000.32171223640005")
def test_a_mask_leaves_nothing_that_another_would_find(text):
    """One number beside another hides neither."""
    masked = MASKER.text(text)
    assert MASKER.text(masked) == masked


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.one_of(
        st.integers(10**10, 10**19),
        st.integers(10**10, 10**19).map(float),
        st.sampled_from([4111111111111111, 9001011234567, 821012345678]).map(float),
        st.just(9001011234560),
        st.tuples(st.integers(10**12, 10**13), st.integers(1, 9)).map(lambda t: float(f"{t[0]}.{t[1]}")),
    )
)
def test_whatever_number_would_be_masked_makes_its_body_suspicious(number):
    if MASKER.value(number) != number:
        for body in bodies(number):
            assert MASKER.suspicious(body), body
        # As other languages write it.
        assert MASKER.suspicious(f'{{"a":{number:.16e}}}'.encode())
        for digits in range(1, 12):
            assert MASKER.suspicious(f'{{"a":[1, {number / 10**digits:.20f}E{digits}]}}'.encode())
            if number % 10**digits == 0:
                assert MASKER.suspicious(f'{{"a": {int(number) // 10**digits}e{digits}}}'.encode())


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(TEXT, min_size=2, max_size=6))
def test_a_body_with_one_personal_number_among_others_is_suspicious(texts):
    if any(MASKER.text(text) != text for text in texts):
        body = json.dumps({"events": [{"click_text": text} for text in texts]}, ensure_ascii=False).encode()
        assert MASKER.suspicious(body)


URL = st.lists(
    st.sampled_from(
        ["https://m.example.co.kr", "/", "?", "#", "&", ";", "=", "q=가", "page=2", "utm_source=n", '"', "\\", " "]
    ),
    max_size=8,
).map("".join)


@settings(max_examples=200, deadline=None, database=None)
@given(st.sampled_from(["page_url", "referrer", "error_page"]), URL)
def test_a_url_that_would_lose_a_query_value_makes_its_body_suspicious(field, url):
    if MASKER.without_query_values(url) != url:
        for body in (json.dumps({field: url}, ensure_ascii=False), json.dumps({field: url}, separators=(",", ":"))):
            assert MASKER.suspicious(body.encode())


@pytest.mark.parametrize(
    ("url", "filtered"),
    [
        ("https://a.kr/b?q=홍길동", "https://a.kr/b?q="),
        ("https://a.kr/b?q=1&page=2&Page=3", "https://a.kr/b?q=&page=2&Page=3"),
        ("https://a.kr/b?utm_x=1&gclid=2&n_ad=3&fbclid=4", "https://a.kr/b?utm_x=1&gclid=2&n_ad=3&fbclid=4"),
        ("https://a.kr/b#access_token=abc&x=1", "https://a.kr/b#access_token=&x="),
        ("https://a.kr/#/path?id=7", "https://a.kr/#/path?id="),
        ("https://a.kr/b;jsessionid=AB", "https://a.kr/b;jsessionid="),
        ("https://a.kr/b?next=https://c.kr/?d=e", "https://a.kr/b?next="),
        ("https://a.kr/b?a=b=c", "https://a.kr/b?a="),
        ("https://a.kr/b?utm%5Fsource=1", "https://a.kr/b?utm%5Fsource=1"),
        ("https://a.kr/b?a=1?utm_source=n&b=2", "https://a.kr/b?a=?utm_source=n&b="),
        ("https://a.kr/b?next=https://c.kr/?utm_source=e", "https://a.kr/b?next="),
        ("https://a.kr/b?q=a?b&utm_source=n", "https://a.kr/b?q=&utm_source=n"),
        ("https://a.kr/b&utm_source=n&c=d", "https://a.kr/b&utm_source=n&c="),
        ("https://a.kr/b?x=1;pin=900101", "https://a.kr/b?x=;pin="),
        ("https://a.kr/b?x=1;900101", "https://a.kr/b?x="),
        ("https://a.kr/b#utm_source=n&token=1", "https://a.kr/b#utm_source=n&token="),
        ("https://a.kr/b?utm_source%3Dn%26utm_medium%3Dm", "https://a.kr/b?utm_source=n&utm_medium=m"),
        ("https://a.kr/b", "https://a.kr/b"),
        ("https://a.kr/b?", "https://a.kr/b?"),
        ("", ""),
    ],
)
def test_query_values_are_dropped_unless_allowed_by_name(url, filtered):
    assert MASKER.without_query_values(url) == filtered


def test_the_firm_s_account_patterns_are_masked_and_make_a_body_suspicious():
    masker = Masker(account_patterns=[r"[0-9]{3}-[0-9]{2}-[0-9]{6}", r"계좌 ?[0-9]{8}"])
    for text, masked in [("123-45-678901", "[account]"), ("내 계좌 12345678 잔고", "내 [account] 잔고")]:
        assert masker.text(text) == masked
        assert all(map(masker.suspicious, bodies(text)))
    assert not any(map(masker.suspicious, list(bodies("12-345-678901"))[:2]))


def test_an_account_pattern_that_lies_in_a_uuid_makes_a_body_suspicious_too():
    masker = Masker(account_patterns=[r"7000-8000-[0-9]{6}"])
    text = "019b76da-c800-7000-8000-0000000000aa"
    assert masker.text(text) != text
    assert all(map(masker.suspicious, bodies(text)))


def ordinary_body(seed):
    """Return 50 events as an SDK sends them: ids, times, prices and quantities of every kind."""
    chance = random.Random(seed)
    now = time.time_ns() // 1_000_000 + chance.randrange(-300, 300) * DAY_MS

    def uuid7():
        return str(uuid.UUID(int=now << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62)))

    events = [
        {
            "event_id": uuid7(),
            "time": now + i,
            "seq": i + 1,
            "event_type": "click",
            "anonymous_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "page_url": "https://m.example.co.kr/trade/order",
            "click_text": "매수 주문하기",
            "props": {
                "종목코드": "005930",
                "단가": chance.randrange(10**6),
                "금액": chance.randrange(10**9),
                "수익률": chance.random(),
            },
        }
        for i in range(50)
    ]
    return json.dumps({"sent_at": now, "events": events}, ensure_ascii=False, separators=(",", ":")).encode()


def test_an_ordinary_body_is_not_suspicious():
    """A closer look costs ten times as much: ids and times alone must not bring it about."""
    suspicious = [seed for seed in range(300) if MASKER.suspicious(ordinary_body(seed))]
    assert not suspicious


def test_times_that_are_stepped_over_together_hide_nothing():
    """Milliseconds of 2027 look like resident numbers now and then; so does a number of the same hours beside them."""
    now = time.time_ns() // 1_000_000
    moments = [m for m in (now + hours * 3_600_000 for hours in range(-9_000, 9_000)) if has_form_of_resident(str(m))]
    for moment in random.Random(1).sample(moments, min(50, len(moments))):
        events = [{"time": moment + n, "click_text": "매수"} for n in range(50)]
        number = f"{str(moment)[:6]}-{str(moment)[6:]}"
        for separators in ((",", ":"), (", ", ": ")):

            def dumped(*more, separators=separators, events=events):
                batch = {"events": [*events, *more, *events]}
                return json.dumps(batch, ensure_ascii=False, separators=separators).encode()

            assert not MASKER.suspicious(dumped())
            for text in (number, f'"time":{number}', f'{{"time": {number}}}', f"010-{number}"):
                assert MASKER.suspicious(dumped({"click_text": text})), text


def has_form_of_resident(digits):
    return re.fullmatch(r"\d\d(0[1-9]|1[0-2])(0[1-9]|1\d|2[0-8])[1-8]\d{6}", digits) is not None


def test_a_body_full_of_lookalikes_is_looked_at_closely_rather_than_for_ever():
    body = json.dumps([f"4111aaaa-4111-4111-8111-{n:012}" for n in range(5_000)]).encode()
    assert MASKER.suspicious(body)


@pytest.mark.parametrize("text", ["고객-900101-1234567", "9001011234567", "900101.1234567", "s 900101 1234567"])
def test_an_identifier_with_a_resident_number_is_known_and_its_body_suspicious(text):
    assert has_resident_number(text)
    assert all(map(MASKER.suspicious, bodies(text)))


@settings(max_examples=200, deadline=None, database=None)
@given(TEXT)
def test_an_identifier_that_is_refused_is_kept_masked(text):
    """What is kept of a refused event must not hold the number it was refused for."""
    if has_resident_number(text):
        assert not has_resident_number(MASKER.text(text))
        assert all(map(MASKER.suspicious, bodies(text)))


def test_keys_and_values_of_every_depth_are_masked():
    assert MASKER.value({"hong@a.kr": [{"가": ["010-1234-5678"]}]}) == {"[email]": [{"가": ["[phone]"]}]}


def test_a_mask_is_never_suspicious_itself():
    for mask in sorted({m for _, text in PERSONAL for m in re.findall(r"\[\w+\]", text)}):
        assert not any(map(MASKER.suspicious, list(bodies(mask))))


def test_a_user_agent_header_is_masked_and_made_storable_before_the_disk():
    """A header is text of the client's like any other; its bytes need not even be UTF-8."""
    stored = _stored_user_agent(MASKER, "App/1.0 900101-1234567 a@b.kr \udcff " + "x" * 2000)
    assert stored.startswith("App/1.0 [rrn] [email] ? xxx")
    assert len(stored) <= 1024
    assert "900101" not in _stored_user_agent(MASKER, "x" * 1010 + " 900101-1234567")
    assert "1234" not in _stored_user_agent(MASKER, "x" * 1010 + " 010-1234-567890")


@pytest.mark.parametrize(
    "piece", ["a@", "a@b.", "@", "1-", "900101 ", "9\ufe0f\u20e3", "?utm_source=", "&a=", "%25", "4111 "]
)
def test_a_hostile_text_is_masked_in_linear_time(piece):
    """Were it quadratic, it would be minutes."""
    text = piece * (200_000 // len(piece))
    assert MASKER.text(MASKER.text(text)) == MASKER.text(text)
    MASKER.url(MASKER.without_query_values("https://a.kr/" + text))
