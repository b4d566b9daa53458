"""The fields of every built-in kind: one table that decoding, merging and server-side apply all read.

A type is a line of `name:type` words. Types:

    s string   i integer   b boolean   s0 i0 b0 dropped when "", 0 or false   q quantity   n number
    t time (whole seconds)   mt time with six decimals   is integer or string   y base64   * anything (kept as it is)
    Name a type of this table or of POD_TYPES
    [T] list, replaced as a whole   [T]=key,key list merged by key (the first one in a patch, all in an apply)
    [T]@key list merged by key in a patch only   [s]~ set of strings   {T} map of strings to T
    ! behind a type: one owner for the whole   % : a strategic patch replaces it   ^ : stays when empty

Whatever a type leaves out is pruned, as the real server drops fields that it does not know.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from deployments.local.kubernetes.pod_types import POD_TYPES

TYPES: dict[str, str] = {
    **POD_TYPES,
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
    "NodeSpec": "podCIDR:s0 podCIDRs:[s]~ providerID:s0 unschedulable:b0 taints:[Taint] externalID:s0 configSource:*",
    "Taint": "key:s value:s0 effect:s timeAdded:t",
    "NodeStatus": "capacity:{q} allocatable:{q} phase:s conditions:[Condition]=type addresses:[NodeAddress]=type "
    "daemonEndpoints:* nodeInfo:NodeInfo images:[NodeImage] volumesInUse:[s] volumesAttached:[NameValueAt] config:* "
    "runtimeHandlers:[*] features:* declaredFeatures:[s]",
    "NodeInfo": "machineID:s systemUUID:s bootID:s kernelVersion:s osImage:s containerRuntimeVersion:s "
    "kubeletVersion:s "
    "kubeProxyVersion:s operatingSystem:s architecture:s swap:*",
    "NodeImage": "names:[s] sizeBytes:i0",
    "NameValueAt": "name:s devicePath:s",
    "NodeAddress": "type:s address:s",
    "Deployment": "metadata:ObjectMeta spec:DeploymentSpec status:DeploymentStatus",
    "DeploymentSpec": "replicas:i selector:LabelSelector! template:PodTemplate strategy:DeploymentStrategy "
    "minReadySeconds:i0 revisionHistoryLimit:i paused:b0 progressDeadlineSeconds:i",
    "DeploymentStrategy": "type:s rollingUpdate:RollingUpdate",
    "RollingUpdate": "maxUnavailable:is maxSurge:is partition:i",
    "DeploymentStatus": "observedGeneration:i replicas:i updatedReplicas:i readyReplicas:i availableReplicas:i "
    "unavailableReplicas:i terminatingReplicas:i conditions:[Condition]=type collisionCount:i",
    "ReplicaSet": "metadata:ObjectMeta spec:ReplicaSetSpec status:ReplicaSetStatus",
    "ReplicaSetSpec": "replicas:i minReadySeconds:i0 selector:LabelSelector! template:PodTemplate",
    "ReplicaSetStatus": "replicas:i fullyLabeledReplicas:i readyReplicas:i availableReplicas:i terminatingReplicas:i "
    "observedGeneration:i conditions:[Condition]=type",
    "StatefulSet": "metadata:ObjectMeta spec:StatefulSetSpec status:StatefulSetStatus",
    "StatefulSetSpec": "replicas:i selector:LabelSelector! template:PodTemplate "
    "volumeClaimTemplates:[PersistentVolumeClaim] serviceName:s "
    "podManagementPolicy:s updateStrategy:DeploymentStrategy revisionHistoryLimit:i minReadySeconds:i0 "
    "persistentVolumeClaimRetentionPolicy:{s} ordinals:Ordinals",
    "Ordinals": "start:i",
    "StatefulSetStatus": "observedGeneration:i0 replicas:i readyReplicas:i0 currentReplicas:i0 updatedReplicas:i0 "
    "currentRevision:s0 updateRevision:s0 collisionCount:i conditions:[Condition]=type availableReplicas:i",
    "DaemonSet": "metadata:ObjectMeta spec:DaemonSetSpec status:DaemonSetStatus",
    "DaemonSetSpec": "selector:LabelSelector! template:PodTemplate updateStrategy:DeploymentStrategy "
    "minReadySeconds:i0 "
    "revisionHistoryLimit:i",
    "DaemonSetStatus": "currentNumberScheduled:i numberMisscheduled:i desiredNumberScheduled:i numberReady:i "
    "observedGeneration:i0 updatedNumberScheduled:i0 numberAvailable:i0 numberUnavailable:i0 collisionCount:i "
    "conditions:[Condition]=type",
    "Job": "metadata:ObjectMeta spec:JobSpec status:JobStatus",
    "JobSpec": "parallelism:i completions:i activeDeadlineSeconds:i podFailurePolicy:FailurePolicy "
    "successPolicy:SuccessPolicy backoffLimit:i "
    "backoffLimitPerIndex:i maxFailedIndexes:i selector:LabelSelector! manualSelector:b template:PodTemplate "
    "ttlSecondsAfterFinished:i completionMode:s suspend:b podReplacementPolicy:s managedBy:s",
    "FailurePolicy": "rules:[FailureRule]^",
    "FailureRule": "action:s onExitCodes:JobExitCodes onPodConditions:[PodConditionPattern]",
    "JobExitCodes": "containerName:s operator:s values:[i]~",
    "PodConditionPattern": "type:s status:s",
    "SuccessPolicy": "rules:[SuccessRule]^",
    "SuccessRule": "succeededIndexes:s succeededCount:i",
    "JobStatus": "conditions:[Condition]@type startTime:t completionTime:t active:i terminating:i succeeded:i "
    "failed:i "
    "completedIndexes:s failedIndexes:s uncountedTerminatedPods:* ready:i",
    "CronJob": "metadata:ObjectMeta spec:CronJobSpec status:CronJobStatus",
    "CronJobStatus": "active:[ObjectReference] lastScheduleTime:t lastSuccessfulTime:t",
    "CronJobSpec": "schedule:s timeZone:s startingDeadlineSeconds:i concurrencyPolicy:s suspend:b "
    "jobTemplate:JobTemplate successfulJobsHistoryLimit:i failedJobsHistoryLimit:i",
    "JobTemplate": "metadata:ObjectMeta spec:JobSpec",
    "Service": "metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus",
    "ServiceSpec": "ports:[ServicePort]=port,protocol selector:{s}! clusterIP:s0 clusterIPs:[s] type:s0 "
    "externalIPs:[s] "
    "sessionAffinity:s0 loadBalancerIP:s0 loadBalancerSourceRanges:[s] externalName:s0 externalTrafficPolicy:s0 "
    "healthCheckNodePort:i0 publishNotReadyAddresses:b0 sessionAffinityConfig:SessionAffinity ipFamilies:[s] "
    "ipFamilyPolicy:s "
    "allocateLoadBalancerNodePorts:b loadBalancerClass:s internalTrafficPolicy:s trafficDistribution:s",
    "SessionAffinity": "clientIP:ClientIp",
    "ClientIp": "timeoutSeconds:i",
    "ServicePort": "name:s0 protocol:s0 appProtocol:s port:i targetPort:is nodePort:i0",
    "LoadBalancer": "ingress:[LoadBalancerAddress]",
    "LoadBalancerAddress": "ip:s0 hostname:s0 ipMode:s ports:[PortStatus]",
    "PortStatus": "port:i protocol:s error:s",
    "ServiceStatus": "loadBalancer:LoadBalancer conditions:[Condition]=type",
    "EndpointSlice": "metadata:ObjectMeta addressType:s endpoints:[Endpoint]^ ports:[EndpointPort]",
    "Endpoint": "addresses:[s] conditions:EndpointConditions hostname:s targetRef:ObjectReference! "
    "deprecatedTopology:{s} nodeName:s zone:s hints:EndpointHints",
    "EndpointHints": "forZones:[NamedReference] forNodes:[NamedReference]",
    "EndpointConditions": "ready:b serving:b terminating:b",
    "EndpointPort": "name:s protocol:s port:i appProtocol:s",
    "ConfigMap": "metadata:ObjectMeta immutable:b data:{s} binaryData:{y}",
    "Secret": "metadata:ObjectMeta immutable:b data:{y} stringData:{s} type:s",
    "ServiceAccount": "metadata:ObjectMeta secrets:[ObjectReference]=name imagePullSecrets:[NamedReference] "
    "automountServiceAccountToken:b",
    "Event": "metadata:ObjectMeta involvedObject:ObjectReference! reason:s message:s source:EventSource "
    "firstTimestamp:t lastTimestamp:t count:i type:s eventTime:mt series:EventSeries action:s "
    "related:ObjectReference! "
    "reportingComponent:s reportingInstance:s",
    "EventSource": "component:s host:s",
    "EventSeries": "count:i lastObservedTime:mt",
    "Lease": "metadata:ObjectMeta spec:LeaseSpec",
    "LeaseSpec": "holderIdentity:s leaseDurationSeconds:i acquireTime:mt renewTime:mt leaseTransitions:i strategy:s "
    "preferredHolder:s",
    "PodDisruptionBudget": "metadata:ObjectMeta spec:BudgetSpec status:BudgetStatus",
    "BudgetSpec": "minAvailable:is selector:LabelSelector!% maxUnavailable:is unhealthyPodEvictionPolicy:s",
    "BudgetStatus": "observedGeneration:i disruptedPods:{t} disruptionsAllowed:i currentHealthy:i desiredHealthy:i "
    "expectedPods:i conditions:[Condition]=type",
    "Eviction": "metadata:ObjectMeta deleteOptions:DeleteOptions",
    "DeleteOptions": "kind:s apiVersion:s gracePeriodSeconds:i preconditions:Preconditions orphanDependents:b "
    "propagationPolicy:s dryRun:[s] ignoreStoreReadErrorWithClusterBreakingPotential:b",
    "Preconditions": "uid:s resourceVersion:s",
    "Binding": "metadata:ObjectMeta target:ObjectReference",
    "PriorityClass": "metadata:ObjectMeta value:i globalDefault:b0 description:s0 preemptionPolicy:s",
    "HorizontalPodAutoscaler": "metadata:ObjectMeta spec:HpaSpec status:HpaStatus",
    "HpaSpec": "scaleTargetRef:ScaleTarget! minReplicas:i maxReplicas:i metrics:[HpaMetric] behavior:HpaBehavior",
    "HpaMetric": "type:s object:ObjectMetric pods:PodsMetric resource:ResourceMetric "
    "containerResource:ResourceMetric external:PodsMetric",
    "ObjectMetric": "describedObject:ScaleTarget! target:MetricTarget current:MetricTarget metric:MetricName",
    "PodsMetric": "metric:MetricName target:MetricTarget current:MetricTarget",
    "ResourceMetric": "name:s container:s0 target:MetricTarget current:MetricTarget",
    "MetricName": "name:s selector:LabelSelector!",
    "MetricTarget": "type:s0 value:q averageValue:q averageUtilization:i",
    "HpaBehavior": "scaleUp:HpaRules scaleDown:HpaRules",
    "HpaRules": "stabilizationWindowSeconds:i selectPolicy:s policies:[HpaPolicy] tolerance:q",
    "HpaPolicy": "type:s value:i periodSeconds:i",
    "ScaleTarget": "kind:s name:s apiVersion:s",
    "HpaStatus": "observedGeneration:i lastScaleTime:t currentReplicas:i desiredReplicas:i "
    "currentMetrics:[HpaMetric] "
    "conditions:[Condition]=type",
    "Scale": "metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus",
    "ScaleSpec": "replicas:i",
    "ScaleStatus": "replicas:i selector:s",
    "Role": "metadata:ObjectMeta rules:[PolicyRule]",
    "ClusterRole": "metadata:ObjectMeta rules:[PolicyRule] aggregationRule:AggregationRule",
    "AggregationRule": "clusterRoleSelectors:[LabelSelector]",
    "PolicyRule": "verbs:[s] apiGroups:[s] resources:[s] resourceNames:[s] nonResourceURLs:[s]",
    "RoleBinding": "metadata:ObjectMeta subjects:[Subject] roleRef:RoleReference!",
    "ClusterRoleBinding": "metadata:ObjectMeta subjects:[Subject] roleRef:RoleReference!",
    "Subject": "kind:s apiGroup:s name:s namespace:s",
    "RoleReference": "apiGroup:s kind:s name:s",
    "CustomResourceDefinition": "metadata:ObjectMeta spec:DefinitionSpec status:DefinitionStatus",
    "DefinitionSpec": "group:s names:DefinitionNames scope:s versions:[DefinitionVersion] conversion:* "
    "preserveUnknownFields:b0",
    "DefinitionNames": "plural:s singular:s0 shortNames:[s] kind:s listKind:s0 categories:[s]",
    "DefinitionVersion": "name:s served:b storage:b deprecated:b0 deprecationWarning:s schema:DefinitionSchema "
    "subresources:DefinitionSubresources additionalPrinterColumns:[PrinterColumn] selectableFields:[SelectableField]",
    "DefinitionSchema": "openAPIV3Schema:*",
    "DefinitionSubresources": "status:* scale:DefinitionScale",
    "DefinitionScale": "specReplicasPath:s statusReplicasPath:s labelSelectorPath:s",
    "PrinterColumn": "name:s type:s format:s0 description:s0 priority:i0 jsonPath:s",
    "SelectableField": "jsonPath:s",
    "DefinitionStatus": "conditions:[Condition]=type acceptedNames:DefinitionNames storedVersions:[s] "
    "observedGeneration:i0",
    "APIService": "metadata:ObjectMeta spec:ApiServiceSpec status:ApiServiceStatus",
    "ApiServiceSpec": "service:ApiServiceReference group:s version:s insecureSkipTLSVerify:b caBundle:y "
    "groupPriorityMinimum:i versionPriority:i",
    "ApiServiceReference": "name:s namespace:s port:i",
    "ApiServiceStatus": "conditions:[Condition]=type",
    "SelfSubjectAccessReview": "metadata:ObjectMeta spec:ReviewSpec status:*",
    "SubjectAccessReview": "metadata:ObjectMeta spec:ReviewSpec status:*",
    "LocalSubjectAccessReview": "metadata:ObjectMeta spec:ReviewSpec status:*",
    "ReviewSpec": "resourceAttributes:ResourceAttributes nonResourceAttributes:PathAttributes user:s groups:[s] "
    "uid:s "
    "extra:*",
    "ResourceAttributes": "namespace:s verb:s group:s version:s resource:s subresource:s name:s fieldSelector:* "
    "labelSelector:*",
    "PathAttributes": "path:s verb:s",
    "SelfSubjectRulesReview": "metadata:ObjectMeta spec:RulesReviewSpec status:*",
    "RulesReviewSpec": "namespace:s",
    "TokenRequest": "metadata:ObjectMeta spec:TokenRequestSpec status:*",
    "TokenRequestSpec": "audiences:[s]^ expirationSeconds:i boundObjectRef:ObjectReference",
    "TokenReview": "metadata:ObjectMeta spec:TokenReviewSpec status:*",
    "TokenReviewSpec": "token:s audiences:[s]",
    "SelfSubjectReview": "metadata:ObjectMeta status:*",
    "Ingress": "metadata:ObjectMeta spec:IngressSpec status:IngressStatus",
    "IngressSpec": "ingressClassName:s defaultBackend:IngressBackend tls:[IngressTls] rules:[IngressRule]",
    "IngressBackend": "service:IngressService resource:ObjectReference!",
    "IngressService": "name:s port:IngressPort",
    "IngressPort": "name:s0 number:i0",
    "IngressTls": "hosts:[s] secretName:s0",
    "IngressRule": "host:s0 http:IngressHttp",
    "IngressHttp": "paths:[IngressPath]^",
    "IngressPath": "path:s0 pathType:s backend:IngressBackend",
    "IngressStatus": "loadBalancer:LoadBalancer",
    "IngressClass": "metadata:ObjectMeta spec:IngressClassSpec",
    "IngressClassSpec": "controller:s0 parameters:IngressClassParameters",
    "IngressClassParameters": "apiGroup:s kind:s name:s scope:s namespace:s",
    "NetworkPolicy": "metadata:ObjectMeta spec:NetworkPolicySpec",
    "NetworkPolicySpec": "podSelector:LabelSelector! ingress:[PolicyIngress] egress:[PolicyEgress] policyTypes:[s]",
    "PolicyIngress": "ports:[PolicyPort] from:[PolicyPeer]",
    "PolicyEgress": "ports:[PolicyPort] to:[PolicyPeer]",
    "PolicyPort": "protocol:s port:is endPort:i",
    "PolicyPeer": "podSelector:LabelSelector! namespaceSelector:LabelSelector! ipBlock:IpBlock",
    "IpBlock": "cidr:s except:[s]",
    "PersistentVolumeClaim": "metadata:ObjectMeta spec:ClaimSpec status:ClaimStatus",
    "ClaimSpec": "accessModes:[s] selector:LabelSelector! resources:Resources volumeName:s0 storageClassName:s "
    "volumeMode:s dataSource:ClaimSource! dataSourceRef:ClaimSource volumeAttributesClassName:s",
    "ClaimSource": "apiGroup:s kind:s name:s namespace:s",
    "ClaimStatus": "phase:s0 accessModes:[s] capacity:{q} conditions:[Condition]=type allocatedResources:{q} "
    "allocatedResourceStatuses:{s}! currentVolumeAttributesClassName:s modifyVolumeStatus:*",
    "PersistentVolume": "metadata:ObjectMeta spec:VolumeSpec status:VolumeStatus",
    "VolumeSpec": "capacity:{q} accessModes:[s] claimRef:ObjectReference! persistentVolumeReclaimPolicy:s0 "
    "storageClassName:s0 mountOptions:[s] volumeMode:s nodeAffinity:VolumeNodeAffinity volumeAttributesClassName:s "
    "hostPath:HostPath local:VolumeLocal csi:* nfs:NfsVolume awsElasticBlockStore:* gcePersistentDisk:* azureDisk:*",
    "VolumeNodeAffinity": "required:NodeSelector!",
    "VolumeLocal": "path:s fsType:s",
    "VolumeStatus": "phase:s0 message:s0 reason:s0 lastPhaseTransitionTime:t",
    "StorageClass": "metadata:ObjectMeta provisioner:s parameters:{s} reclaimPolicy:s mountOptions:[s] "
    "allowVolumeExpansion:b volumeBindingMode:s allowedTopologies:[*]",
    "ControllerRevision": "metadata:ObjectMeta data:* revision:i",
    "Endpoints": "metadata:ObjectMeta subsets:[EndpointSubset]",
    "EndpointSubset": "addresses:[EndpointAddress] notReadyAddresses:[EndpointAddress] ports:[EndpointPort]",
    "EndpointAddress": "ip:s hostname:s0 nodeName:s targetRef:ObjectReference!",
    "ResourceQuota": "metadata:ObjectMeta spec:QuotaSpec status:QuotaStatus",
    "QuotaSpec": "hard:{q} scopeSelector:* scopes:[s]",
    "QuotaStatus": "hard:{q} used:{q}",
    "LimitRange": "metadata:ObjectMeta spec:LimitRangeSpec",
    "LimitRangeSpec": "limits:[LimitRangeItem]^",
    "LimitRangeItem": "type:s max:{q} min:{q} default:{q} defaultRequest:{q} maxLimitRequestRatio:{q}",
}

_SCALARS = {"s", "s0", "i", "i0", "b", "b0", "q", "t", "mt", "is", "y", "n", "*"}
_SHAPE = re.compile(
    r"^(?P<inner>\[.*\]|\{.*\}|[A-Za-z0-9*]+)(?P<set>~)?(?P<atomic>!)?(?P<replaced>%)?(?P<kept>\^)?"
    r"(?:(?P<kind>[=@])(?P<keys>.+))?$"
)


@dataclass(frozen=True)
class Schema:
    """A field's type.

    Parameters
    ----------
    form: "struct", "map", "list", or a scalar code of the table above.
    name: the type's name in TYPES, for structs.
    keys: keys by which entries of a list have owners of their own in server-side apply.
    patch_key: key by which a strategic merge patch merges a list.
    """

    form: str
    name: str = ""
    inner: str = ""
    keys: tuple[str, ...] = ()
    patch_key: str = ""
    is_set: bool = False
    atomic: bool = False
    replaced: bool = False
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
    inner, keys = match["inner"], tuple(match["keys"].split(",")) if match["keys"] else ()
    if inner[0] in "[{":
        form, name = "list" if inner[0] == "[" else "map", ""
    else:
        form, name = (inner, "") if inner in _SCALARS else ("struct", inner)
    return Schema(form, name, inner[1:-1], keys if match["kind"] == "=" else (), keys[0] if keys else "",
                  *(bool(match[group]) for group in ("set", "atomic", "replaced", "kept")))  # fmt: skip


@functools.cache
def _fields(name: str) -> dict[str, Schema]:
    return {word.split(":", 1)[0]: parse(word.split(":", 1)[1]) for word in TYPES[name].split()}
