"""Reading User-Agent headers: the browsers of Korean customers, and the robots among them."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import SettingsError
from processor.enrich import UserAgent, own_apps, parse_user_agent

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
IPAD = "Mozilla/5.0 (iPad; CPU OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
GALAXY = (
    "Mozilla/5.0 (Linux; Android 13; SM-S918N Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/114.0.5735.196 "
)
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 "


@pytest.mark.parametrize(
    ("header", "name", "version"),
    [
        (GALAXY + "Mobile Safari/537.36;KAKAOTALK 2410240", "KakaoTalk", "2410240"),
        (IPHONE + "Mobile/15E148 KAKAOTALK 10.2.0", "KakaoTalk", "10.2.0"),
        (IPHONE + "Mobile/15E148 KAKAOTALK/10.2.0 (INAPP)", "KakaoTalk", "10.2.0"),
        (IPHONE + "Mobile/15E148 KAKAOTALK", "KakaoTalk", None),
        (IPHONE + "Mobile/20F66 Safari/604.1 NAVER(inapp; search; 1180; 12.0.5; 14PRO)", "Naver", "12.0.5"),
        (GALAXY + "Whale/1.0.0.0 Crosswalk/27.113.0.8 Mobile Safari/537.36 NAVER(inapp; search; 1100; 11.22.6)", "Naver", "11.22.6"),
        (GALAXY + "Mobile Safari/537.36 NAVER(inapp; blog)", "Naver", None),
        (GALAXY + "Mobile Safari/537.36 DaumApps/7.5.0 DaumDevice/mobile", "Daum", "7.5.0"),
        (GALAXY + "Mobile Safari/537.36 BAND/10.1.0.1 (Android OS 13;SM-S918N)", "Band", "10.1.0"),
        (IPHONE + "Mobile/20F66 Instagram 285.0.0.13.63 (iPhone14,3; iOS 16_5; ko_KR)", "Instagram", "285.0.0"),
        (IPHONE + "Mobile/15E148 [FBAN/FBIOS;FBAV/416.0.0.35.85;FBBV/480085463;FBDV/iPhone14,3]", "Facebook", "416.0.0"),
        (GALAXY + "Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/416.0.0.35.85;]", "Facebook", "416.0.0"),
        (IPHONE + "Mobile/15E148 [FBAN/MessengerForiOS;FBAV/416.0.0.35.85]", "Facebook Messenger", "416.0.0"),
        (IPHONE + "Mobile/15E148 Safari Line/13.8.0", "LINE", "13.8.0"),
        (GALAXY + "Mobile Safari/537.36 NAVER(higgs; blog; 1; 8.1)", "Naver", "8.1"),
        (GALAXY + "Mobile Safari/537.36 MetaIAB Facebook", "Facebook", None),
        (GALAXY + "Mobile Safari/537.36 MetaIAB", "Facebook", None),
        (GALAXY + "Mobile Safari/537.36 Flipboard/4.3.6", "Flipboard", "4.3.6"),
        (GALAXY + "Mobile Safari/537.36 KAKAOPAY/2.1", "KakaoPay", "2.1"),
        (GALAXY + "Mobile Safari/537.36 TossApp/5.180.0", "Toss", "5.180.0"),
        (IPHONE + "Mobile/15E148 trill_340 BytedanceWebview", "TikTok", None),
        (IPHONE + "Mobile/15E148 [LinkedInApp]/9.29", "LinkedIn", "9.29"),
        (IPHONE + "Mobile/15E148 everytimeApp", "Everytime", None),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/21.0 Chrome/110.0.5481.154 Mobile Safari/537.36", "Samsung Internet", "21.0"),
    ],
)  # fmt: skip
def test_app_around_the_page_is_the_browser(header, name, version) -> None:
    """An in-app browser is named after its app, never after the engine that it also claims to be."""
    read = parse_user_agent(header)
    assert (read.browser_name, read.browser_version, read.device_type, read.is_bot) == (
        name,
        version,
        "mobile",
        False,
    )


@pytest.mark.parametrize(
    ("header", "device", "system", "browser"),
    [
        (WINDOWS + "Safari/537.36", "desktop", "Windows 10", "Chrome 114.0.0"),
        (WINDOWS + "Safari/537.36 Edg/114.0.1823.51", "desktop", "Windows 10", "Edge 114.0.1823"),
        (WINDOWS + "Whale/3.21.192.18 Safari/537.36", "desktop", "Windows 10", "Whale 3.21.192"),
        ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0; Tablet PC 2.0) like Gecko", "desktop", "Windows 10", "IE 11.0"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.5 Safari/605.1.15", "desktop", "macOS 10.15.7", "Safari 16.5"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36", "desktop", "Chrome OS 14541.0.0", "Chrome 114.0.0"),
        ("Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.9.2.13) Gecko/20101209 CentOS/3.6-2.el5.centos Firefox/3.6.13", "desktop", "CentOS None", "Firefox 3.6.13"),
        (IPHONE + "Version/16.5 Mobile/15E148 Safari/604.1", "mobile", "iOS 16.5", "Mobile Safari 16.5"),
        (GALAXY + "Mobile Safari/537.36", "mobile", "Android 13", "Chrome Mobile WebView 114.0.5735"),
        ("Mozilla/5.0 (Linux; Android 9; CUBOT_X19 Build/PPR1.180610.011) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.99 Mobile Safari/537.36", "mobile", "Android 9", "Chrome Mobile 80.0.3987"),
        (IPAD + "Mobile/15E148 KAKAOTALK 10.2.0", "tablet", "iOS 16.5", "KakaoTalk 10.2.0"),
        ("Mozilla/5.0 (Linux; Android 13; SM-X906N) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36", "tablet", "Android 13", "Chrome 114.0.0"),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.79 Safari/537.36 WebAppManager", "other", "Web0S None", "Chrome 79.0.3945"),
        ("SAMSUNG-GT-E2232/1.0 Openwave/6.2.3 Profile/MIDP-2.0 Configuration/CLDC-1.1", "mobile", "None None", "Openwave 6.2.3"),
    ],
)  # fmt: skip
def test_device_system_and_browser_of_people(header, device, system, browser) -> None:
    read = parse_user_agent(header)
    assert read.device_type == device
    assert f"{read.os_name} {read.os_version}" == system
    assert f"{read.browser_name} {read.browser_version}" == browser
    assert not read.is_bot


OWN = own_apps({"한강 MTS": "HangangMTS", "한강 로봇투자": "RoboBot"})


@pytest.mark.parametrize(
    ("header", "name", "version", "device"),
    [
        (GALAXY + "Mobile Safari/537.36 HangangMTS/5.12.0", "한강 MTS", "5.12.0", "mobile"),
        (GALAXY + "Mobile Safari/537.36;KAKAOTALK 2410240 hangangmts", "한강 MTS", None, "mobile"),
        (IPAD + "Mobile/15E148 HangangMTS v5.12", "한강 MTS", "5.12", "tablet"),
        ("HangangMTS/5.12.0 CFNetwork/1408.0.4 Darwin/22.5.0", "한강 MTS", "5.12.0", "mobile"),
        ("RoboBot/1.2 (+https://www.hangang.example)", "한강 로봇투자", "1.2", "other"),
        (GALAXY + "Mobile Safari/537.36 NotHangangMTS/1", "Chrome Mobile WebView", "114.0.5735", "mobile"),
        (GALAXY + "Mobile Safari/537.36 HangangMTSLite/1", "Chrome Mobile WebView", "114.0.5735", "mobile"),
    ],
)  # fmt: skip
def test_the_firms_own_app_goes_by_its_name(header, name, version, device) -> None:
    """Named in the settings, it is the browser before all others, and no robot whatever it is called."""
    read = parse_user_agent(header, OWN)
    assert (read.browser_name, read.browser_version, read.device_type, read.is_bot) == (name, version, device, False)


@pytest.mark.parametrize("tokens", [{"": "App"}, {"App": " "}, {"A" * 65: "App"}])
def test_an_app_without_name_or_token_is_refused(tokens) -> None:
    with pytest.raises(SettingsError, match=r"\[process\] app_user_agents: "):
        own_apps(tokens)


@pytest.mark.parametrize(
    ("header", "device"),
    [
        ("okhttp/4.9.3", "other"),
        ("Dalvik/2.1.0 (Linux; U; Android 13; SM-S918N Build/TP1A.220624.014)", "mobile"),
        ("Dalvik/2.1.0 (Linux; U; Android 13; SM-X906N Build/TP1A.220624.014)", "tablet"),
        ("FirmMTS/3.2.1 CFNetwork/1408.0.4 Darwin/22.5.0", "mobile"),
        ("FirmMTS/3.2.1 (kr.firm.mts; build:1; iOS 16.5.0) Alamofire/5.6.4", "mobile"),
        ("sillok-python/1.0.0", "other"),
    ],
)
def test_apps_own_requests_are_no_robots(header, device) -> None:
    """An app sends events with its platform's HTTP library, and a server with our SDK: people are behind both."""
    read = parse_user_agent(header)
    assert (read.device_type, read.is_bot) == (device, False)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        (IPHONE + "Version/9.0 Safari/601.1 (compatible; Yeti/1.1; +http://naver.me/bot)", "Yeti"),
        ("Mozilla/5.0 (compatible; Daum/4.1; +http://cs.daum.net/faq/15/4118.html?faqId=28966)", "Daum"),
        ("Mozilla/5.0 (compatible; Daumoa/4.0; +http://cs.daum.net)", "Daumoa"),
        ("facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984", "kakaotalk-scrap"),
        ("facebookexternalhit/1.1;line-poker/1.0", "line-poker"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "FacebookBot"),
        ("Mozilla/5.0 (compatible; Blueno/1.0; +http://naver.me/scrap)", "Blueno"),
        ("ZumBot/1.0 (ZUM Search; http://help.zum.com/inquiry)", "ZumBot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot"),
        ("WhatsApp/2.23.20.0 A", "WhatsApp"),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "UptimeRobot"),
        ("Java-http-client/17.0.2", "Java-http-client"),
        ("Apache-JMeter/5.6", "Apache-JMeter"),
        ("CensysInspect/1.1", "CensysInspect"),
        ("JENNIFER5", "JENNIFER5"),
        ("node", "node"),
        ("Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)", "Yahoo! Slurp"),
        ("UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/", "UniversalFeedParser"),
        ("Mozilla/5.0 (compatible; Ezooms/1.0; help@moz.com)", "Ezooms"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/114.0.0.0 Safari/537.36", "HeadlessChrome"),
        ("curl/8.1.2", "curl"),
        ("Wget/1.14 (linux-gnu)", "Wget"),
        ("python-requests/2.28.1", "Python Requests"),
        ("Go-http-client/1.1", "Go-http-client"),
        ("Java/1.8.0_292", "Java"),
        ("kube-probe/1.27", "kube-probe"),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", "PingdomBot"),
        ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1;  http://www.changedetection.com/bot.html )", None),
    ],
)  # fmt: skip
def test_robots_are_told_from_people(header, name) -> None:
    """Crawlers, link previews, feed readers, programs and watchers are robots, whatever face they wear."""
    read = parse_user_agent(header)
    assert (read.device_type, read.is_bot) == ("bot", True)
    assert name is None or read.browser_name == name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        # synthetic monitors and test runners with a browser's face
        (LINUX + "Chrome/113.0.5672.126 Safari/537.36 RuxitSynthetic/1.0 v1 t14", "Ruxit Synthetic 1.0"),
        (MAC + "Chrome/97.0.4692.71 Safari/537.36 (ThousandEyes Agent)", "ThousandEyes None"),
        ("Mozilla/5.0 (Windows NT 6.3; WOW64; Trident/7.0; rv:11.0; Catchpoint) like Gecko", "Catchpoint None"),
        (MAC + "Cypress/12.3.0 Chrome/106.0.5249.51 Electron/21.0.0 Safari/537.36", "Cypress 12.3.0"),
        (LINUX + "Chrome/107.0 Safari/537.36 Ghost Inspector (63c85ddb)", "Ghost Inspector None"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 DatadogSynthetics", "DatadogSynthetics None"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 CloudWatchSynthetics/1.0", "CloudWatchSynthetics 1.0"),
        ("DynatraceSynthetic/1.179", "DynatraceSynthetic 1.179"),
        (WINDOWS + "Safari/537.36 Checkly/1.0", "Checkly 1.0"),
        # Google's many
        ("GoogleOther", "GoogleOther None"),
        ("Mozilla/5.0 AppleWebKit/537.36 Chrome/139.0.7258.127 Safari/537.36 Google-Ads-Conversions", "Google-Ads-Conversions None"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko; compatible; Google-Agent)", "Google-Agent None"),
        (LINUX.replace("like Gecko)", "like Gecko; compatible; GoogleAgent-Mariner)") + "Chrome/142.0 Safari/537.36", "GoogleAgent-Mariner None"),
        ("Mozilla/5.0 (compatible; Google-Site-Verification/1.0)", "Google-Site-Verification 1.0"),
        # agents that act for somebody
        (MAC + "Chrome/132.0.0.0 Safari/537.36; Manus-User/1.0", "Manus-User 1.0"),
        (LINUX + "Chrome/137.0.0.0 Safari/537.36; Devin/1.0; +devin.ai", "Devin 1.0"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Claude-User/1.0; +Claude-User@anthropic.com)", "Claude-User 1.0"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Claude-User/1.0; [email])", "Claude-User 1.0"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Amzn-User/0.1) Chrome/119.0 Safari/537.36", "Amzn-User 0.1"),
        # what calls itself compatible, or a browser, and names no system
        ("Mozilla/5.0 (compatible; Anything/1.0)", "Anything 1.0"),
        ("Mozilla/5.0 (compatible; Anything)", "Anything None"),
        ("Mozilla/5.0+(compatible;+Anything/1.0)", None),
        ("Mozilla/5.0 (compatible)", None),
        ("Mozilla/4.0 (compatible; Netcraft Web Server Survey)", "Netcraft Web Server Survey None"),
        ("Mozilla/5.0 (compatible; Anything/2.1; +prospects) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Safari/537.36", "Anything 2.1"),
        ("Mozilla/5.0 (Anything/1.0)", None),
        ("Mozilla/5.0 Anything/1.0", None),
        (GALAXY + "Mobile Safari/537.36 (compatible; Google-AMPHTML)", "Google-AMPHTML None"),
        # an address without its scheme, and a model that does not hide who asks
        (MAC + "Chrome/118.0.0.0 Safari/537.36 Watched/2 (watched.com/about)", None),
        ("Mozilla/5.0 (Linux; Android 7.0; M bot 60) AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1)", "Googlebot 2.1"),
        ("Mozilla/5.0 (Linux; Android 7.0; SomethingBot/1.2) AppleWebKit/537.36 (KHTML, like Gecko)", None),
        ("FlipboardProxy/1.1", "FlipboardProxy 1.1"),
        ("Mozilla/4.0 (compatible; MSIE 5.0; Windows NT; DigExt; DTS Agent", None),
        ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1;  http://www.changedetection.com/bot.html )", "None None"),
        # compatible, wherever it stands
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; compatible; Anything/1.0)", None),
        ("Mozilla/5.0 (Linux; Android 13; SM-S918N; compatible; Anything/1.0) AppleWebKit/537.36 Chrome/114 Safari/537.36", None),
        (IPHONE.partition("(KHTML")[0] + "(compatible; Anything/1.0)", "Anything 1.0"),
        ("Mozilla/4.0", None),
        # what renders pages for others, tests them, or acts for somebody
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 Prerender", "Prerender None"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 Rendertron/3.1", "Rendertron 3.1"),
        (LINUX + "jsdom/22.1.0", "jsdom 22.1.0"),
        (LINUX + "HappyDOM/9.20", "HappyDOM 9.20"),
        (LINUX + "Splash Version/10.0 Safari/602.1", None),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 mabl/1.2", "mabl 1.2"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 Calibre/1", "Calibre 1"),
        (WINDOWS + "Safari/537.36 AlertSite", "AlertSite None"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 Kimi-User", "Kimi-User None"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 OpenAI-Operator/1.0", "OpenAI-Operator 1.0"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 AmazonBuyForMe/1.0", "AmazonBuyForMe 1.0"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 Stagehand", "Stagehand None"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 AhrefsSiteAudit/6.1", "AhrefsSiteAudit 6.1"),
        (LINUX + "Chrome/120.0.0.0 YandexMetrika/2.0 Safari/537.36", "YandexMetrika 2.0"),
        (LINUX + "Chrome/120.0.0.0 Safari/537.36 Dynatrace", "Dynatrace None"),
        (WINDOWS + "Safari/537.36 Rigor", "Rigor None"),
        ("Slack-ImgProxy (+https://api.slack.com/robots)", None),
        ("Slack-ImgProxy", "Slack-ImgProxy None"),
        ("Naver Blog Rss", None),
    ],
)  # fmt: skip
def test_robots_with_a_persons_face(header, name) -> None:
    """They say so somewhere, if not in the words that robots used to have; and are never called Chrome."""
    read = parse_user_agent(header)
    assert (read.device_type, read.is_bot) == ("bot", True)
    assert name is None or f"{read.browser_name} {read.browser_version}" == name
    assert not (read.browser_name or "").startswith(
        ("Chrome", "Mobile Safari", "Safari", "Mozilla", "IE", "MSIE", "Other")
    )


