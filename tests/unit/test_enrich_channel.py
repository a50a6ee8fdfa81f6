"""Naming channels: what an analyst of a Korean firm would call each visit, and what a bad rules file says."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import SettingsError
from processor.enrich import ChannelInput, ChannelRules
from processor.enrich.channel import Channel, ChannelRulesError, same_site

RULES = ChannelRules.load()
PAGE = "www.firm.co.kr"


@pytest.mark.parametrize(
    ("host", "channel"),
    [
        # Naver
        ("search.naver.com", "organic_search"),
        ("m.search.naver.com", "organic_search"),
        ("www.naver.com", "referral"),
        ("m.naver.com", "referral"),
        ("finance.naver.com", "referral"),
        ("blog.naver.com", "social"),
        ("m.blog.naver.com", "social"),
        ("cafe.naver.com", "social"),
        ("mail.naver.com", "email"),
        ("adcr.naver.com", "paid_search"),
        ("siape.veta.naver.com", "paid_other"),
        ("nid.naver.com", "internal"),
        # Kakao, Daum, Nate, Zum
        ("search.daum.net", "organic_search"),
        ("m.search.daum.net", "organic_search"),
        ("www.daum.net", "referral"),
        ("cafe.daum.net", "social"),
        ("mail.daum.net", "email"),
        ("com.kakao.talk", "social"),
        ("pf.kakao.com", "social"),
        ("accounts.kakao.com", "internal"),
        ("invest.tistory.com", "social"),
        ("search.zum.com", "organic_search"),
        ("search.nate.com", "organic_search"),
        ("pann.nate.com", "social"),
        # Google searches, writes mail, and refers
        ("www.google.com", "organic_search"),
        ("www.google.co.kr", "organic_search"),
        ("google.de", "organic_search"),
        ("www.google.com.br", "organic_search"),
        ("mail.google.com", "email"),
        ("docs.google.com", "referral"),
        ("news.google.com", "referral"),
        ("gemini.google.com", "referral"),
        ("www.google.com.evil.example", "referral"),
        ("notgoogle.com", "referral"),
        ("com.google.android.googlequicksearchbox", "organic_search"),
        ("com.google.android.gm", "email"),
        ("googleads.g.doubleclick.net", "paid_other"),
        # the rest of the world
        ("www.bing.com", "organic_search"),
        ("kr.search.yahoo.com", "organic_search"),
        ("search.yahoo.co.jp", "organic_search"),
        ("mail.yahoo.com", "email"),
        ("duckduckgo.com", "organic_search"),
        ("www.baidu.com", "organic_search"),
        ("yandex.ru", "organic_search"),
        ("mail.yandex.ru", "email"),
        ("m.youtube.com", "social"),
        ("l.instagram.com", "social"),
        ("lm.facebook.com", "social"),
        ("t.co", "social"),
        ("about.co", "referral"),
        ("x.com", "social"),
        ("netflix.com", "referral"),
        ("www.linkedin.com", "social"),
        ("www.threads.net", "social"),
        ("www.tiktok.com", "social"),
        ("old.reddit.com", "social"),
        ("t.me", "social"),
        ("line.me", "social"),
        ("discord.com", "social"),
        ("gall.dcinside.com", "social"),
        ("stackoverflow.com", "referral"),
        ("www.newspaper.example", "referral"),
        # our own, and detours
        ("www.firm.co.kr", "internal"),
        ("m.firm.co.kr", "internal"),
        ("firm.co.kr", "internal"),
        ("firm.co.kr:8443", "internal"),
        ("www.other.co.kr", "referral"),
        ("nice.checkplus.co.kr", "internal"),
        (None, "direct"),
    ],
)
def test_page_before(host, channel) -> None:
    """Without tags, the page before decides."""
    assert RULES.assign(ChannelInput(referrer_host=host, page_host=PAGE, platform="web")) == channel


@pytest.mark.parametrize(
    ("source", "medium", "channel"),
    [
        ("naver", "cpc", "paid_search"),
        ("google", "cpc", "paid_search"),
        ("Google", "PPC", "paid_search"),
        ("daum", "cpc", "paid_search"),
        ("naver", "sa", "paid_search"),
        ("agency", "SA", "paid_search"),
        ("naver", "brand_search", "paid_search"),
        ("naver", "브랜드검색", "paid_search"),
        ("naver", "파워링크", "paid_search"),
        ("google", "paid", "paid_search"),
        ("facebook", "cpc", "paid_other"),
        ("facebook", "paid_social", "paid_other"),
        ("facebook", "paid", "paid_other"),
        ("naver", "da", "paid_other"),
        ("naver", "gfa", "paid_other"),
        ("kakao", "bizboard", "paid_other"),
        ("kakao", "비즈보드", "paid_other"),
        ("google", "display", "paid_other"),
        ("partner", "banner", "paid_other"),
        ("mobon", "retargeting", "paid_other"),
        ("naver", "sale", "referral"),
        ("instagram", "social", "social"),
        ("instagram", None, "social"),
        ("facebook", "organic_social", "social"),
        ("naver", "blog", "social"),
        ("naver_blog", None, "social"),
        ("카카오톡", None, "social"),
        ("kakao", "kakao-channel", "social"),
        ("crm", "email", "email"),
        ("crm", "E-Mail", "email"),
        ("newsletter", None, "email"),
        ("crm", "뉴스레터", "email"),
        ("crm", "push", "push"),
        ("crm", "app-push", "push"),
        ("crm", "AppPush", "push"),
        ("crm", "앱푸시", "push"),
        ("kakao", "alimtalk", "push"),
        ("kakao", "카카오 알림톡", "push"),
        ("kakao", "친구톡", "push"),
        ("crm", "lms", "push"),
        ("crm", "SMS", "push"),
        ("app_push", None, "push"),
        ("kakao", "alim_talk", "push"),
        ("kakao", "알림 톡", "push"),
        ("kakao", "알림톡_만기안내", "push"),
        ("kakao", "friend-talk", "push"),
        ("kakao", "bizmsg", "push"),
        ("mts", "앱푸쉬", "push"),
        ("mts", "pushmsg", "push"),
        ("crm", "장문문자", "push"),
        ("mts", "앱알림", "push"),
        ("mts", "app_noti", "push"),
        ("kakao", "브랜드 메세지", "push"),
        ("media", "인피드", "paid_other"),
        ("media", "GDN_리마케팅", "paid_other"),
        ("media", "리마케팅", "paid_other"),
        ("media", "제휴마케팅", "paid_other"),
        ("media", "cpa_db", "paid_other"),
        ("crm", "e메일", "email"),
        ("crm", "mail_weekly", "email"),
        ("weekly", "news_letter", "email"),
        ("email", "link", "email"),
        ("instagram", "link", "social"),
        ("partner", "link", "referral"),
        ("naver", "brandsearch_mo", "paid_search"),
        ("naver", "mo_powerlink", "paid_search"),
        ("naver", "파워컨텐츠", "paid_search"),
        ("naver_mobile", "bs", "paid_search"),
        ("google", "키워드광고", "paid_search"),
        ("google", "sem_brand", "paid_search"),
        ("apple", "asa", "paid_search"),
        ("naver", "타임보드", "paid_other"),
        ("naver", "smart_channel", "paid_other"),
        ("tnk", "offerwall", "paid_other"),
        ("cashwalk", "리워드", "paid_other"),
        ("mobon", "리타게팅", "paid_other"),
        ("google", "organic", "organic_search"),
        ("partner", "제휴", "referral"),
        ("partner", "whatever", "referral"),
        (None, "whatever", "referral"),
        ("(direct)", "(none)", "direct"),
        ("(not set)", None, "direct"),
        ("-", " ", "direct"),
    ],
)
def test_campaign_tags(source, medium, channel) -> None:
    """A tag's medium decides, then its source; tools' words for nothing are nothing."""
    assert RULES.assign(ChannelInput(utm_source=source, utm_medium=medium, page_host=PAGE, platform="web")) == channel


def wide(text: str) -> str:
    """Return a text in full width."""
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


SEARCH_ADVERTISING = [
    "naver_sa", "naver_powerlink", "naver_power_link", "naver_brandsearch", "naver_brand_search", "google_sa", "daum_keyword",
    "daum_sa", "kakao_sa", "kakao_keyword", "naversa", "NAVER-SA", "naver sa", "네이버_파워링크", "네이버_브랜드검색", "네이버 검색광고",
    "google_ads", "adwords", "bing_ads", "naver_searchad", "naver_sa_pc", "zum_sa", "nate_sa", "yahoo_sa", "naver_shopping_sa",
    "네이버sa", "구글SA", "sa_naver", "mo_naver_sa", "sem_naver", "naver_powercontents", "네이버 파워컨텐츠", "microsoftads",
]  # fmt: skip


@pytest.mark.parametrize("source", SEARCH_ADVERTISING)
@pytest.mark.parametrize("medium", [None, "cpc", "CPC", "ppc", "paid", "mobile"])
def test_search_advertising_that_is_tagged_better_is_still_that(source, medium) -> None:
    """A source that names search advertising is never made display by the medium that says it was paid for."""
    assert RULES.assign(ChannelInput(utm_source=source, utm_medium=medium, page_host=PAGE)) == "paid_search"


@pytest.mark.parametrize("medium", ["cpc", "ppc", "paid"])
@pytest.mark.parametrize("source", ["naver_brand", "naver_bs", "bs_naver", "naver_pl", "naver_pwl", "naver_plink", "naver_ss",
                                    "kakaokeyword", "naver_kw", "naver_mobile", "네이버검색", "google_search"])  # fmt: skip
def test_search_advertising_that_is_told_by_source_and_medium_together(source, medium) -> None:
    assert RULES.assign(ChannelInput(utm_source=source, utm_medium=medium, page_host=PAGE)) == "paid_search"


@pytest.mark.parametrize(
    "source", ["naver_gfa", "naver_da", "kakao_moment", "gdn", "facebook", "google_gdn", "kakao_bizboard"]
)
def test_display_that_is_paid_by_the_click_is_display(source) -> None:
    assert RULES.assign(ChannelInput(utm_source=source, utm_medium="cpc", page_host=PAGE)) == "paid_other"


@pytest.mark.parametrize("source", ["gdn", "google_gdn", "google_display", "google_pmax", "google_uac", "youtube"])
def test_an_id_that_a_search_engine_gives_to_all_it_sells_makes_display_no_search(source) -> None:
    visit = ChannelInput(utm_source=source, utm_medium="cpc", ad_click_id="gclid:Cj0", page_host=PAGE)
    assert RULES.assign(visit) == "paid_other"


@pytest.mark.parametrize("medium", ["gdn_cpc", "cpc_gdn", "display_cpc", "pmax_cpc", "da-cpc", "demandgen", "GFA"])
@pytest.mark.parametrize("source", ["google", "naver"])
def test_display_of_a_search_engine_is_display(source, medium) -> None:
    assert RULES.assign(ChannelInput(utm_source=source, utm_medium=medium, page_host=PAGE)) == "paid_other"


@pytest.mark.parametrize("medium", ["visa", "kbs", "osaka", "mba", "salary", "plan"])
def test_a_word_within_a_word_is_none(medium) -> None:
    """`_sa_` has no letter beside it."""
    for facts in ({"utm_source": "naver", "utm_medium": medium}, {"utm_source": "naver_" + medium, "utm_medium": "x"}):
        assert RULES.assign(ChannelInput(page_host=PAGE, **facts)) == "referral"


@pytest.mark.parametrize("medium", ["bs", "brand", "powerlink", "BS", "pc_bs", "브랜드"])
@pytest.mark.parametrize("facts", [{"referrer_host": "search.naver.com"}, {"referrer_host": "m.search.naver.com"},
                                   {"referrer_host": "search.daum.net"}, {"utm_source": "naver"},
                                   {"utm_source": "daum", "referrer_host": "www.daum.net"}])  # fmt: skip
def test_an_abbreviation_of_search_advertising_from_a_page_that_searches(medium, facts) -> None:
    assert RULES.assign(ChannelInput(utm_medium=medium, page_host=PAGE, **facts)) == "paid_search"


def test_the_same_abbreviation_from_elsewhere_says_nothing() -> None:
    assert RULES.assign(ChannelInput(utm_medium="bs", referrer_host="blog.naver.com", page_host=PAGE)) == "social"
    assert RULES.assign(ChannelInput(utm_medium="brand", utm_source="magazine", page_host=PAGE)) == "referral"


@pytest.mark.parametrize(
    "written",
    [
        "naver_sa", "NAVER-SA", "naver+sa", "naver%sa".replace("%", " "), wide("naver_sa"), wide("NAVER-SA"), '"naver_sa"', "“naver_sa”",
        "\u2018naver_sa\u2019", "'naver_sa'", "「naver_sa」", "«naver_sa»", "nav\u200ber_sa", "\ufeffnaver_sa", "naver_sa\u2060", "naver\u00ad_sa",
        "\u3164naver_sa", "naver\u00a0sa", "naver\u3000sa", "naver\u2011sa", "naver\u2013sa", " naver_sa\t", "naver__sa", "\u202enaver_sa\u202c",
        "naver_sa\x00",
    ],
)  # fmt: skip
def test_a_word_is_what_is_seen_of_it(written) -> None:
    """Width, quotes, joiners, direction marks, fillers and every kind of blank and hyphen are not part of a word."""
    assert RULES.assign(ChannelInput(utm_source=written, utm_medium=" “cpc” ", page_host=PAGE)) == "paid_search"


@pytest.mark.parametrize(
    "nothing", ["\u200b", '""', "“”", "\u3164", "'(none)'", "(not+set)", "\ufeff \u2060", "+", "\uff0d"]
)
def test_a_word_of_which_nothing_is_seen_is_none(nothing) -> None:
    assert RULES.assign(ChannelInput(utm_source=nothing, utm_medium=nothing, page_host=PAGE)) == "direct"


@pytest.mark.parametrize(
    "host",
    [
        "pay.kcp.co.kr", "testpay.kcp.co.kr", "smart.kcp.co.kr", "stdpay.inicis.com", "mobile.inicis.com", "pay.tosspayments.com",
        "api.tosspayments.com", "web.nicepay.co.kr", "pay.nicepay.co.kr", "ui.teledit.com", "pay.danalpay.com", "www.danal.co.kr",
        "bill.payco.com", "id.payco.com", "pay.naver.com", "m.pay.naver.com", "order.pay.naver.com", "pay.kakao.com",
        "online-pay.kakaopay.com", "nice.pass.or.kr", "www.pass.or.kr", "login.microsoftonline.com", "login.live.com",
        "accounts.google.com", "accounts.google.co.kr", "nid.naver.com", "accounts.kakao.com", "kauth.kakao.com", "appleid.apple.com",
        "nice.checkplus.co.kr", "safe.ok-name.co.kr", "www.kmcert.com", "www.siren24.com", "cert.mobile-ok.com", "sso.bank.example",
        "login.partner.example", "firm.okta.com", "access.line.me", "www.paypal.com", "pay.toss.im", "auth.toss.im",
        "online-pay.kakao.com", "tenant.b2clogin.com", "www.bankpay.or.kr", "ansimclick.card.example", "vbv.card.example",
        "3dsecure.kr.visa.com", "idp.partner.example", "signin.partner.example", "m.login.partner.example", "pay2.shop.example",
        "ssl.daoupay.com", "account.samsung.com", "simpleauth.go.kr",
    ],
)  # fmt: skip
def test_who_pays_or_signs_in_did_not_arrive(host) -> None:
    """A detour in the middle of a visit sends people back; they were here before."""
    assert RULES.assign(ChannelInput(referrer_host=host, page_host=PAGE, platform="web")) == "internal"


@pytest.mark.parametrize(
    ("host", "path", "channel"),
    [
        ("www.facebook.com", "/dialog/oauth", "internal"),
        ("m.facebook.com", "/v19.0/dialog/oauth", "internal"),
        ("www.facebook.com", "/login.php", "internal"),
        ("github.com", "/login/oauth/authorize", "internal"),
        ("twitter.com", "/i/oauth2/authorize", "internal"),
        ("www.facebook.com", "/groups/1", "social"),
        ("www.facebook.com", "/", "social"),
        ("www.facebook.com", None, "social"),
        ("blog.example", "/how-to/oauth-explained", "referral"),
    ],
)
def test_a_network_that_signs_people_in_is_told_by_the_path(host, path, channel) -> None:
    visit = ChannelInput(referrer_host=host, referrer_path=path, page_host=PAGE, platform="web")
    assert RULES.assign(visit) == channel


@pytest.mark.parametrize(
    ("host", "channel"),
    [
        ("mail.firm.example", "email"), ("webmail.univ.ac.kr", "email"), ("email.provider.example", "email"),
        ("owa.firm.example", "email"), ("mail.co", "email"), ("gmail.example", "referral"), ("hotmail.example", "referral"),
        ("mailer.example", "referral"), ("www.mail.example", "referral"), ("com.google.android.gm", "email"),
        ("com.nhn.android.mail", "email"), ("com.google.android.gm.evil", "referral"),
        ("m.mail.firm.example", "email"), ("mail2.firm.example", "email"), ("webmail2.provider.example", "email"),
        ("mail.", "referral"), ("mails.firm.example", "referral"), ("com.google.android.gm.lite", "email"),
        ("com.samsung.android.email.ui", "email"), ("com.fsck.k9", "email"),
    ],
)  # fmt: skip
def test_webmail_is_told_by_its_first_label(host, channel) -> None:
    """`mail.` as a rule is a label, no beginning of letters; an app's package is itself alone."""
    assert RULES.assign(ChannelInput(referrer_host=host, page_host=PAGE, platform="web")) == channel


