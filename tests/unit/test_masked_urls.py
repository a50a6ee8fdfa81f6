"""Door and processor read an address in one way: what is read of a masked one would not be masked again."""

import json
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector_server.decode import BatchDecoder
from collector_server.mask import Masker
from collector_server.settings import CollectorSettings
from contract.click_ids import CLICK_ID_NAMES
from contract.event import decode_stored_batch
from contract.urls import UTM_NAMES, parse_page_url, parse_referrer, pieces_of

MASKER = Masker(CollectorSettings().query_values_kept)
DECODER = BatchDecoder(MASKER, 1_000)
EVENT = {"event_id": "019b76da-c800-7000-8000-0000000000aa", "time": 1_790_000_000_000, "event_type": "page_view"}


def stored(**fields):
    """Send one event through the door; return what is stored of it, whatever the road."""
    decoded = DECODER.decode(json.dumps({"events": [{**EVENT, **fields}]}, ensure_ascii=False).encode())
    assert not decoded.rejects
    (event,) = decode_stored_batch(decoded.body).events
    return event


def columns(event):
    """Return every column that the processor derives from the stored addresses."""
    page = msgspec.to_builtins(parse_page_url(event.page_url or ""))
    return {**page, "referrer_host": parse_referrer(event.referrer or "")}


def lines(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


PARTS = st.sampled_from([
    ["900101", "1234567"], ["9001", "011234567"], ["90010112345", "67"], ["900101123456", "7"], ["4111", "1111", "1111", "1111"],
    ["41111111", "11111111"], ["010", "1234", "5678"], ["01012", "345678"], ["+82", "10", "1234", "5678"], ["02", "1234", "5678"],
    ["0507", "1234", "5678"], ["hong", "@naver.com"], ["hong@", "naver.com"], ["hong@naver", ".com"], ["110", "-234-", "567890"], ["a"],
])  # fmt: skip
SEPARATORS = st.sampled_from([
    "", "\n", "\r\n", "\t", " ", "  ", "-", " - ", "+", "+-+", "%0A", "%0D%0A", "%09", "%20", "%2D", "%00", "%01", "%7F", "%2B", "%250A",
    "%25", "%E3%85%A4", "%E2%80%8E", "%EF%B8%8F", "\u3164", "\u200e", "\ufe0f", "%C2%A0", "&", ";", "?", "#", "/", "%2F", "\\", "%5C", "=",
    "%3D", "%26", "%3F", "%23", "%3B", "&amp;", ";jsessionid=1F", ".", "%2E", "%C1%D6", "%E", "%80", "\0",
])  # fmt: skip
HOW = st.sampled_from(
    [str, str, quote, quote_plus, lines, lambda text: lines(lines(text)), lambda text: text.replace("%", "%25")]
)
NUMBER = st.builds(lambda parts, separator, how: how(separator.join(parts)), PARTS, SEPARATORS, HOW)
NAME = st.sampled_from(
    [
        *UTM_NAMES,
        *CLICK_ID_NAMES,
        "utm%5Fterm",
        "UTM_Source",
        "page",
        "q",
        "a",
        "+utm_term",
        "utm_term%20",
        "amp;utm_source",
        "utm_x",
    ]
)
PIECE = st.one_of(
    NUMBER,
    st.builds("{}={}".format, NAME, st.one_of(NUMBER, st.builds("{}{}".format, NUMBER, NUMBER))),
    st.sampled_from(["가", "%EA%B0%80", "%EA%B0%8", "1", "x", "utm_source=naver", "utm_source%3Dn", "9", "%"]),
)
BEGIN = st.sampled_from(
    ["https://m.firm.kr/", "https://m.firm.kr", "https://user:pw@m.firm.kr/a/", "/", "", "mts://order/", "android-app://com.kakao.talk/",
     "https://hong@m.firm.kr:8080/", "//m.firm.kr/", "https://010-1234-5678.kr/", "about:"]
)  # fmt: skip
CUT = st.sampled_from(["/", "?", "&", "#", "#/", "#!/", ";", "", "%3F", "\n", "&amp;", "%0A", "+", "-"])
URL = st.builds(
    lambda begin, pieces: begin + "".join(cut + piece for cut, piece in pieces),
    BEGIN,
    st.lists(st.tuples(CUT, PIECE), min_size=1, max_size=5),
)


@settings(max_examples=1_500, deadline=None, database=None)
@given(URL)
@example("https://firm.kr/?utm_term=900101%0A1234567")
@example("https://firm.kr/?utm_term=900101+-+1234567")
@example("https://firm.kr/?utm_content=4111%0A1111%0A1111%0A1111")
@example("https://firm.kr/a/900101\n1234567")
@example("https://firm.kr/?utm_source=hong\t@naver.com")
@example("https://firm.kr/?utm_term=9001%0A011234567")
@example("https://firm.kr/%EA%B0%804111111111111111")
@example("https://firm.kr/?gclid=010%00-1234-5678")
def test_what_is_read_of_a_masked_url_would_not_be_masked_again(url):
    event = stored(page_url=url, referrer=url, error_page=url)
    for name, value in columns(event).items():
        assert value is None or MASKER.text(value) == value, (name, event.page_url)
    for text in (event.page_url, event.referrer, event.error_page):
        assert MASKER.text(text) == text
        assert MASKER.without_query_values(text) == text


@settings(max_examples=500, deadline=None, database=None)
@given(URL)
def test_an_address_is_stored_alike_whatever_the_company_it_keeps(url):
    alone = stored(page_url=url)
    beside = stored(page_url=url, click_text="hong@example.com")
    assert alone.page_url == beside.page_url


@settings(max_examples=300, deadline=None, database=None)
@given(st.one_of(URL, st.text(max_size=60)))
def test_the_pieces_are_the_address(url):
    plain = url.replace("\n", "").replace("\r", "").replace("\t", "")
    assert "".join(map(str, pieces_of(url))) == plain or "%3D" in plain.upper()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://firm.kr/?a=1?utm_source=naver&utm_medium=cpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/?a=1&b?utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/?utm_source=naver?utm_medium=cpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/#utm_source=naver&utm_medium=cpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/#?utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/#top?utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/#top&utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/#/order?utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/#/order&utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/?utm%5Fsource=naver&utm%5fmedium=cpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/?%75tm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/&utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/a%3Futm_source=naver&utm_medium=cpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/?utm_source%3Dnaver%26utm_medium%3Dcpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/?x=1&amp;utm_source=naver&amp;utm_medium=cpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/?x=1;utm_source=naver;utm_medium=cpc", {"utm_source": "naver", "utm_medium": "cpc"}),
        ("https://firm.kr/?utm_content=a;b&utm_source=naver", {"utm_content": "a;b", "utm_source": "naver"}),
        ("https://firm.kr/??utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/?&utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/? utm_source = naver", {"utm_source": "naver"}),
        ("https://firm.kr/?utm_source=nav\ner", {"utm_source": "naver"}),
        ("https://firm.kr/?" + "aaa=1&" * 700 + "utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/" + "a/" * 1_100 + "?utm_source=naver", {"utm_source": "naver"}),
        ("https://firm.kr/?fbclid=" + "f" * 2_000 + "&utm_source=naver", {"utm_source": "naver", "ad_click_id": "fbclid:" + "f" * 249}),
        ("https://firm.kr/?utm_source=naver&next=https://c.kr/?utm_source=e", {"utm_source": "naver"}),
        ("https://firm.kr/?next=https%3A%2F%2Fc.kr%2F%3Futm_source%3De", {}),
        ("https://firm.kr/?next=https://c.kr/?utm_source=e", {}),
    ],
)  # fmt: skip
def test_a_campaign_is_not_lost_however_it_is_tagged(url, expected):
    event = stored(page_url=url)
    found = {
        name: value for name, value in columns(event).items() if value and name not in ("host", "path", "referrer_host")
    }
    lifted = {name: getattr(event, name) for name in (*UTM_NAMES, "ad_click_id") if getattr(event, name)}
    assert {**found, **lifted} == expected