@pytest.mark.parametrize(
    "model",
    ["M bot 60", "M_bot_tab_1150", "Spider 8", "POWER BOT", "IDbot553PLUS", "XBot_Senior", "C Bot Tab 70", "Scanner",
     "Monitor 5", "Agent", "Moto G Power (2022)", "SM-S918N"],
)  # fmt: skip
@pytest.mark.parametrize(
    "header",
    [
        "Mozilla/5.0 (Linux; Android 7.0; {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/81.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 7.0; {} Build/NRD90M; wv) AppleWebKit/537.36 (KHTML, like Gecko) KAKAOTALK 2410240",
        "Mozilla/5.0 (Linux; U; Android 7.0; ko-kr; {} Build/NRD90M) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537",
        "Mozilla/5.0 (Linux; U; Android 7.0; en; {}) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 10; HarmonyOS; {}; HMSCore 6) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537",
        "Dalvik/2.1.0 (Linux; U; Android 7.0; {} Build/NRD90M)",
        "FirmMTS/3.2.1 (Android 7.0; {}) okhttp/4.9",
    ],
)
def test_a_telephone_may_be_called_anything(header, model) -> None:
    """A model is not what a robot calls itself."""
    read = parse_user_agent(header.format(model))
    assert not read.is_bot
    assert read.device_type in ("mobile", "tablet")


