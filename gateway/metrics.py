"""The health report as Prometheus metrics (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


def exposition(body: Mapping[str, Any]) -> str:
    """``body`` is what ``health.report`` gave."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(body))
    return generate_latest(registry).decode()


class _Collector:
    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def collect(self) -> Iterator[Metric]:
        body = self._body
        yield GaugeMetricFamily("watchkeeper_ok", "1 when nothing is wrong", value=float(body["ok"]))
        yield GaugeMetricFamily("watchkeeper_start_time_seconds", "Start, UTC", value=body["started"] / 1e9)
        yield from self._devices()
        judge, store, spool = body["judge"], body["store"], body["spool"]
        yield CounterMetricFamily("watchkeeper_samples", "Samples judged since start", value=judge["samples"])
        yield CounterMetricFamily(
            "watchkeeper_transitions", "Alarm transitions since start", value=judge["transitions"]
        )
        yield GaugeMetricFamily(
            "watchkeeper_judge_lag_seconds", "Newest sample not judged yet", value=judge["lag"]
        )
        yield GaugeMetricFamily(
            "watchkeeper_core_waiting",
            "Changes of alarms that the shared ticket core does not know yet",
            value=body["core"]["waiting"],
        )
        yield GaugeMetricFamily(
            "watchkeeper_store_connected", "1 when the store takes samples", value=float(store["connected"])
        )
        yield GaugeMetricFamily(
            "watchkeeper_store_lag_seconds", "Oldest sample not stored yet", value=store["lag"]
        )
        yield GaugeMetricFamily("watchkeeper_spool_bytes", "Size of the spool", value=spool["bytes"])
        yield GaugeMetricFamily("watchkeeper_spool_max_bytes", "Quota of the spool", value=spool["max_bytes"])
        yield CounterMetricFamily(
            "watchkeeper_shed_samples", "Samples shed, counted in the ledger", value=spool["shed"]
        )
        intake = CounterMetricFamily("watchkeeper_batches", "Batches by what became of them", labels=["fate"])
        for fate, count in body["intake"].items():
            intake.add_metric([fate], count)
        yield intake

    def _devices(self) -> Iterator[Metric]:
        online = GaugeMetricFamily(
            "watchkeeper_device_online", "1 when the device answers", labels=["source", "device"]
        )
        slots = CounterMetricFamily(
            "watchkeeper_device_slots", "Reading slots by outcome", labels=["device", "outcome"]
        )
        latency = GaugeMetricFamily(
            "watchkeeper_device_latency_seconds", "Smoothed answer time", labels=["device"]
        )
        odd = CounterMetricFamily(
            "watchkeeper_line_events", "What was odd on a line", labels=["source", "event"]
        )
        for source in self._body["sources"]:
            for event, count in source["counts"].items():
                odd.add_metric([source["name"], event], count)
            for device in source["devices"]:
                tally = device["tally"]
                online.add_metric(
                    [source["name"], device["name"]], float(source["up"] and device["state"] == "healthy")
                )
                outcomes = {"read": tally["read"], "failed": tally["failed"], **tally["skipped"]}
                for outcome, count in outcomes.items():
                    slots.add_metric([device["name"], outcome], count)
                if tally["latency"] is not None:
                    latency.add_metric([device["name"]], tally["latency"])
        yield from (online, slots, latency, odd)
