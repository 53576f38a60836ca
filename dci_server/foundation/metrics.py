# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics; with several worker processes they are summed through a shared directory."""

import os
from typing import Literal, TypeAlias, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

DeliveredBy: TypeAlias = Literal["webhook", "mail", "bus"]
GivenUpBy: TypeAlias = Literal["webhook", "mail", "bus", "fan-out"]
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        # Finding a child by its labels costs more than counting: once for each is enough.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "dci_http_requests_total", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "dci_http_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["method", "route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
            registry=self._registry,
        )
        self.audits_in_memory = Counter(
            "dci_audits_in_memory_total",
            "Audits that were kept in memory for half a second because the data directory could not be written to.",
            registry=self._registry,
        )
        self.audits_left_out = Counter(
            "dci_audits_left_out_total",
            "Audits that are lost: too many waited for the database.",
            registry=self._registry,
        )

        deliveries = Counter(
            "dci_deliveries_total",
            "Attempts to tell what happened: by webhook, mail or message bus, received or not.",
            ["by", "outcome"],
            registry=self._registry,
        )
        self._deliveries: dict[tuple[DeliveredBy, bool], Counter] = {
            (by, received): deliveries.labels(by, "received" if received else "failed")
            for by in get_args(DeliveredBy)
            for received in (True, False)
        }
        given_up = Counter(
            "dci_given_up_total",
            "What was never told: messages that were given up, and events of which none could be made (fan-out).",
            ["by"],
            registry=self._registry,
        )
        self._given_up: dict[GivenUpBy, Counter] = {by: given_up.labels(by) for by in get_args(GivenUpBy)}
        report_bytes = Counter(
            "dci_report_bytes_total",
            "Bytes of JUnit reports parsed: while they were arriving, or when they had arrived.",
            ["when"],
            registry=self._registry,
        )
        self._parsed = {when: report_bytes.labels(when) for when in ("arriving", "arrived")}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        known = self._children.get((method, route, status))
        if known is None:
            known = self._requests.labels(method, route, str(status)), self._seconds.labels(method, route)
            self._children[(method, route, status)] = known
        known[0].inc()
        known[1].observe(seconds)

    def count_delivery(self, by: DeliveredBy, *, received: bool) -> None:
        self._deliveries[by, received].inc()

    def count_given_up(self, by: GivenUpBy, count: int = 1) -> None:
        self._given_up[by].inc(count)

    def count_report_bytes(self, when: Literal["arriving", "arrived"], size: int) -> None:
        self._parsed[when].inc(size)

    def render(self) -> bytes:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)
        return generate_latest(everybody)
