"""Taking addresses apart: pages, app screens, campaigns, and whatever else clients send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.click_ids import CLICK_ID_NAMES
from processor.enrich import PageUrl, parse_page_url, parse_referrer


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://www.firm.co.kr/order/buy", "www.firm.co.kr", "/order/buy"),
        ("https://WWW.Firm.co.KR", "www.firm.co.kr", "/"),
        ("https://firm.kr:443/a", "firm.kr", "/a"),
        ("http://firm.kr:80/a", "firm.kr", "/a"),
        ("https://firm.kr:8443/a", "firm.kr:8443", "/a"),
        ("https://user:secret@firm.kr/a", "firm.kr", "/a"),
        ("https://firm.kr./a", "firm.kr", "/a"),
        ("//firm.kr/a", "firm.kr", "/a"),
        ("https://xn--bj0bj06e.kr/", "xn--bj0bj06e.kr", "/"),
        ("https://한글.kr/", "한글.kr", "/"),
        ("http://[::1]:8080/a", "[::1]:8080", "/a"),
        ("https:\\\\firm.kr\\a", "firm.kr", "/a"),
        (" https://firm.kr/a\n", "firm.kr", "/a"),
        # readable, and no more than readable
        ("https://firm.kr/%EC%A3%BC%EC%8B%9D/%EB%A7%A4%EC%88%98", "firm.kr", "/주식/매수"),
        ("https://firm.kr/%ec%a3%bc", "firm.kr", "/주"),
        ("https://firm.kr/%C1%D6%BD%C4", "firm.kr", "/%C1%D6%BD%C4"),
        ("https://firm.kr/%EC%A3%BC%EC%8B", "firm.kr", "/주%EC%8B"),
        ("https://firm.kr/a%2Fb%00c%2541", "firm.kr", "/a%2Fb%00c%41"),
        ("https://firm.kr/100%", "firm.kr", "/100%"),
        ("https://firm.kr/order.do;jsessionid=1F2E.node1?x=1", "firm.kr", "/order.do"),
        ("https://firm.kr/a?b=/c#d", "firm.kr", "/a"),
        ("/a?b", None, "/a"),
        ("a/b.do", None, "/a/b.do"),
        ("?utm_source=x", None, "/"),
        ("", None, "/"),
        ("-", None, "/"),
        # routes of single-page apps
        ("https://firm.kr/#/order/buy", "firm.kr", "/#/order/buy"),
        ("https://firm.kr/docs/#/", "firm.kr", "/docs/"),
        ("https://firm.kr/docs/#/?id=install", "firm.kr", "/docs/"),
        ("https://firm.kr/docs/?x=1#/", "firm.kr", "/docs/"),
        ("https://firm.kr/docs/#/guide?id=install", "firm.kr", "/docs/#/guide"),
        ("https://firm.kr/docs/#/guide/", "firm.kr", "/docs/#/guide/"),
        ("https://firm.kr/docs#!/", "firm.kr", "/docs"),
        ("https://firm.kr/#/", "firm.kr", "/"),
        ("https://firm.kr#/", "firm.kr", "/"),
        ("https://firm.kr/a;jsessionid=1#/", "firm.kr", "/a"),
        ("https://firm.kr/m#!/order?code=005930", "firm.kr", "/m#!/order"),
        ("https://firm.kr/#%EC%A3%BC", "firm.kr", "/"),
        ("https://firm.kr/#/%EC%A3%BC", "firm.kr", "/#/주"),
        # apps
        ("mts://home/M0301", None, "/home/M0301"),
        ("mts://M0301", None, "/M0301"),
        ("mts://M0301.do?x=1", None, "/M0301.do"),
        ("mts:///M0301", None, "/M0301"),
        ("mts://m.firm.kr/M0301", "m.firm.kr", "/M0301"),
        ("capacitor://localhost/order", "localhost", "/order"),
        ("file:///android_asset/www/index.html", None, "/android_asset/www/index.html"),
        ("android-app://com.kakao.talk/", "com.kakao.talk", "/"),
        # nonsense
        ("about:blank", None, "/"),
        ("javascript:void(0)", None, "/"),
        ("data:text/html,<p>900101-1234567", None, "/"),
        ("http://", None, "/"),
        ("http:///a", None, "/a"),
        ("http://exa mple/a", None, "/a"),
        ("http://a%00b/c", None, "/c"),
        ("http://[::1/c", None, "/c"),
        ("http://.../c", None, "/c"),
        ("http://firm.kr:port/c", None, "/c"),
        ("http://" + "a" * 256 + "/c", None, "/c"),
        ("😀", None, "/😀"),
        ("a\0b\tc", None, "/a\ufffdbc"),
    ],
)
def test_host_and_path(url, host, path) -> None:
    page = parse_page_url(url)
    assert (page.host, page.path) == (host, path)


def test_campaign_is_read_from_the_query() -> None:
    page = parse_page_url(
        "https://firm.kr/?utm_source=naver&utm_medium=cpc&utm_campaign=%EC%97%AC%EB%A6%84+%EC%9D%B4%EB%B2%A4%ED%8A%B8"
        "&utm_term=%EC%A3%BC%EC%8B%9D%2F%ED%8E%80%EB%93%9C&utm_content=a%3Db&other=x"
    )
    assert page == PageUrl(
        host="firm.kr",
        utm_source="naver",
        utm_medium="cpc",
        utm_campaign="여름 이벤트",
        utm_term="주식/펀드",
        utm_content="a=b",
    )


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("utm_source=a&utm_source=b", "a"),
        ("utm_source=&utm_source=b", "b"),
        ("utm_source", None),
        ("utm_source=%20", None),
        ("UTM_Source=a", "a"),
        ("x=1&amp;utm_source=a", "a"),
        ("utm_source=%EA%B0%80%EB%82", "가%EB%82"),
        ("utm_source=%C1%D6%BD%C4", "%C1%D6%BD%C4"),
        ("utm_source=a%00b", "a\ufffdb"),
        ("utm_source=a%0D%0Ab", "ab"),
        ("utm_source=a=b", "a=b"),
        ("utm_source=" + "가" * 300, "가" * 256),
        ("xutm_source=a", None),
    ],
)
def test_first_usable_value_of_a_name_counts(query, source) -> None:
    assert parse_page_url("https://firm.kr/?" + query).utm_source == source
    assert parse_page_url("/?" + query).utm_source == source
    assert parse_page_url("mts://home/?" + query).utm_source == source


def test_query_of_a_route_counts_after_the_real_one() -> None:
    page = parse_page_url("https://firm.kr/?utm_source=a#/order?utm_source=b&utm_medium=c&gclid=d")
    assert (page.utm_source, page.utm_medium, page.ad_click_id) == ("a", "c", "gclid:d")


@pytest.mark.parametrize(
    ("query", "click"),
    [
        *((f"{name}=Ab1", f"{name}:Ab1") for name in CLICK_ID_NAMES),
        ("fbclid=f&gclid=g", "gclid:g"),
        ("n_query=%EC%A3%BC%EC%8B%9D&n_rank=1&n_ad=nad-a001-01", "n_ad:nad-a001-01"),
        ("napm=ci%3D1%7Ctr%3Dgfa", "NaPm:ci=1|tr=gfa"),
        ("GCLID=g", "gclid:g"),
        ("gclid=", None),
        ("igshid=someone", None),
        ("gclid=" + "g" * 300, "gclid:" + "g" * 250),
    ],
)
def test_click_id_carries_its_name(query, click) -> None:
    assert parse_page_url("https://firm.kr/?" + query).ad_click_id == click


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://m.search.naver.com/search.naver?query=x", "m.search.naver.com"),
        ("android-app://com.google.android.gm/", "com.google.android.gm"),
        ("https://www.google.co.kr:443/", "www.google.co.kr"),
        ("/relative", None),
        ("mts://home/M0301", None),
        ("-", None),
        ("", None),
        ("http://\\xe4\\xe5.\\xf0/x", None),
    ],
)
def test_referrer_is_a_host_or_nothing(url, host) -> None:
    assert parse_referrer(url) == host


def check(url: str) -> None:
    """Hold one answer to what the module promises of every answer."""
    page = parse_page_url(url)
    assert page.host == parse_referrer(url)
    assert page.host is None or 0 < len(page.host) <= 255
    assert page.path.startswith("/")
    assert len(page.path) <= 2048
    for value in (
        page.utm_source,
        page.utm_medium,
        page.utm_campaign,
        page.utm_term,
        page.utm_content,
        page.ad_click_id,
    ):
        assert value is None or 0 < len(value) <= 256
    for text in (page.host, page.path, page.utm_source, page.ad_click_id):
        assert text is None or not any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in text)


@given(st.text(st.characters(), max_size=300))
def test_any_text_has_an_answer(url) -> None:
    check(url)


@given(
    st.lists(
        st.sampled_from(
            ["http", "https", "mts", "android-app", ":", "//", "/", "\\", "?", "#", "!", "@", "&", "amp;", "=", "+", ";jsessionid=",
             "%EA%B0%80", "%ED", "%00", "%", "%2F", "utm_source", "gclid", "NaPm", "firm.kr", "[", "]", ".", "한글", "😀", "\0", "\ud800", " "]
        ),
        max_size=40,
    ).map("".join)
)  # fmt: skip
def test_any_mixture_of_delimiters_has_an_answer(url) -> None:
    check(url)


@pytest.mark.parametrize(
    "piece",
    ["a", "%ED", "%ED%95%9C", "/", ":", "@", "#/", "?", "&utm_source=가", ";jsessionid=", "\\", "\0", "😀", "[", ".", "http://"],
)  # fmt: skip
def test_very_long_addresses_are_bounded_work(piece) -> None:
    check(piece * (100_000 // len(piece)))
    check("https://firm.kr/" + piece * (100_000 // len(piece)))
    check("https://" + piece * (100_000 // len(piece)))
