"""The controllers that keep a simulated cluster in the state its objects ask for."""

from __future__ import annotations

from deployments.local.kubernetes.controllers.api_services import ApiServices
from deployments.local.kubernetes.controllers.base import Controller
from deployments.local.kubernetes.controllers.claims import Claims
from deployments.local.kubernetes.controllers.cron_jobs import CronJobs
from deployments.local.kubernetes.controllers.custom_resources import CustomResources
from deployments.local.kubernetes.controllers.daemon_sets import DaemonSets
from deployments.local.kubernetes.controllers.deployments import Deployments
from deployments.local.kubernetes.controllers.disruption import DisruptionBudgets
from deployments.local.kubernetes.controllers.endpoints import Endpoints
from deployments.local.kubernetes.controllers.event_expiry import EventExpiry
from deployments.local.kubernetes.controllers.evictions import TaintEvictions
from deployments.local.kubernetes.controllers.garbage import GarbageCollector
from deployments.local.kubernetes.controllers.jobs import Jobs
from deployments.local.kubernetes.controllers.kubelet import DiskPressure, NodeKubelet, PodKubelet
from deployments.local.kubernetes.controllers.namespaces import Namespaces
from deployments.local.kubernetes.controllers.node_health import NodeMonitor
from deployments.local.kubernetes.controllers.nodes import NodeTaints
from deployments.local.kubernetes.controllers.pod_autoscaler import PodAutoscaler
from deployments.local.kubernetes.controllers.replica_sets import ReplicaSets
from deployments.local.kubernetes.controllers.scheduler import Scheduler
from deployments.local.kubernetes.controllers.stateful_sets import StatefulSets

# In the order in which they act on a change.
CONTROLLERS: tuple[type[Controller], ...] = (
    ApiServices,  # metrics, where they are registered
    CustomResources,  # serves what definitions declare
    Namespaces,  # fills new namespaces, empties deleted ones
    GarbageCollector,  # dependents follow their owners
    NodeKubelet,  # nodes report
    NodeMonitor,  # nodes that do not are lost
    NodeTaints,  # taints from conditions and cordons
    TaintEvictions,  # pods leave nodes they do not tolerate
    DiskPressure,  # pods make room on full disks
    PodKubelet,  # pods start and end
    DisruptionBudgets,  # how many pods may be disrupted
    PodAutoscaler,  # floors and ceilings of replicas
    Deployments,  # rollouts
    ReplicaSets,  # as many pods as wanted
    StatefulSets,  # pods with numbers
    DaemonSets,  # a pod for every node
    CronJobs,  # Jobs when they are due
    Jobs,  # pods until enough have succeeded
    Claims,  # volumes for claims
    Scheduler,  # a node for every pod
    EventExpiry,  # old Events are forgotten
    Endpoints,  # addresses behind Services
)
