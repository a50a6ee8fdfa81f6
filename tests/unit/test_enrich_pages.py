"""The page dictionary's file: what Excel and editors make of it, and what a bad one says."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import RuleFileBroken, SettingsError
from processor.enrich import Page, parse_pages

HEADER = "page_code,page_name,menu_group\n"
TEXT = HEADER + "M0301,국내주식 현재가,국내주식\nM0405,주문,\n"
PAGES = (Page("M0301", "국내주식 현재가", "국내주식"), Page("M0405", "주문", None))


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("cp949"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.rstrip("\n").encode(),
        unicodedata.normalize("NFD", TEXT).encode(),
        (TEXT + ",,\n\n").encode(),
        TEXT.replace("M0301,", ' M0301 ,"').replace("가,국", '가",국').encode(),
        "Menu_Group,since,PAGE_CODE,page_name\n국내주식,2020,M0301,국내주식 현재가\n,,M0405,주문\n".encode(),
    ],
    ids=["utf-8", "with a mark", "cp949", "windows", "no last line end", "macOS", "empty lines", "quotes", "columns"],
)
def test_the_ways_to_save_it(data):
    assert parse_pages(data, "pages.csv") == PAGES


def test_a_quoted_text_may_hold_commas_and_quotes():
    [page] = parse_pages((HEADER + 'M1,"주문, ""빠른""",a').encode(), "pages.csv")
    assert page.page_name == '주문, "빠른"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the header must name page_code, page_name, menu_group, each once; page_code is not"),
        ("M0301,주문,주식\n", "line 1: the header must name"),
        ("page_code,page_name,menu_grp\nM1,a,b\n", "line 1: the header must name page_code, page_name, menu_group, each once; menu_group is not"),
        ("page_code,page_name,menu_group,page_name\n", "line 1: the header must name page_code, page_name, menu_group, each once; page_name is not"),
        (HEADER, "line 2: no page follows the header"),
        (HEADER + "M1,a,b\nM2,a\n", "line 3: 2 cells under a header of 3"),
        (HEADER + "M1,a,b\nM2,a,b,c\n", "line 3: 4 cells under a header of 3; put quotes around a text with commas"),
        (HEADER + "M1,a,b\n\n,a,b\n", "line 4: page_code is empty"),
        (HEADER + "M1, ,b\n", "line 2: page_name is empty"),
        (HEADER + "M1,a,b\nM2,a,b\nM1,c,d\n", "line 4: page_code 'M1' stands in line 2 too"),
        (HEADER + f"{'M' * 65},a,b\n", "line 2: page_code is longer than 64 characters"),
        (HEADER + f"M1,{'가' * 257},b\n", "line 2: page_name is longer than 256 characters"),
        (HEADER + 'M1,"a\nb",c\nM2,d,e\n', "line 2: page_name holds a control character or a line break"),
        (HEADER + "M1,a\0b,c\n", "line 2: page_name holds a control character"),
        (HEADER + 'M1,a,b\nM2,"a,b\nM3,a,b\n', "line 3: not CSV: unexpected end of data"),
        (HEADER + 'M1,"a"b,c\n', "line 2: not CSV: "),
    ],
)  # fmt: skip
def test_a_bad_file_says_line_and_reason(text, says):
    with pytest.raises(RuleFileBroken) as caught:
        parse_pages(text.encode(), "pages.csv")
    assert str(caught.value).startswith(f"pages.csv: {says}")
    assert isinstance(caught.value, SettingsError)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (HEADER.encode() + b"M0501,\xff\xfe,x\n", "line 2: neither UTF-8 nor CP949; in Excel save as"),
        (TEXT.encode() + b"M0501,\xff\xfe,x\n", "line 4: not UTF-8, although other lines are"),
        # As CP949 all of it would decode, into names that nobody wrote.
        (HEADER.encode() + "M1,주문,계좌\n".encode() + "M2,주문,계좌\n".encode("cp949"), "line 3: not UTF-8, although"),
        (TEXT.encode("utf-16"), "line 1: neither UTF-8 nor CP949"),
    ],
)
def test_a_file_of_two_encodings_is_refused(data, says):
    with pytest.raises(RuleFileBroken) as caught:
        parse_pages(data, "pages.csv")
    assert says in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_pages_or_a_sentence(data):
    for content in (data, HEADER.encode() + data):
        pages, said = (), ""
        try:
            pages = parse_pages(content, "pages.csv")
        except RuleFileBroken as error:
            said = str(error)
        assert bool(pages) == (not said.startswith("pages.csv: line "))
        assert len({page.page_code for page in pages}) == len(pages)
