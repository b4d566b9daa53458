"""Field numbers of the Kubernetes messages that kubectl sends (k8s.io/api, generated.proto).

A message is a line of `number:name:type` words. Types:

    s string   i integer   b boolean   y bytes, base64 in JSON   q quantity   is integer or string   Name a message
    ? behind a type: a pointer, so that a zero value says something   [T] list   {T} map of strings to T
    @ behind a message: its fields stand in the object itself
"""

from __future__ import annotations

import functools
from typing import NamedTuple

# A message with two shapes is listed by version and kind.
_LINES: dict[str, str] = {
    "Unknown": "1:type:TypeMeta 2:raw:raw",
    "TypeMeta": "1:apiVersion:s 2:kind:s",
    "ObjectMeta": "1:name:s 2:generateName:s 3:namespace:s 5:uid:s 6:resourceVersion:s 7:generation:i "
    "8:creationTimestamp:- 11:labels:{s} 12:annotations:{s} 13:ownerReferences:[OwnerReference] 14:finalizers:[s]",
    "OwnerReference": "1:kind:s 3:name:s 4:uid:s 5:apiVersion:s 6:controller:b? 7:blockOwnerDeletion:b?",
    "LabelSelector": "1:matchLabels:{s} 2:matchExpressions:[SelectorRequirement]",
    "SelectorRequirement": "1:key:s 2:operator:s 3:values:[s]",
    "IntOrString": "1:type:i 2:intVal:i 3:strVal:s",
    "Quantity": "1:string:s",
    "Namespace": "1:metadata:ObjectMeta 2:spec:NamespaceSpec 3:status:-",
    "NamespaceSpec": "1:finalizers:[s]",
    "ServiceAccount": "1:metadata:ObjectMeta 4:automountServiceAccountToken:b?",
    "ConfigMap": "1:metadata:ObjectMeta 2:data:{s} 3:binaryData:{y} 4:immutable:b?",
    "Secret": "1:metadata:ObjectMeta 2:data:{y} 3:type:s 4:stringData:{s} 5:immutable:b?",
    "Pod": "1:metadata:ObjectMeta 2:spec:PodSpec 3:status:-",
    "PodTemplate": "1:metadata:ObjectMeta 2:spec:PodSpec",
    "PodSpec": "2:containers:[Container] 3:restartPolicy:s 4:terminationGracePeriodSeconds:i? "
    "5:activeDeadlineSeconds:i? 6:dnsPolicy:s 7:nodeSelector:{s} 8:serviceAccountName:s 9:serviceAccount:s "
    "10:nodeName:s 11:hostNetwork:b 12:hostPID:b 13:hostIPC:b 16:hostname:s 17:subdomain:s 19:schedulerName:s "
    "20:initContainers:[Container] 21:automountServiceAccountToken:b? 22:tolerations:[Toleration] "
    "24:priorityClassName:s",
    "Toleration": "1:key:s 2:operator:s 3:value:s 4:effect:s 5:tolerationSeconds:i?",
    "Container": "1:name:s 2:image:s 3:command:[s] 4:args:[s] 5:workingDir:s 6:ports:[ContainerPort] 7:env:[EnvVar] "
    "8:resources:Resources 13:terminationMessagePath:s 14:imagePullPolicy:s 16:stdin:b 17:stdinOnce:b 18:tty:b "
    "20:terminationMessagePolicy:s",
    "ContainerPort": "1:name:s 2:hostPort:i 3:containerPort:i 4:protocol:s 5:hostIP:s",
    "EnvVar": "1:name:s 2:value:s",
    "Resources": "1:limits:{q} 2:requests:{q}",
    "Service": "1:metadata:ObjectMeta 2:spec:ServiceSpec 3:status:-",
    "ServiceSpec": "1:ports:[ServicePort] 2:selector:{s} 3:clusterIP:s 4:type:s 5:externalIPs:[s] 7:sessionAffinity:s "
    "8:loadBalancerIP:s 10:externalName:s 11:externalTrafficPolicy:s 12:healthCheckNodePort:i "
    "13:publishNotReadyAddresses:b 18:clusterIPs:[s]",
    "ServicePort": "1:name:s 2:protocol:s 3:port:i 4:targetPort:is 5:nodePort:i 6:appProtocol:s?",
    "Deployment": "1:metadata:ObjectMeta 2:spec:DeploymentSpec 3:status:-",
    "DeploymentSpec": "1:replicas:i? 2:selector:LabelSelector? 3:template:PodTemplate 4:strategy:DeploymentStrategy "
    "5:minReadySeconds:i 6:revisionHistoryLimit:i? 7:paused:b 9:progressDeadlineSeconds:i?",
    "DeploymentStrategy": "1:type:s 2:rollingUpdate:RollingUpdate",
    "RollingUpdate": "1:maxUnavailable:is? 2:maxSurge:is?",
    "Job": "1:metadata:ObjectMeta 2:spec:JobSpec 3:status:-",
    "JobSpec": "1:parallelism:i? 2:completions:i? 3:activeDeadlineSeconds:i? 4:selector:LabelSelector? "
    "5:manualSelector:b? 6:template:PodTemplate 7:backoffLimit:i? 8:ttlSecondsAfterFinished:i? 9:completionMode:s? "
    "10:suspend:b?",
    "CronJob": "1:metadata:ObjectMeta 2:spec:CronJobSpec 3:status:-",
    "CronJobSpec": "1:schedule:s 2:startingDeadlineSeconds:i? 3:concurrencyPolicy:s 4:suspend:b? "
    "5:jobTemplate:JobTemplate 6:successfulJobsHistoryLimit:i? 7:failedJobsHistoryLimit:i? 8:timeZone:s?",
    "JobTemplate": "1:metadata:ObjectMeta 2:spec:JobSpec",
    "PodDisruptionBudget": "1:metadata:ObjectMeta 2:spec:BudgetSpec 3:status:-",
    "BudgetSpec": "1:minAvailable:is? 2:selector:LabelSelector? 3:maxUnavailable:is? 4:unhealthyPodEvictionPolicy:s?",
    "PriorityClass": "1:metadata:ObjectMeta 2:value:i? 3:globalDefault:b 4:description:s 5:preemptionPolicy:s?",
    "HorizontalPodAutoscaler": "1:metadata:ObjectMeta 2:spec:HpaSpec 3:status:-",
    "HpaSpec": "1:scaleTargetRef:ScaleTarget 2:minReplicas:i? 3:maxReplicas:i 4:metrics:[MetricSpec]",
    "MetricSpec": "1:type:s 4:resource:ResourceMetric",
    "ResourceMetric": "1:name:s 2:target:MetricTarget",
    "MetricTarget": "1:type:s 2:value:q? 3:averageValue:q? 4:averageUtilization:i?",
    "autoscaling/v1 HorizontalPodAutoscaler": "1:metadata:ObjectMeta 2:spec:HpaSpecV1 3:status:-",
    "HpaSpecV1": "1:scaleTargetRef:ScaleTarget 2:minReplicas:i? 3:maxReplicas:i 4:targetCPUUtilizationPercentage:i?",
    "ScaleTarget": "1:kind:s 2:name:s 3:apiVersion:s",
    "Ingress": "1:metadata:ObjectMeta 2:spec:IngressSpec 3:status:-",
    "IngressSpec": "1:defaultBackend:IngressBackend 2:tls:[IngressTls] 3:rules:[IngressRule] 4:ingressClassName:s?",
    "IngressTls": "1:hosts:[s] 2:secretName:s",
    "IngressRule": "1:host:s 2:value:IngressRuleValue@",
    "IngressRuleValue": "1:http:IngressPaths",
    "IngressPaths": "1:paths:[IngressPath]",
    "IngressPath": "1:path:s 2:backend:IngressBackend 3:pathType:s?",
    "IngressBackend": "4:service:IngressService",
    "IngressService": "1:name:s 2:port:IngressPort",
    "IngressPort": "1:name:s 2:number:i",
    "Role": "1:metadata:ObjectMeta 2:rules:[PolicyRule]",
    "ClusterRole": "1:metadata:ObjectMeta 2:rules:[PolicyRule]",
    "PolicyRule": "1:verbs:[s] 2:apiGroups:[s] 3:resources:[s] 4:resourceNames:[s] 5:nonResourceURLs:[s]",
    "RoleBinding": "1:metadata:ObjectMeta 2:subjects:[Subject] 3:roleRef:RoleReference",
    "ClusterRoleBinding": "1:metadata:ObjectMeta 2:subjects:[Subject] 3:roleRef:RoleReference",
    "Subject": "1:kind:s 2:apiGroup:s 3:name:s 4:namespace:s",
    "RoleReference": "1:apiGroup:s 2:kind:s 3:name:s",
    "Eviction": "1:metadata:ObjectMeta 2:deleteOptions:DeleteOptions?",
    "DeleteOptions": "1:gracePeriodSeconds:i? 2:preconditions:Preconditions 4:propagationPolicy:s? 5:dryRun:[s]",
    "Preconditions": "1:uid:s? 2:resourceVersion:s?",
    "SelfSubjectAccessReview": "1:metadata:ObjectMeta 2:spec:AccessSpec 3:status:-",
    "AccessSpec": "1:resourceAttributes:ResourceAttributes 2:nonResourceAttributes:NonResource",
    "ResourceAttributes": "1:namespace:s 2:verb:s 3:group:s 4:version:s 5:resource:s 6:subresource:s 7:name:s",
    "NonResource": "1:path:s 2:verb:s",
    "SelfSubjectReview": "1:metadata:ObjectMeta 2:status:-",
    "SelfSubjectRulesReview": "1:metadata:ObjectMeta 2:spec:RulesSpec 3:status:-",
    "RulesSpec": "1:namespace:s",
}


class Field(NamedTuple):
    """One field of a message.

    Parameters
    ----------
    type: a scalar's letters or a message's name; "-" is read over.
    form: "one", "list", "map" or "inline".
    pointer: whether a zero value says something.
    """

    name: str
    type: str
    form: str = "one"
    pointer: bool = False


@functools.cache
def message(name: str) -> dict[int, Field]:
    """The fields of a message, by number.

    >>> message("Subject")[3], message("Role")[2].form
    (Field(name='name', type='s', form='one', pointer=False), 'list')
    """
    return {int(word.split(":")[0]): _field(*word.split(":")[1:]) for word in _LINES[name].split()}


def _field(name: str, text: str) -> Field:
    if text[0] in "[{":
        return Field(name, text[1:-1], "list" if text[0] == "[" else "map")
    if text[-1] == "@":
        return Field(name, text[:-1], "inline")
    return Field(name, text.removesuffix("?"), "one", text.endswith("?"))


def root(api_version: str, kind: str) -> str:
    """The message of a kind; "" where it is not known."""
    return next((name for name in (f"{api_version} {kind}", kind) if name in _LINES), "")
