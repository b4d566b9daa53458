"""The PromQL that gives each node pool's demand on a kube-prometheus-stack.

cAdvisor's series carry `node`; kube-state-metrics' `kube_node_labels` tells which pool a node is in, once it is
allowed to export the label (`kube-state-metrics.metricLabelsAllowlist` in the chart's values):

    nodes=[eks.amazonaws.com/nodegroup,cloud.google.com/gke-nodepool,kubernetes.azure.com/agentpool,...]
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What the pods of a node use; the stack drops cAdvisor's node totals, so the containers are summed.
_CADVISOR = 'job="kubelet", metrics_path="/metrics/cadvisor", container!="", image!=""'
CPU_OF_NODES = f"rate(container_cpu_usage_seconds_total{{{_CADVISOR}}}[5m])"
MEMORY_OF_NODES = f"container_memory_working_set_bytes{{{_CADVISOR}}}"


def metric_label(label: str) -> str:
    """The name that kube-state-metrics gives a Kubernetes label.

    >>> metric_label("cloud.google.com/gke-nodepool")
    'label_cloud_google_com_gke_nodepool'
    """
    return "label_" + re.sub(r"[^a-zA-Z0-9_]", "_", label)


def demand_by_pool(usage: str, pool_labels: Sequence[str]) -> str:
    """PromQL of `usage` summed by cluster and node pool; nodes without any of the labels are left out.

    `max` makes one series a node where two replicas of kube-state-metrics tell of it, `group_left` copies the
    pool onto the node's usage.
    """
    nodes = "\n      or ".join(
        f'label_replace(kube_node_labels{{{name}!=""}}, "node_pool", "$1", "{name}", "(.+)")'
        for name in map(metric_label, pool_labels)
    )
    return (
        "sum by (cluster, node_pool) (\n"
        f"  sum by (cluster, node) ({usage})\n"
        "  * on (cluster, node) group_left (node_pool)\n"
        "    max by (cluster, node, node_pool) (\n"
        f"      {nodes}\n"
        "    )\n"
        ")\n"
    )
