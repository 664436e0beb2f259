"""The state of this process's limits, circuits and budgets, for the page that shows them."""

import os
from collections.abc import Iterable

from gateway.browser.schemas import (
    BulkheadState,
    PipelineState,
    RequestsState,
    ResilienceState,
    RetryBudgetState,
    UpstreamState,
)
from gateway.clients import Upstream
from gateway.resilience.pipeline import ResiliencePipeline
from gateway.resilience.shedding import Load


def get_resilience_state(load: Load, upstreams: Iterable[Upstream]) -> ResilienceState:
    """Return the current state."""
    return ResilienceState(
        process=os.getpid(),
        requests=RequestsState(in_flight=load.in_flight, limit=load.max_requests, shed=load.shed),
        upstreams={upstream.name: _upstream_state(upstream) for upstream in upstreams},
    )


def _upstream_state(upstream: Upstream) -> UpstreamState:
    endpoints = {
        f"{method} {template}": _pipeline_state(pipeline)
        for (method, template), pipeline in upstream.endpoint_pipelines.items()
    }
    return UpstreamState(**_pipeline_state(upstream.pipeline).model_dump(), endpoints=endpoints)


def _pipeline_state(pipeline: ResiliencePipeline) -> PipelineState:
    bulkhead, budget = pipeline.bulkhead, pipeline.budget
    return PipelineState(
        circuit=pipeline.breaker.state,
        bulkhead=BulkheadState(in_use=bulkhead.in_flight, limit=bulkhead.max_concurrent, waiting=bulkhead.waiting),
        retry_budget=RetryBudgetState(tokens=round(budget.balance, 1), limit=budget.max_balance),
    )