@pytest.mark.parametrize(
    ("host", "channel"),
    [
        ("com.facebook.katana", "social"), ("com.facebook.lite", "social"), ("com.facebookish.app", "referral"),
        ("org.telegram.messenger.web", "social"), ("com.whatsapp.w4b", "social"), ("com.snapchat.android", "social"),
        ("com.microsoft.bing", "organic_search"), ("com.duckduckgo.mobile.android", "organic_search"),
        ("arca.live", "social"), ("in.naver.com", "social"), ("www.mojeek.com", "organic_search"),
    ],
)  # fmt: skip
def test_apps_and_hosts_of_one_house(host, channel) -> None:
    """`android-app://com.facebook.*` is whatever that house calls its apps."""
    assert RULES.assign(ChannelInput(referrer_host=host, page_host=PAGE, platform="web")) == channel


@pytest.mark.parametrize(
    ("click", "channel"),
    [
        ("gclid:Cj0", "paid_search"),
        ("wbraid:Cj0", "paid_search"),
        ("msclkid:1", "paid_search"),
        ("n_ad:nad-a001-01", "paid_search"),
        ("NaPm:ct=1|ci=2|tr=sa|hk=3", "paid_search"),
        ("NaPm:ci=2|tr=gfa", "paid_other"),
        ("dclid:1", "paid_other"),
        ("ttclid:1", "paid_other"),
        ("twclid:1", "paid_other"),
        ("fbclid:1", "social"),
        ("unknown:1", "direct"),
    ],
)
def test_click_ids(click, channel) -> None:
    assert RULES.assign(ChannelInput(ad_click_id=click, page_host=PAGE, platform="web")) == channel


