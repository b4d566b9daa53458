"""The fields of pods, below `PodSpec` and `PodStatus`, in the notation of `schemas.py` (core/v1 types.go, v1.36)."""

from __future__ import annotations

POD_TYPES: dict[str, str] = {
    "Pod": "metadata:ObjectMeta spec:PodSpec status:PodStatus",
    "PodTemplate": "metadata:ObjectMeta spec:PodSpec",
    "PodSpec": "volumes:[Volume]=name initContainers:[Container]=name containers:[Container]=name restartPolicy:s0 "
    "ephemeralContainers:[Container]=name terminationGracePeriodSeconds:i activeDeadlineSeconds:i dnsPolicy:s0 "
    "nodeSelector:{s}! serviceAccountName:s0 serviceAccount:s0 automountServiceAccountToken:b nodeName:s0 "
    "hostNetwork:b0 hostPID:b0 hostIPC:b0 shareProcessNamespace:b securityContext:PodSecurity "
    "imagePullSecrets:[NamedReference]=name hostname:s0 subdomain:s0 affinity:Affinity schedulerName:s0 "
    "tolerations:[Toleration] hostAliases:[HostAlias]=ip priorityClassName:s0 priority:i dnsConfig:DnsConfig "
    "readinessGates:[ReadinessGate] runtimeClassName:s enableServiceLinks:b preemptionPolicy:s overhead:{q} "
    "topologySpreadConstraints:[TopologySpread]=topologyKey,whenUnsatisfiable setHostnameAsFQDN:b os:NamedReference "
    "hostUsers:b schedulingGates:[NamedReference]=name resourceClaims:[PodClaim]=name resources:Resources "
    "hostnameOverride:s workloadRef:{s} schedulingGroup:{s}",
    "PodSecurity": "seLinuxOptions:{s} windowsOptions:* runAsUser:i runAsGroup:i runAsNonRoot:b supplementalGroups:[i] "
    "supplementalGroupsPolicy:s fsGroup:i sysctls:[NameValue] fsGroupChangePolicy:s seccompProfile:Profile "
    "appArmorProfile:Profile seLinuxChangePolicy:s",
    "NameValue": "name:s value:s",
    "Profile": "type:s localhostProfile:s",
    "HostAlias": "ip:s hostnames:[s]",
    "DnsConfig": "nameservers:[s] searches:[s] options:[NameValue]",
    "ReadinessGate": "conditionType:s",
    "PodClaim": "name:s resourceClaimName:s resourceClaimTemplateName:s",
    "TopologySpread": "maxSkew:i topologyKey:s whenUnsatisfiable:s labelSelector:LabelSelector! minDomains:i "
    "nodeAffinityPolicy:s nodeTaintsPolicy:s matchLabelKeys:[s]",
    "NamedReference": "name:s",
    "Toleration": "key:s0 operator:s0 value:s0 effect:s0 tolerationSeconds:i",
    "Affinity": "nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAffinity",
    "NodeAffinity": "requiredDuringSchedulingIgnoredDuringExecution:NodeSelector! "
    "preferredDuringSchedulingIgnoredDuringExecution:[PreferredTerm]",
    "NodeSelector": "nodeSelectorTerms:[NodeTerm]^",
    "NodeTerm": "matchExpressions:[SelectorRequirement] matchFields:[SelectorRequirement]",
    "PreferredTerm": "weight:i preference:NodeTerm!",
    "PodAffinity": "requiredDuringSchedulingIgnoredDuringExecution:[AffinityTerm] "
    "preferredDuringSchedulingIgnoredDuringExecution:[WeightedTerm]",
    "WeightedTerm": "weight:i podAffinityTerm:AffinityTerm",
    "AffinityTerm": "labelSelector:LabelSelector! namespaces:[s] topologyKey:s namespaceSelector:LabelSelector! "
    "matchLabelKeys:[s] mismatchLabelKeys:[s]",
    "Container": "name:s image:s0 command:[s] args:[s] workingDir:s0 ports:[ContainerPort]=containerPort,protocol "
    "envFrom:[EnvSource] env:[EnvVar]=name resources:Resources resizePolicy:[ResizePolicy] restartPolicy:s "
    "restartPolicyRules:[RestartRule] volumeMounts:[VolumeMount]=mountPath volumeDevices:[VolumeDevice]=devicePath "
    "livenessProbe:Probe readinessProbe:Probe startupProbe:Probe lifecycle:Lifecycle terminationMessagePath:s0 "
    "terminationMessagePolicy:s0 imagePullPolicy:s0 securityContext:ContainerSecurity stdin:b0 stdinOnce:b0 tty:b0 "
    "targetContainerName:s0",
    "ContainerPort": "name:s0 hostPort:i0 containerPort:i protocol:s0 hostIP:s0",
    "ResizePolicy": "resourceName:s restartPolicy:s",
    "RestartRule": "action:s exitCodes:ExitCodes",
    "ExitCodes": "operator:s values:[i]",
    "EnvVar": "name:s value:s0 valueFrom:EnvValue",
    "EnvValue": "fieldRef:FieldRef! resourceFieldRef:ResourceFieldRef! configMapKeyRef:KeyRef! secretKeyRef:KeyRef! "
    "fileKeyRef:FileKeyRef!",
    "FieldRef": "apiVersion:s fieldPath:s",
    "ResourceFieldRef": "containerName:s0 resource:s divisor:q",
    "KeyRef": "name:s key:s optional:b",
    "FileKeyRef": "volumeName:s path:s key:s optional:b",
    "EnvSource": "prefix:s0 configMapRef:OptionalReference secretRef:OptionalReference",
    "OptionalReference": "name:s optional:b",
    "Resources": "limits:{q} requests:{q} claims:[ResourceClaim]=name",
    "ResourceClaim": "name:s request:s0",
    "VolumeMount": "name:s readOnly:b0 recursiveReadOnly:s mountPath:s subPath:s0 mountPropagation:s subPathExpr:s0",
    "VolumeDevice": "name:s devicePath:s",
    "Probe": "exec:ExecAction httpGet:HttpAction tcpSocket:SocketAction grpc:GrpcAction initialDelaySeconds:i0 "
    "timeoutSeconds:i0 periodSeconds:i0 successThreshold:i0 failureThreshold:i0 terminationGracePeriodSeconds:i",
    "ExecAction": "command:[s]",
    "HttpAction": "path:s0 port:is host:s0 scheme:s0 httpHeaders:[NameValue]",
    "SocketAction": "port:is host:s0",
    "GrpcAction": "port:i service:s",
    "Lifecycle": "postStart:LifecycleHandler preStop:LifecycleHandler stopSignal:s",
    "LifecycleHandler": "exec:ExecAction httpGet:HttpAction tcpSocket:SocketAction sleep:SleepAction",
    "SleepAction": "seconds:i",
    "ContainerSecurity": "capabilities:Capabilities privileged:b seLinuxOptions:{s} windowsOptions:* runAsUser:i "
    "runAsGroup:i runAsNonRoot:b readOnlyRootFilesystem:b allowPrivilegeEscalation:b procMount:s "
    "seccompProfile:Profile appArmorProfile:Profile",
    "Capabilities": "add:[s] drop:[s]",
    "Volume": "name:s emptyDir:EmptyDir configMap:ConfigMapVolume secret:SecretVolume hostPath:HostPath "
    "persistentVolumeClaim:ClaimVolume projected:Projected downwardAPI:DownwardApi csi:CsiVolume nfs:NfsVolume "
    "ephemeral:Ephemeral image:ImageVolume iscsi:* awsElasticBlockStore:* gcePersistentDisk:* azureDisk:* azureFile:* "
    "cephfs:* rbd:* fc:* glusterfs:* cinder:* vsphereVolume:* portworxVolume:* flexVolume:* gitRepo:* quobyte:* "
    "storageos:* scaleIO:* flocker:* photonPersistentDisk:*",
    "EmptyDir": "medium:s0 sizeLimit:q",
    "KeyToPath": "key:s path:s mode:i",
    "ConfigMapVolume": "name:s items:[KeyToPath] defaultMode:i optional:b",
    "SecretVolume": "secretName:s0 items:[KeyToPath] defaultMode:i optional:b",
    "HostPath": "path:s type:s",
    "ClaimVolume": "claimName:s readOnly:b0",
    "Projected": "sources:[ProjectedSource]^ defaultMode:i",
    "ProjectedSource": "secret:ProjectedKeys configMap:ProjectedKeys downwardAPI:DownwardApi "
    "serviceAccountToken:ProjectedToken clusterTrustBundle:* podCertificate:*",
    "ProjectedKeys": "name:s items:[KeyToPath] optional:b",
    "ProjectedToken": "audience:s0 expirationSeconds:i path:s",
    "DownwardApi": "items:[DownwardFile] defaultMode:i",
    "DownwardFile": "path:s fieldRef:FieldRef! resourceFieldRef:ResourceFieldRef! mode:i",
    "CsiVolume": "driver:s readOnly:b fsType:s volumeAttributes:{s} nodePublishSecretRef:NamedReference!",
    "NfsVolume": "server:s path:s readOnly:b0",
    "Ephemeral": "volumeClaimTemplate:ClaimTemplate",
    "ClaimTemplate": "metadata:ObjectMeta spec:ClaimSpec",
    "ImageVolume": "reference:s0 pullPolicy:s0",
    "PodStatus": "observedGeneration:i0 phase:s0 conditions:[Condition]=type message:s0 reason:s0 "
    "nominatedNodeName:s0 hostIP:s0 hostIPs:[PodIp]@ip podIP:s0 podIPs:[PodIp]=ip startTime:t "
    "initContainerStatuses:[ContainerStatus] containerStatuses:[ContainerStatus] "
    "ephemeralContainerStatuses:[ContainerStatus] qosClass:s0 resize:s0 resourceClaimStatuses:[PodClaim]=name "
    "allocatedResources:{q} resources:Resources extendedResourceClaimStatus:*",
    "PodIp": "ip:s",
    "ContainerStatus": "name:s state:ContainerState lastState:ContainerState ready:b restartCount:i image:s imageID:s "
    "containerID:s0 started:b allocatedResources:{q} resources:Resources volumeMounts:[VolumeMount]=mountPath user:* "
    "allocatedResourcesStatus:[*] stopSignal:s",
    "ContainerState": "waiting:Waiting running:Running terminated:Terminated",
    "Waiting": "reason:s0 message:s0",
    "Running": "startedAt:t",
    "Terminated": "exitCode:i signal:i0 reason:s0 message:s0 startedAt:t finishedAt:t containerID:s0",
}
"""Types by name. Structs that the real server treats as one value in server-side apply carry a `!`."""
