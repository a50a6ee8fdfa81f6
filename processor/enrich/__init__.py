"""Pure enrichment: what the text that clients send says, each distinct value parsed once."""

from processor.enrich.channel import ChannelInput, ChannelRules
from processor.enrich.urls import PageUrl, parse_page_url, parse_referrer
from processor.enrich.user_agent import UserAgent, parse_user_agent

__all__ = [
    "ChannelInput",
    "ChannelRules",
    "PageUrl",
    "UserAgent",
    "parse_page_url",
    "parse_referrer",
    "parse_user_agent",
]
