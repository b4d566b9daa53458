"""Traces, where OpenTelemetry's usual variables name a collector: runs and tasks are Prefect's spans, acts ours."""

from __future__ import annotations

import logging

from opentelemetry import trace

from blocks import settings

TRACER = trace.get_tracer("continuum")

logger = logging.getLogger(__name__)


def trace_if_asked() -> None:
    """Send spans by OTLP over HTTP in the background until this process ends; nothing where no collector is named.

    Called when `flows` is imported: before the first run of a process has begun.
    """
    service = settings.traced_service()
    if service is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        logger.warning("no traces: OTEL_EXPORTER_OTLP_ENDPOINT is set, and the SDK is not installed. To mend it: "
                       "pip install 'continuum-fleet[otel]'")  # fmt: skip
        return
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
