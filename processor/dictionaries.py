"""Each distinct value parsed once: user agents, and the sets of values from which a visit's way follows.

The batch's distinct values are looked up in a bounded memory and copied into a temporary table, which
the statement that writes `clean.events` joins. Nothing is kept on disk, so that an edited rule file takes
effect with the next batch.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

import psycopg

from processor.enrich import ChannelInput, ChannelRules, parse_page_url, parse_referrer, parse_user_agent
from storage.postgres import read_sql

# About 1 KB an entry: 200 MB at the very most, a few MB in practice.
_REMEMBERED: Final = 100_000


class Dictionaries:
    """What the processor has already parsed."""

    def __init__(self, rules: ChannelRules) -> None:
        self._rules = rules
        self._visit = lru_cache(_REMEMBERED)(self._parse_visit)
        self._user_agent = lru_cache(_REMEMBERED)(_parse_user_agent)

    def fill(self, connection: psycopg.Connection, batch: dict[str, Any]) -> None:
        """Copy what the batch needs into its temporary tables."""
        self._copy(connection, batch, "distinct_urls.sql", "batch_urls", lambda row: self._visit(*row))
        self._copy(
            connection,
            batch,
            "distinct_user_agents.sql",
            "batch_user_agents",
            lambda row: self._user_agent(row[0]),
        )

    def _copy(
        self,
        connection: psycopg.Connection,
        batch: dict[str, Any],
        query: str,
        table: str,
        parse: Callable[[tuple[Any, ...]], Iterable[Any]],
    ) -> None:
        distinct = connection.execute(read_sql("processor.sql", query), batch).fetchall()
        with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
            for row in distinct:
                copy.write_row((*row, *parse(row)))

    def _parse_visit(
        self,
        page_url: str,
        referrer: str,
        utm_source: str,
        utm_medium: str,
        utm_campaign: str,
        ad_click_id: str,
        platform: str,
    ) -> tuple[Any, ...]:
        """Return the page's host and path, the referrer's host, the channel, and what the URL says of the campaign."""
        page = parse_page_url(page_url) if page_url else None
        referrer_host = parse_referrer(referrer) if referrer else None
        channel = self._rules.assign(
            ChannelInput(
                utm_source=utm_source or (page and page.utm_source) or None,
                utm_medium=utm_medium or (page and page.utm_medium) or None,
                utm_campaign=utm_campaign or (page and page.utm_campaign) or None,
                ad_click_id=ad_click_id or (page and page.ad_click_id) or None,
                referrer_host=referrer_host,
                page_host=page.host if page else None,
                platform=platform or None,
            )
        )
        if page is None:
            return (None, None, referrer_host, channel, None, None, None, None, None, None)
        return (
            page.host, page.path, referrer_host, channel, page.utm_source, page.utm_medium, page.utm_campaign,
            page.utm_term, page.utm_content, page.ad_click_id,
        )  # fmt: skip


def _parse_user_agent(text: str) -> tuple[Any, ...]:
    agent = parse_user_agent(text)
    return (
        agent.device_type, agent.os_name, agent.os_version, agent.browser_name, agent.browser_version, agent.is_bot
    )  # fmt: skip
