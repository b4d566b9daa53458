"""The simulated kubelets: nodes with a label report and run their pods; an annotation or an outage silences one.

Nothing is executed. A node without the label, and pods on it, are left alone. What a kubelet knows is read off the
objects, as after a restart; only probes' streaks and the back-offs of image pulls are its own, and begin anew with it.
"""

from deployments.local.kubernetes.controllers.kubelet.node_reports import NodeKubelet
from deployments.local.kubernetes.controllers.kubelet.pods import PodKubelet
from deployments.local.kubernetes.controllers.kubelet.pressure import DiskPressure

__all__ = ["DiskPressure", "NodeKubelet", "PodKubelet"]