def test_what_is_lifted_from_a_cut_address_hides_no_field_of_the_event_s_own():
    event = stored(
        page_url="https://firm.kr/?" + "aaa=1&" * 700 + "utm_source=naver&utm_term=hong@naver.com", utm_source="own"
    )
    assert (event.utm_source, event.utm_term) == ("own", "[email]")
    assert set(event.flags) == {"masked", "truncated"}


def test_who_logs_in_by_the_address_is_no_part_of_it():
    event = stored(page_url="https://hong:secret@firm.kr/a")
    assert (event.page_url, event.flags) == ("https://firm.kr/a", ["masked"])


@pytest.mark.parametrize(
    "longer",
    ["41111111111111112222", "411111111111111122223333", "010-1234-567890", "9001011234567890", "110-234-5678901", "hong@com.png",
     "900101-1234567", "010-1234-5678", "hong@example.computer", "4111 1111 1111 1111 2222 3333", "a@b.kr"],
)  # fmt: skip
def test_what_a_cut_leaves_of_a_number_is_none(longer):
    """Neither half of a masked number nor another that was none while it was longer."""
    for left in range(1, len(longer) + 1):
        for field, limit in (("click_text", 256), ("error_message", 1_024), ("utm_term", 256)):
            text = getattr(stored(**{field: "x" * (limit - left - 1) + " " + longer}), field)
            assert MASKER.text(text) == text
            assert "900101-" not in text
        for url in (
            "/" + "x" * (2_048 - left - 2) + "/" + longer,
            "/?utm_term=" + "x" * (256 - left - 1) + "+" + longer,
            "/?gclid=" + "x" * (256 - len("gclid:") - left - 1) + "-" + longer,
        ):
            event = stored(page_url=url, error_page=url)
            for name, text in {**columns(event), "page_url": event.page_url, "error_page": event.error_page}.items():
                assert text is None or MASKER.text(text) == text, name