@pytest.mark.parametrize(
    "header",
    [
        GALAXY + "Mobile Safari/537.36 Flipboard/4.3.6",
        "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.1; Trident/6.0)",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; .NET CLR 2.0.50727)",
        "Mozilla/5.0 (compatible; Konqueror/4.5; Linux) KHTML/4.5.4 (like Gecko)",
        "Mozilla/5.0 (PlayStation 4 5.50) AppleWebKit/601.2 (KHTML, like Gecko)",
        "Mozilla/5.0 (Symbian/3; Series60/5.2 NokiaN8-00/014.002; Profile/MIDP-2.1) AppleWebKit/525 (KHTML, like Gecko)",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Code/1.115 Chrome/142 Electron/39 Safari/537.36",
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0; Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1) )",
        "Mozilla/4.0 (PSP (PlayStation Portable); 2.00)",
        GALAXY + "Mobile Safari/537.36 SSG.COM/7.0",
        GALAXY + "Mobile Safari/537.36 musinsa/7.1 KakaoBank/2 OK!Cashbag/7.1",
        "Mozilla/5.0 (Mobile; Nokia_2720_Flip; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
        "Mozilla/5.0 (Phone; OpenHarmony 4.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114 Safari/537.36 ArkWeb/4.1 Mobile",
    ],
)  # fmt: skip
def test_people_who_sound_like_robots(header) -> None:
    assert not parse_user_agent(header).is_bot


