"""Share the requests of each user zone out among the sites that serve it, and take them off a site that is down."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.placement.warm_traffic import best_optimum
from tasks.run import open_run
from tasks.traffic.act import act_on, finish_left_over
from tasks.traffic.decide import CHANGES, decide_routes, no_longer_fits
from tasks.traffic.functions import RoutedFunction
from tasks.traffic.observe import observe_traffic
from tasks.traffic.report import announce, explain, explain_all, traffic_sections


class TrafficRequest(ActingRequest):
    """What to route, by which rule, and how far to go."""

    functions: list[RoutedFunction] = Field([], max_length=1000, description="services, where they stand, their routes")
    strategy: Literal["performance", "geographic", "cost", "carbon"] = Field(
        "performance",
        description="performance: fewest milliseconds. geographic: nearest. cost: cheapest. carbon: cleanest",
    )
    most_change: int = Field(20, ge=1, le=100, description="points of 100 by which a weight may move in one run; "
                             "a site that is down loses all of its weight at once")  # fmt: skip
    watch_s: int = Field(0, ge=0, le=3600, description="seconds to go on checking, every 10 s, where all is well")


@flow(name="traffic-routing", description=__doc__)
def traffic_routing(request: TrafficRequest = TrafficRequest()) -> dict[str, Any]:
    """Mend what a killed run left; then check, observe, decide, record, approve, write, announce, report."""
    run = open_run("traffic-routing", request.fleet, request.mode)
    ttl_s = float(request.approval_timeout_s)

    left_over = finish_left_over(run)
    view = observe_traffic(run, request.functions, request.watch_s)

    rows = decided_before(run)
    if not rows:
        entries = decide_routes(view.traffic, view.routes, request.strategy, request.most_change, best_optimum())
        rows = keep_decisions(run, entries, as_of=view.as_of, ttl_s=ttl_s, changes=CHANGES)
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: no_longer_fits(view.routes, {row.subject: row.content for row in changes}),
    )  # fmt: skip

    results = act_on(run, approved)
    announce(run, rows, results, view.turned)

    told = traffic_sections([row.content for row in rows], request.strategy)
    return publish_acts(run, told, rows, results, left_over, explain, view.trouble)


if __name__ == "__main__":
    traffic_routing()