@pytest.mark.parametrize(
    ("visit", "channel"),
    [
        ({"utm_medium": "email", "ad_click_id": "gclid:1", "referrer_host": "www.google.com"}, "email"),
        ({"ad_click_id": "gclid:1", "referrer_host": "www.google.com"}, "paid_search"),
        ({"ad_click_id": "gclid:1", "referrer_host": PAGE}, "paid_search"),
        ({"utm_medium": "cpc", "ad_click_id": "gclid:1"}, "paid_search"),
        ({"utm_medium": "cpc"}, "paid_other"),
        ({"utm_medium": "paid_social", "utm_source": "facebook", "ad_click_id": "fbclid:1"}, "paid_other"),
        ({"utm_source": "google", "utm_campaign": "brand", "ad_click_id": "gclid:1"}, "paid_search"),
        ({"utm_source": "summer", "referrer_host": "m.search.naver.com"}, "organic_search"),
        ({"utm_source": "summer", "referrer_host": PAGE}, "internal"),
        ({"utm_campaign": "summer"}, "referral"),
        ({"platform": "android"}, "app"),
        ({"platform": "ios"}, "app"),
        ({"platform": "server"}, "direct"),
        ({"platform": None}, "direct"),
        ({"platform": "ios", "utm_medium": "push"}, "push"),
        ({"platform": "android", "referrer_host": "com.kakao.talk"}, "social"),
        ({"platform": "android", "page_host": None, "utm_source": "summer"}, "referral"),
    ],
)
def test_tags_then_click_then_page_before_then_platform(visit, channel) -> None:
    assert RULES.assign(ChannelInput(**{"page_host": PAGE, "platform": "web", **visit})) == channel


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("firm.co.kr", "firm.co.kr", True),
        ("m.firm.co.kr", "www.firm.co.kr", True),
        ("a.b.firm.co.kr", "firm.co.kr", True),
        ("a.firm.com", "b.firm.com", True),
        ("firm.co.kr", "other.co.kr", False),
        ("firm.or.kr", "other.or.kr", False),
        ("firm.com", "notfirm.com", False),
        ("firm.com", "firm.co.kr", False),
        ("co.kr", "firm.co.kr", False),
        ("localhost", "localhost", True),
        ("mts.portal", "portal", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.1.0.1", "10.2.0.1", False),
    ],
)
def test_one_site_is_one_registered_name(one, other, same) -> None:
    assert same_site(one, other) is same
    assert same_site(other, one) is same


