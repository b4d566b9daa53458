"""The kinds that the simulated API server serves: one row each, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SUBRESOURCE_VERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "eviction": ("create",),
    "binding": ("create",),
    "token": ("create",),
}


@dataclass(frozen=True)
class Kind:
    """One resource of one API group and version.

    Parameters
    ----------
    generation: what raises `metadata.generation`: "" nothing, "spec", "annotated" (spec and annotations),
        "all" (everything but metadata and status).
    unconditional: whether a PUT without resourceVersion overwrites.
    fields: field selectors beyond metadata.name and metadata.namespace; a dotted path into the stored object.
    created_by_put: whether a PUT creates what is not there.
    keeps_status: whether a POST keeps the status in its body.
    returned: whether DELETE answers with the object (and not a Status).
    computed: whether its objects are worked out when they are read, and not stored.
    stored_as: resource under which it is stored, when that is another version's.
    custom: the version of a CustomResourceDefinition behind it; None for a built-in kind.
    """

    group: str
    version: str
    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    generation: str = ""
    unconditional: bool = True
    created_by_put: bool = False
    fields: tuple[str, ...] = ()
    keeps_status: bool = False
    returned: bool = False
    computed: bool = False
    stored_as: str = ""
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    custom: dict[str, Any] | None = field(default=None, compare=False)
    singular: str = ""
    list_kind: str = ""

    @property
    def resource(self) -> str:
        """`deployments.apps`: plural and group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage(self) -> str:
        """Resource under which its objects are stored."""
        return self.stored_as or self.resource

    @property
    def api_version(self) -> str:
        """`apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def listed_as(self) -> str:
        """Kind of a list of it."""
        return self.list_kind or f"{self.kind}List"


_WORKLOAD = ("status", "scale")
_EVENT_FIELDS = (
    "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
    "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
    "reason", "reportingComponent", "source", "type",
)  # fmt: skip
_POD_FIELDS = (
    "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
    "status.phase", "status.podIP", "status.nominatedNodeName",
)  # fmt: skip
_RBAC = "rbac.authorization.k8s.io"
_AUTHZ = "authorization.k8s.io"
_NO_COLLECTION = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")

# Order matters twice: discovery lists groups in it, and a bare plural means its first row.
BUILT_IN: tuple[Kind, ...] = (
    Kind("", "v1", "namespaces", "Namespace", ("ns",), False, ("status",), fields=("status.phase",),
         returned=True, verbs=_NO_COLLECTION),
    Kind("", "v1", "nodes", "Node", ("no",), False, ("status",), fields=("spec.unschedulable",), keeps_status=True),
    Kind("", "v1", "pods", "Pod", ("po",), subresources=("status", "eviction", "binding"), generation="spec",
         fields=_POD_FIELDS, returned=True, categories=("all",)),
    Kind("", "v1", "services", "Service", ("svc",), subresources=("status",), returned=True, categories=("all",),
         fields=("spec.clusterIP", "spec.type")),
    Kind("", "v1", "configmaps", "ConfigMap", ("cm",)),
    Kind("", "v1", "secrets", "Secret", fields=("type",)),
    Kind("", "v1", "events", "Event", ("ev",), fields=_EVENT_FIELDS, created_by_put=True),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", ("sa",), subresources=("token",), returned=True),
    Kind("", "v1", "endpoints", "Endpoints", ("ep",), created_by_put=True),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", ("pvc",), subresources=("status",),
         returned=True),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", ("pv",), False, ("status",), returned=True),
    Kind("", "v1", "resourcequotas", "ResourceQuota", ("quota",), subresources=("status",), returned=True),
    Kind("", "v1", "limitranges", "LimitRange", ("limits",), created_by_put=True),
    Kind("apps", "v1", "deployments", "Deployment", ("deploy",), subresources=_WORKLOAD, generation="annotated",
         categories=("all",)),
    Kind("apps", "v1", "replicasets", "ReplicaSet", ("rs",), subresources=_WORKLOAD, generation="spec",
         fields=("status.replicas",), categories=("all",)),
    Kind("apps", "v1", "statefulsets", "StatefulSet", ("sts",), subresources=_WORKLOAD, generation="spec",
         categories=("all",)),
    Kind("apps", "v1", "daemonsets", "DaemonSet", ("ds",), subresources=("status",), generation="spec",
         categories=("all",)),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",),
         subresources=("status",), generation="spec", categories=("all",)),
    Kind("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",),
         subresources=("status",), generation="spec", categories=("all",),
         stored_as="horizontalpodautoscalers.autoscaling"),
    Kind("batch", "v1", "jobs", "Job", subresources=("status",), generation="spec", fields=("status.successful",),
         categories=("all",)),
    Kind("batch", "v1", "cronjobs", "CronJob", ("cj",), subresources=("status",), generation="spec",
         categories=("all",)),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), subresources=("status",),
         generation="spec", unconditional=False),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", unconditional=False, created_by_put=True),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation="all"),
    Kind("events.k8s.io", "v1", "events", "Event", ("ev",), stored_as="events", created_by_put=True,
         fields=("reason", "type", "regarding.kind", "regarding.name", "regarding.namespace")),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", ("ing",), subresources=("status",), generation="spec"),
    Kind("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False, generation="spec"),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", ("netpol",), generation="spec"),
    Kind("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", ("pc",), False, generation="spec"),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", ("sc",), False),
    Kind(_RBAC, "v1", "roles", "Role", created_by_put=True),
    Kind(_RBAC, "v1", "rolebindings", "RoleBinding", created_by_put=True),
    Kind(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False, created_by_put=True),
    Kind(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False, created_by_put=True),
    Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", ("crd", "crds"),
         False, ("status",), generation="spec", unconditional=False),
    Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False, subresources=("status",),
         unconditional=False),
    Kind(_AUTHZ, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False, verbs=("create",)),
    Kind(_AUTHZ, "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False, verbs=("create",)),
    Kind(_AUTHZ, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=("create",)),
    Kind(_AUTHZ, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False, verbs=("create",)),
    Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False, verbs=("create",)),
    Kind("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False,
         verbs=("create",)),
)  # fmt: skip

# What metrics-server adds to a cluster that has it.
METRICS: tuple[Kind, ...] = (
    Kind("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", namespaced=False, computed=True, verbs=("get", "list")),
    Kind("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", computed=True, verbs=("get", "list")),
)


class Registry:
    """The kinds served now: the built-in ones, those of add-ons, those that CustomResourceDefinitions declare."""

    def __init__(self) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in BUILT_IN}
        self._named = {kind.plural: kind for kind in reversed(BUILT_IN)}
        self._named |= {kind.resource: kind for kind in reversed(BUILT_IN)}
        self._stored = {kind.storage: kind for kind in BUILT_IN if not kind.stored_as}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind at a place in the API."""
        return self._kinds.get((group, version, plural))

    def of(self, resource: str) -> Kind:
        """The kind of `pods` or `deployments.apps`.

        Raises
        ------
        KeyError: no such resource.
        """
        return self._named[resource]

    def stored(self, resource: str) -> Kind:
        """The kind whose version a stored resource is kept in."""
        return self._stored[resource]

    def by_object(self, api_version: str, kind_name: str) -> Kind | None:
        """The kind that an object or an owner reference names."""
        wanted = (api_version, kind_name)
        return next((kind for kind in self if (kind.api_version, kind.kind) == wanted), None)

    def groups(self) -> dict[str, list[str]]:
        """Versions by group, in order."""
        found: dict[str, list[str]] = {}
        for kind in self:
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return found

    def declare(self, kinds: Iterable[Kind]) -> None:
        """Serve more kinds: an add-on's, or the versions of one CustomResourceDefinition and none but these."""
        kinds = list(kinds)
        for resource in dict.fromkeys(kind.resource for kind in kinds):
            self.withdraw(resource)
        for kind in kinds:
            self._kinds[kind.group, kind.version, kind.plural] = kind
            self._named.setdefault(kind.plural, kind)
            self._named[kind.resource] = kind
            self._stored[kind.storage] = kind

    def withdraw(self, resource: str) -> None:
        """Stop serving every version of a resource."""
        self._kinds = {key: kind for key, kind in self._kinds.items() if kind.resource != resource}
        self._named = {name: kind for name, kind in self._named.items() if kind.resource != resource}
        self._stored.pop(resource, None)
