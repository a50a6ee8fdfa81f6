"""`sillok metrics`: what the database knows of loads, processing and dead letters, as Prometheus text.

The collector has metrics of its own on its admin plane. These are for node_exporter's textfile collector: a timer
writes them to a file (`deploy/systemd/sillok-metrics.timer`), so that no program with a database listens on a port.
"""

import argparse
import sys
from collections.abc import Iterator

import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from commands.database import find_migrated_dsn
from commands.doctor_database import slots_ahead
from commands.settings import Settings
from commands.terminal import OK
from contract.outcome import DeadLetterReason
from storage.postgres import connect, read_sql

HELP = "print what the database knows of loads, processing and dead letters, for Prometheus"


def add_arguments(_command: argparse.ArgumentParser) -> None:
    """Take none."""


def run(settings: Settings, _options: argparse.Namespace) -> int:
    """Print them."""
    with connect(
        find_migrated_dsn(settings, "process"), role="sillok_processor", application="sillok metrics"
    ) as found:
        sys.stdout.write(render(found))
    return OK


def render(connection: psycopg.Connection) -> str:
    """Return the Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_DatabaseMetrics(connection))
    return generate_latest(registry).decode()


class _DatabaseMetrics(Collector):
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def collect(self) -> Iterator[Metric]:
        row = self._connection.execute(read_sql("commands.sql", "metrics.sql").encode()).fetchone()
        lag_s, last_load_s, loads, events, oldest_s = row or (0,) * 5
        yield _gauge("sillok_watermark_lag_seconds", "How long ago the moment is up to which all is final.", lag_s)
        yield _gauge("sillok_last_load_age_seconds", "How long ago the last segment was loaded.", last_load_s)
        yield _gauge("sillok_loads_waiting", "Loaded segments that are not cleaned yet.", loads)
        yield _gauge("sillok_load_events_waiting", "Events of loaded segments that are not cleaned yet.", events)
        yield _gauge("sillok_loads_oldest_waiting_seconds", "How long the oldest of them has waited.", oldest_s)
        letters = GaugeMetricFamily("sillok_dead_letters", "Dead letters there are, by reason.", labels=["reason"])
        known: dict[str, int] = dict(
            self._connection.execute("select reason, count(*) from ops.dead_letters group by 1").fetchall()
        )
        for reason in DeadLetterReason:
            letters.add_metric([reason.value], known.get(reason.value, 0))
        yield letters
        ahead = GaugeMetricFamily(
            "sillok_slot_ahead_seconds",
            "How far a slot's newest receipts are ahead of the database's clock; none when no slot's are.",
            labels=["slot", "spool"],
        )
        for spool_id, slot, until, now, is_current in slots_ahead(self._connection):
            if is_current:
                ahead.add_metric([str(slot), str(spool_id)[:8]], (until - now).total_seconds())
        yield ahead


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=float(value or 0))