ANY_TEXT = st.none() | st.text(max_size=60)


@given(
    st.builds(
        ChannelInput,
        utm_source=ANY_TEXT,
        utm_medium=ANY_TEXT,
        utm_campaign=ANY_TEXT,
        ad_click_id=ANY_TEXT,
        referrer_host=ANY_TEXT,
        page_host=ANY_TEXT,
        platform=st.sampled_from([None, "web", "android", "ios", "server", "fridge"]),
    )
)
def test_every_visit_has_a_channel(visit) -> None:
    assert RULES.assign(visit) in get_args(Channel)


# --- the operators' file --------------------------------------------------------------------------


def load(folder: Path, text: str | bytes) -> ChannelRules:
    file = folder / "firm.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ChannelRules.load(file)


OWN = """
extends_builtin = true
internal_hosts = ["firm.co.kr", "firm-mts.com"]

[[rule]]
channel = "email"
utm_source = "월간 리포트"

[[rule]]
channel = "push"
utm_medium = ["talk", "crm_*"]
platform = ["android", "ios"]
"""


def test_own_rules_come_before_the_builtin_ones(tmp_path) -> None:
    rules = load(tmp_path, OWN)
    assert rules.assign(ChannelInput(utm_source="월간_리포트", utm_medium="banner")) == "email"
    assert rules.assign(ChannelInput(utm_medium="CRM-july", platform="ios")) == "push"
    assert rules.assign(ChannelInput(utm_medium="CRM-july", platform="web")) == "referral"
    assert rules.assign(ChannelInput(referrer_host="search.naver.com")) == "organic_search"
    assert rules.assign(ChannelInput(referrer_host="m.firm-mts.com", page_host="www.firm.co.kr")) == "internal"
    assert rules.assign(ChannelInput(referrer_host="m.firm-mts.com", platform="ios")) == "internal"


