"""Pure enrichment: what the text that clients send says, each distinct value parsed once."""

from contract.urls import PageUrl, parse_page_url, parse_referrer
from processor.enrich.channel import ChannelInput, ChannelRules
from processor.enrich.geo import GeoFile, Place
from processor.enrich.page_file import Page, parse_pages
from processor.enrich.user_agent import OwnApp, UserAgent, own_apps, parse_user_agent

__all__ = [
    "ChannelInput",
    "ChannelRules",
    "GeoFile",
    "OwnApp",
    "Page",
    "PageUrl",
    "Place",
    "UserAgent",
    "own_apps",
    "parse_page_url",
    "parse_pages",
    "parse_referrer",
    "parse_user_agent",
]
