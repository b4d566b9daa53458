"""The fields of every built-in kind: one table that decoding, merging and server-side apply all read.

A type is a line of `name:type` words. Types:

    s string   i integer   b boolean   q quantity   t time (whole seconds)   mt time with six decimals
    is integer or string   y base64   n number   * anything (kept as it is)   Name a type of this table
    [T] list, replaced as a whole   [T]=key,key list merged by key (the first one in a patch, all in an apply)
    [s]~ set of strings   {T} map of strings to T   ! behind a type: one owner for the whole
    ^ behind a type: stays when empty

Whatever a type leaves out is pruned, as the real server drops fields that it does not know.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

TYPES: dict[str, str] = {
    "ObjectMeta": "name:s generateName:s namespace:s selfLink:s uid:s resourceVersion:s generation:i "
    "creationTimestamp:t deletionTimestamp:t deletionGracePeriodSeconds:i labels:{s} annotations:{s} "
    "ownerReferences:[OwnerReference]=uid finalizers:[s]~ managedFields:[*]",
    "OwnerReference": "apiVersion:s kind:s name:s uid:s controller:b blockOwnerDeletion:b",
    "LabelSelector": "matchLabels:{s} matchExpressions:[SelectorRequirement]",
    "SelectorRequirement": "key:s operator:s values:[s]",
    "ObjectReference": "kind:s namespace:s name:s uid:s apiVersion:s resourceVersion:s fieldPath:s",
    "Condition": "type:s status:s observedGeneration:i lastProbeTime:t lastHeartbeatTime:t lastUpdateTime:t "
    "lastTransitionTime:t reason:s message:s",
    "Namespace": "metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus",
    "NamespaceSpec": "finalizers:[s]",
    "NamespaceStatus": "phase:s conditions:[Condition]=type",
    "Node": "metadata:ObjectMeta spec:NodeSpec status:NodeStatus",
    "NodeSpec": "podCIDR:s podCIDRs:[s]~ providerID:s unschedulable:b taints:[Taint]",
    "Taint": "key:s value:s effect:s timeAdded:t",
    "NodeStatus": "capacity:{q} allocatable:{q} phase:s conditions:[Condition]=type addresses:[NodeAddress]=type "
    "daemonEndpoints:* nodeInfo:{s} images:[*] volumesInUse:[s] volumesAttached:[*] config:*",
    "NodeAddress": "type:s address:s",
    "Pod": "metadata:ObjectMeta spec:PodSpec status:PodStatus",
    "PodTemplate": "metadata:ObjectMeta spec:PodSpec",
    "PodSpec": "volumes:[Volume]=name initContainers:[Container]=name containers:[Container]=name restartPolicy:s "
    "ephemeralContainers:[Container]=name terminationGracePeriodSeconds:i activeDeadlineSeconds:i dnsPolicy:s "
    "nodeSelector:{s}! serviceAccountName:s serviceAccount:s automountServiceAccountToken:b nodeName:s hostNetwork:b "
    "hostPID:b hostIPC:b shareProcessNamespace:b securityContext:* imagePullSecrets:[NamedReference]=name hostname:s "
    "subdomain:s affinity:* schedulerName:s tolerations:[Toleration] hostAliases:[*] priorityClassName:s priority:i "
    "dnsConfig:* readinessGates:[*] runtimeClassName:s enableServiceLinks:b preemptionPolicy:s overhead:{q} "
    "topologySpreadConstraints:[TopologySpread]=topologyKey,whenUnsatisfiable setHostnameAsFQDN:b os:* hostUsers:b "
    "schedulingGates:[NamedReference]=name resourceClaims:[*] resources:Resources",
    "TopologySpread": "maxSkew:i topologyKey:s whenUnsatisfiable:s labelSelector:LabelSelector! minDomains:i "
    "nodeAffinityPolicy:s nodeTaintsPolicy:s matchLabelKeys:[s]",
    "NamedReference": "name:s",
    "Toleration": "key:s operator:s value:s effect:s tolerationSeconds:i",
    "Container": "name:s image:s command:[s] args:[s] workingDir:s ports:[ContainerPort]=containerPort,protocol "
    "envFrom:[*] env:[EnvVar]=name resources:Resources resizePolicy:[*] restartPolicy:s "
    "volumeMounts:[VolumeMount]=mountPath volumeDevices:[*] livenessProbe:* readinessProbe:* startupProbe:* "
    "lifecycle:* terminationMessagePath:s terminationMessagePolicy:s imagePullPolicy:s securityContext:* stdin:b "
    "stdinOnce:b tty:b targetContainerName:s",
    "ContainerPort": "name:s hostPort:i containerPort:i protocol:s hostIP:s",
    "EnvVar": "name:s value:s valueFrom:*",
    "Resources": "limits:{q} requests:{q} claims:[*]",
    "VolumeMount": "name:s readOnly:b recursiveReadOnly:s mountPath:s subPath:s mountPropagation:s subPathExpr:s",
    "Volume": "name:s emptyDir:* configMap:* secret:* hostPath:* persistentVolumeClaim:* projected:* downwardAPI:* "
    "csi:* nfs:* ephemeral:* image:*",
    "PodStatus": "observedGeneration:i phase:s conditions:[Condition]=type message:s reason:s nominatedNodeName:s "
    "hostIP:s hostIPs:[*] podIP:s podIPs:[PodIp]=ip startTime:t initContainerStatuses:[ContainerStatus] "
    "containerStatuses:[ContainerStatus] ephemeralContainerStatuses:[ContainerStatus] qosClass:s resize:s",
    "PodIp": "ip:s",
    "ContainerStatus": "name:s state:* lastState:* ready:b restartCount:i image:s imageID:s containerID:s started:b "
    "allocatedResources:{q} resources:Resources volumeMounts:[*] user:*",
    "Deployment": "metadata:ObjectMeta spec:DeploymentSpec status:DeploymentStatus",
    "DeploymentSpec": "replicas:i selector:LabelSelector! template:PodTemplate strategy:DeploymentStrategy "
    "minReadySeconds:i revisionHistoryLimit:i paused:b progressDeadlineSeconds:i",
    "DeploymentStrategy": "type:s rollingUpdate:RollingUpdate",
    "RollingUpdate": "maxUnavailable:is maxSurge:is partition:i",
    "DeploymentStatus": "observedGeneration:i replicas:i updatedReplicas:i readyReplicas:i availableReplicas:i "
    "unavailableReplicas:i terminatingReplicas:i conditions:[Condition]=type collisionCount:i",
    "ReplicaSet": "metadata:ObjectMeta spec:ReplicaSetSpec status:ReplicaSetStatus",
    "ReplicaSetSpec": "replicas:i minReadySeconds:i selector:LabelSelector! template:PodTemplate",
    "ReplicaSetStatus": "replicas:i fullyLabeledReplicas:i readyReplicas:i availableReplicas:i terminatingReplicas:i "
    "observedGeneration:i conditions:[Condition]=type",
    "StatefulSet": "metadata:ObjectMeta spec:StatefulSetSpec status:*",
    "StatefulSetSpec": "replicas:i selector:LabelSelector! template:PodTemplate volumeClaimTemplates:[*] serviceName:s "
    "podManagementPolicy:s updateStrategy:DeploymentStrategy revisionHistoryLimit:i minReadySeconds:i "
    "persistentVolumeClaimRetentionPolicy:* ordinals:*",
    "DaemonSet": "metadata:ObjectMeta spec:DaemonSetSpec status:*",
    "DaemonSetSpec": "selector:LabelSelector! template:PodTemplate updateStrategy:DeploymentStrategy minReadySeconds:i "
    "revisionHistoryLimit:i",
    "ControllerRevision": "metadata:ObjectMeta data:* revision:i",
    "Job": "metadata:ObjectMeta spec:JobSpec status:JobStatus",
    "JobSpec": "parallelism:i completions:i activeDeadlineSeconds:i podFailurePolicy:* successPolicy:* backoffLimit:i "
    "backoffLimitPerIndex:i maxFailedIndexes:i selector:LabelSelector! manualSelector:b template:PodTemplate "
    "ttlSecondsAfterFinished:i completionMode:s suspend:b podReplacementPolicy:s managedBy:s",
    "JobStatus": "conditions:[Condition] startTime:t completionTime:t active:i terminating:i succeeded:i failed:i "
    "completedIndexes:s failedIndexes:s uncountedTerminatedPods:* ready:i",
    "CronJob": "metadata:ObjectMeta spec:CronJobSpec status:*",
    "CronJobSpec": "schedule:s timeZone:s startingDeadlineSeconds:i concurrencyPolicy:s suspend:b "
    "jobTemplate:JobTemplate successfulJobsHistoryLimit:i failedJobsHistoryLimit:i",
    "JobTemplate": "metadata:ObjectMeta spec:JobSpec",
    "Service": "metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus",
    "ServiceSpec": "ports:[ServicePort]=port,protocol selector:{s}! clusterIP:s clusterIPs:[s] type:s externalIPs:[s] "
    "sessionAffinity:s loadBalancerIP:s loadBalancerSourceRanges:[s] externalName:s externalTrafficPolicy:s "
    "healthCheckNodePort:i publishNotReadyAddresses:b sessionAffinityConfig:* ipFamilies:[s] ipFamilyPolicy:s "
    "allocateLoadBalancerNodePorts:b loadBalancerClass:s internalTrafficPolicy:s trafficDistribution:s",
    "ServicePort": "name:s protocol:s appProtocol:s port:i targetPort:is nodePort:i",
    "ServiceStatus": "loadBalancer:* conditions:[Condition]=type",
    "EndpointSlice": "metadata:ObjectMeta addressType:s endpoints:[Endpoint]^ ports:[EndpointPort]",
    "Endpoint": "addresses:[s] conditions:EndpointConditions hostname:s targetRef:ObjectReference "
    "deprecatedTopology:{s} nodeName:s zone:s hints:*",
    "EndpointConditions": "ready:b serving:b terminating:b",
    "EndpointPort": "name:s protocol:s port:i appProtocol:s",
    "ConfigMap": "metadata:ObjectMeta immutable:b data:{s} binaryData:{y}",
    "Secret": "metadata:ObjectMeta immutable:b data:{y} stringData:{s} type:s",
    "ServiceAccount": "metadata:ObjectMeta secrets:[ObjectReference]=name imagePullSecrets:[NamedReference] "
    "automountServiceAccountToken:b",
    "Event": "metadata:ObjectMeta involvedObject:ObjectReference reason:s message:s source:EventSource "
    "firstTimestamp:t lastTimestamp:t count:i type:s eventTime:mt series:EventSeries action:s related:ObjectReference "
    "reportingComponent:s reportingInstance:s",
    "EventSource": "component:s host:s",
    "EventSeries": "count:i lastObservedTime:mt",
    "Lease": "metadata:ObjectMeta spec:LeaseSpec",
    "LeaseSpec": "holderIdentity:s leaseDurationSeconds:i acquireTime:mt renewTime:mt leaseTransitions:i strategy:s "
    "preferredHolder:s",
    "PodDisruptionBudget": "metadata:ObjectMeta spec:BudgetSpec status:BudgetStatus",
    "BudgetSpec": "minAvailable:is selector:LabelSelector! maxUnavailable:is unhealthyPodEvictionPolicy:s",
    "BudgetStatus": "observedGeneration:i disruptedPods:{t} disruptionsAllowed:i currentHealthy:i desiredHealthy:i "
    "expectedPods:i conditions:[Condition]=type",
    "Eviction": "metadata:ObjectMeta deleteOptions:*",
    "Binding": "metadata:ObjectMeta target:ObjectReference",
    "PriorityClass": "metadata:ObjectMeta value:i globalDefault:b description:s preemptionPolicy:s",
    "HorizontalPodAutoscaler": "metadata:ObjectMeta spec:HpaSpec status:HpaStatus",
    "HpaSpec": "scaleTargetRef:ScaleTarget! minReplicas:i maxReplicas:i metrics:[*] behavior:*",
    "ScaleTarget": "kind:s name:s apiVersion:s",
    "HpaStatus": "observedGeneration:i lastScaleTime:t currentReplicas:i desiredReplicas:i currentMetrics:[*] "
    "conditions:[Condition]=type",
    "Scale": "metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus",
    "ScaleSpec": "replicas:i",
    "ScaleStatus": "replicas:i selector:s",
    "Role": "metadata:ObjectMeta rules:[PolicyRule]",
    "ClusterRole": "metadata:ObjectMeta rules:[PolicyRule] aggregationRule:*",
    "PolicyRule": "verbs:[s] apiGroups:[s] resources:[s] resourceNames:[s] nonResourceURLs:[s]",
    "RoleBinding": "metadata:ObjectMeta subjects:[Subject] roleRef:RoleReference!",
    "ClusterRoleBinding": "metadata:ObjectMeta subjects:[Subject] roleRef:RoleReference!",
    "Subject": "kind:s apiGroup:s name:s namespace:s",
    "RoleReference": "apiGroup:s kind:s name:s",
    "CustomResourceDefinition": "metadata:ObjectMeta spec:* status:*",
    "SelfSubjectAccessReview": "metadata:ObjectMeta spec:*",
    "SubjectAccessReview": "metadata:ObjectMeta spec:*",
    "SelfSubjectReview": "metadata:ObjectMeta",
    "CustomResource": "metadata:ObjectMeta",
}

_SCALARS = {"s", "i", "b", "q", "t", "mt", "is", "y", "n", "*"}
_SHAPE = re.compile(r"^(?P<inner>\[.*\]|\{.*\}|[A-Za-z*]+)(?P<set>~)?(?P<atomic>!)?(?P<kept>\^)?(?:=(?P<keys>.+))?$")


@dataclass(frozen=True)
class Schema:
    """A field's type.

    Parameters
    ----------
    form: "struct", "map", "list", or a scalar code of the table above.
    name: the type's name in TYPES, for structs.
    keys: merge keys of a list.
    """

    form: str
    name: str = ""
    inner: str = ""
    keys: tuple[str, ...] = ()
    is_set: bool = False
    atomic: bool = False
    kept: bool = False

    @property
    def fields(self) -> dict[str, Schema]:
        """Fields of a struct, by name."""
        return _fields(self.name)

    @property
    def items(self) -> Schema:
        """Type of a list's or map's entries."""
        return parse(self.inner)


@functools.cache
def parse(text: str) -> Schema:
    """The Schema of one type expression.

    >>> parse("[Container]=name").keys, parse("{s}").form, parse("q").form
    (('name',), 'map', 'q')
    """
    match = _SHAPE.match(text)
    if match is None:
        raise ValueError(f"schema type {text!r}: not understood")
    inner, keys = match["inner"], tuple((match["keys"] or "").split(",")) if match["keys"] else ()
    if inner[0] in "[{":
        form, name = "list" if inner[0] == "[" else "map", ""
    else:
        form, name = (inner, "") if inner in _SCALARS else ("struct", inner)
    return Schema(form, name, inner[1:-1], keys, bool(match["set"]), bool(match["atomic"]), bool(match["kept"]))


@functools.cache
def _fields(name: str) -> dict[str, Schema]:
    return {word.split(":", 1)[0]: parse(word.split(":", 1)[1]) for word in TYPES[name].split()}