def test_a_rule_can_name_a_first_label_an_android_app_and_a_path(tmp_path) -> None:
    text = """
    [[rule]]
    channel = "email"
    referrer_host = ["groupware.", "android-app://kr.firm.mail/"]
    [[rule]]
    channel = "internal"
    referrer_host = "partner.com"
    referrer_path = ["/login*", "*/oauth/*"]
    [[rule]]
    channel = "direct"
    """
    rules = load(tmp_path, text)
    found = {
        (host, path): rules.assign(ChannelInput(referrer_host=host, referrer_path=path))
        for host, path in [
            ("groupware.firm.co.kr", None), ("mygroupware.firm.co.kr", None), ("kr.firm.mail", None),
            ("kr.firm.mail.lite", None), ("x.kr.firm.mail", None), ("partner.com", "/Login/now"), ("partner.com", "/v1/oauth/x"),
            ("partner.com", "/"), ("partner.com", None),
        ]
    }  # fmt: skip
    assert list(found.values()) == [
        "email",
        "direct",
        "email",
        "direct",
        "direct",
        "internal",
        "internal",
        "direct",
        "direct",
    ]


def test_file_without_the_builtin_stands_alone(tmp_path) -> None:
    rules = load(tmp_path, '[[rule]]\nchannel = "app"\nplatform = "ios"\n[[rule]]\nchannel = "direct"\n')
    assert rules.assign(ChannelInput(platform="ios")) == "app"
    assert rules.assign(ChannelInput(referrer_host="search.naver.com")) == "direct"