def test_what_is_other_is_not_known() -> None:
    """`Other` is the word of a parser for what it does not know, and no system or browser."""
    read = parse_user_agent(
        "Mozilla/5.0 (Linux; Android 7.0;) AppleWebKit/537.36 (KHTML, like Gecko) (compatible; PetalBot)"
    )
    assert (read.is_bot, read.os_name, read.os_version, read.browser_name) == (True, None, None, "PetalBot")


@pytest.mark.parametrize("header", ["", " ", "-"])
def test_absent_header_says_nothing(header) -> None:
    assert parse_user_agent(header) == UserAgent(device_type="other", is_bot=False)


@given(st.text())
def test_any_text_has_an_answer(header) -> None:
    """Nothing is raised, nothing is longer than its column, and the two bot columns agree."""
    read = parse_user_agent(header)
    assert read.is_bot == (read.device_type == "bot")
    for fact in (read.os_name, read.os_version, read.browser_name, read.browser_version):
        assert fact is None or (0 < len(fact) <= 64 and "\0" not in fact)


@pytest.mark.parametrize("piece", ["a", "bot ", "한글", "Mozilla/5.0 (Linux; Android ", "FBAN/", "a@", "\0"])
def test_long_headers_are_bounded_work(piece) -> None:
    assert isinstance(parse_user_agent(piece * 50_000), UserAgent)


def test_importing_loads_no_engine() -> None:
    """Only the first header pays for the engine's tables, not every process that imports the module."""
    code = "import sys, processor.enrich; sys.exit('ua_parser' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