def test_windows_editors_may_save_the_file(tmp_path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + OWN.replace("\n", "\r\n").encode()).rules


END = '\n[[rule]]\nchannel = "direct"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[rule]]\nchannel = "organik"' + END, "rule 1 (line 1): channel: 'organik' is unknown; one of direct,"),
        ('[[rule]]\nutm_source = "x"' + END, "rule 1 (line 1): channel: is missing"),
        (OWN + '\n[[rule]]\nchannel = "email"\nutm_mediun = "x"', "rule 3 (line 14): utm_mediun: unknown key"),
        ('[[rule]]\nchannel = "email"\nutm_medium = []' + END, "rule 1 (line 1): utm_medium: an empty list"),
        ('[[rule]]\nchannel = "email"\nutm_medium = 7' + END, "rule 1 (line 1): utm_medium: must be a text"),
        ('[[rule]]\nchannel = "email"\nutm_medium = ["a", ""]' + END, "rule 1 (line 1): utm_medium: must be a text"),
        ('[[rule]]\nchannel = "email"\nutm_medium = "(none)"' + END, "utm_medium: a text that stands for nothing"),
        ('[[rule]]\nchannel = "email"\nreferrer_host = "https://naver.com/"' + END, "referrer_host: 'https://naver.com/' is not a host"),
        ('[[rule]]\nchannel = "email"\nreferrer_path = "oauth"' + END, "referrer_path: 'oauth' is not a path such as"),
        ('[[rule]]\nchannel = "email"\nplatform = "ipad"' + END, "platform: 'ipad' is unknown; one of web, android"),
        ('[[rule]]\nchannel = "email"\nsame_site = false' + END, "same_site: can only be true"),
        ('colour = "red"' + END, "firm.toml: line 1: colour: unknown key; one of internal_hosts"),
        ('extends_builtin = "yes"' + END, "line 1: extends_builtin: must be true or false"),
        ('internal_hosts = "a b"' + END, "line 1: internal_hosts: 'a b' is not a host"),
        ("# mine\nrule = 7", "line 2: rule: rules begin with [[rule]]"),
        ('[[rule]]\nchannel = "direct"\n' + END, "rule 1 (line 1): has no condition, so no rule after it"),
        ('extends_builtin = true\n[[rule]]\nchannel = "direct"\n', "rule 1 (line 2): has no condition"),
        ('[[rule]]\nchannel = "app"\nplatform = "ios"\n', "rule 1 (line 1): the last rule must have a channel and no condition"),
        ("", "the last rule must have a channel and no condition"),
        ('[[rule]]\nchannel = "email\n', "(at line 2, column 17)"),
        ("# 채널".encode("cp949"), "line 1: not UTF-8; save the file as UTF-8"),
    ],
)  # fmt: skip
def test_error_names_file_rule_key_and_reason(tmp_path, text, says) -> None:
    with pytest.raises(ChannelRulesError) as caught:
        load(tmp_path, text)
    assert "firm.toml: " in str(caught.value)
    assert says in str(caught.value)


def test_missing_file_is_a_settings_error(tmp_path) -> None:
    """The command prints it as one sentence, like any other wrong setting; it is a ValueError too."""
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: No such file"):
        ChannelRules.load(tmp_path / "none.toml")
    assert issubclass(ChannelRulesError, ValueError)
