"""What a container does next, by its state: wait for its image, start, run, end, back off, start again."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployments.local.kubernetes.controllers.kubelet import images, marks
from deployments.local.kubernetes.controllers.kubelet.images import Pull
from deployments.local.kubernetes.controllers.kubelet.probes import LIVENESS, READINESS, STARTUP, probe_of, verdict_s
from deployments.local.kubernetes.controllers.kubelet.turns import Turn
from deployments.local.kubernetes.trees import dig, epoch_s

Json = dict[str, Any]

CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"
CRASH_LOOP = "CrashLoopBackOff"
INIT_S = 1.0
"""Seconds that an init container runs."""
CRASH_S = 1.0
"""Seconds until a container that fails crashes, unless an annotation says otherwise."""
SEEN_S = 1.0
"""Seconds until a kubelet has noticed that a container ended."""
FIRST_S, LONGEST_S = 10.0, 300.0
"""Back-off of restarts, doubling (kubelet: MaxContainerBackOff)."""
FORGIVEN_S = 2 * LONGEST_S
"""A container that ran so long begins with no back-off again."""
KILLED = 137
"""Exit code of a container that was killed."""

_MOST_MOVES = 8
_NEEDED = {"waiting": (), "running": ("startedAt",), "terminated": ("startedAt", "finishedAt", "exitCode")}
_WAIT = re.compile(r"^back-off (?:(\d+)m)?(\d+)s ")


@dataclass(frozen=True)
class Role:
    """A container's place in its pod.

    Parameters
    ----------
    init: whether it has to end before others start.
    begins_s: when it may start at the earliest, epoch seconds.
    policy: its restart policy.
    """

    init: bool
    begins_s: float
    policy: str


def new_status(container: Json, reason: str) -> Json:
    """Status of a container that has not started."""
    return {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0, "ready": False,
            "started": False, "lastState": {}, "state": {"waiting": {"reason": reason}}}  # fmt: skip


def is_whole(status: Json) -> bool:
    """Whether a container's status says what a kubelet needs to go on; clients may have written it.

    >>> is_whole(new_status({"name": "main", "image": "i"}, CREATING)), is_whole({"name": "main", "state": {}})
    (True, False)
    """
    if not {"name", "state", "lastState", "ready", "restartCount"} <= status.keys() or len(status["state"]) != 1:
        return False
    form, state = next(iter(status["state"].items()))
    return form in _NEEDED and state.keys() >= set(_NEEDED[form])


def advance(turn: Turn, container: Json, role: Role, status: Json) -> Json:
    """A container's status as far as it has got by now."""
    for _ in range(_MOST_MOVES):
        move = _MOVES[next(iter(status["state"]))]
        new = move(turn, container, role, status)
        if new == status:
            break
        status = new
    return status


def spoken(seconds: float) -> str:
    """A length of time as Go prints it.

    >>> spoken(10), spoken(80), spoken(300)
    ('10s', '1m20s', '5m0s')
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def told_wait_s(message: str) -> float:
    """The back-off that a waiting container's message tells: it is kept nowhere else.

    >>> told_wait_s("back-off 1m20s restarting failed container=main pod=web_default(1)")
    80.0
    """
    match = _WAIT.match(message)
    return 60.0 * int(match[1] or 0) + int(match[2]) if match is not None else LONGEST_S


def backoff_s(status: Json) -> float:
    """Back-off of a container that has just ended: none after its first end, then 10 s, doubling.

    The back-off before the last run lies between the end before it and its start.
    """
    ended, before = status["state"]["terminated"], status["lastState"].get("terminated")
    ran_s = epoch_s(ended["finishedAt"]) - epoch_s(ended["startedAt"])
    if before is None or ran_s > FORGIVEN_S:
        return 0.0
    waited_s = epoch_s(ended["startedAt"]) - epoch_s(before["finishedAt"])
    return min(2 * waited_s, LONGEST_S) if waited_s >= FIRST_S else FIRST_S


def _waiting(turn: Turn, container: Json, role: Role, status: Json) -> Json:
    waiting = status["state"]["waiting"]
    if waiting.get("reason") == CRASH_LOOP and (last := dig(status, "lastState", "terminated", "finishedAt")):
        until_s = epoch_s(last) + told_wait_s(waiting.get("message", ""))
        return _started(turn, container, status) if turn.reached(until_s) else status
    return _pulled(turn, container, status) if turn.reached(role.begins_s) else status


def _pulled(turn: Turn, container: Json, status: Json) -> Json:
    """Pull the image if need be, then start."""
    image, name, policy = container["image"], container["name"], container.get("imagePullPolicy", "IfNotPresent")
    missing = images.is_missing(turn.pod, image)
    if policy != "Always" and images.is_on(turn.node, image) and not missing:
        turn.say("Pulled", f'Container image "{image}" already present on machine', name)
        return _started(turn, container, status)
    if policy == "Never":
        why = f'Container image "{image}" is not present with pull policy of Never'
        return {**status, "state": {"waiting": {"reason": "ErrImageNeverPull", "message": why}}}
    pull = turn.memory.pulls.get(name)
    if pull is None:
        pull = turn.memory.pulls[name] = Pull(turn.now_s)
        turn.say("Pulling", f'Pulling image "{image}"', name)
    if not turn.reached(pull.begins_s):
        return _image_backoff(turn, image, status, pull)
    took_s = images.FAIL_S if missing else images.pull_s(turn.pod, turn.node, image)
    if not turn.reached(pull.begins_s + took_s):
        return status
    if pull.failures:
        turn.say("Pulling", f'Pulling image "{image}"', name)
    if missing:
        return _not_pulled(turn, name, image, status, pull)
    del turn.memory.pulls[name]
    turn.pulled.append(image)
    size = images.size_bytes(image)
    turn.say("Pulled", f'Successfully pulled image "{image}" in {took_s:.3g}s ({took_s:.3g}s including waiting). '
                       f"Image size: {size} bytes.", name)  # fmt: skip
    return _started(turn, container, status)


def _not_pulled(turn: Turn, name: str, image: str, status: Json, pull: Pull) -> Json:
    why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    turn.say("Failed", f'Failed to pull image "{image}": {why}', name, warning=True)
    turn.say("Failed", "Error: ErrImagePull", name, warning=True)
    failures = pull.failures + 1
    begins_s = turn.now_s + images.backoff_s(failures)
    turn.memory.pulls[name] = Pull(begins_s, failures)
    turn.due_s += [turn.now_s + images.SEEN_S, begins_s]
    return {**status, "state": {"waiting": {"reason": "ErrImagePull", "message": why}}}


def _image_backoff(turn: Turn, image: str, status: Json, pull: Pull) -> Json:
    """Between two attempts; the error stands for a moment."""
    failed_s = pull.begins_s - images.backoff_s(pull.failures) if pull.failures else math.inf
    if not turn.reached(failed_s + images.SEEN_S) or status["state"]["waiting"].get("reason") == "ImagePullBackOff":
        return status
    why = f'Back-off pulling image "{image}"'
    turn.say("BackOff", why, status["name"])
    turn.say("Failed", "Error: ImagePullBackOff", status["name"], warning=True)
    return {**status, "state": {"waiting": {"reason": "ImagePullBackOff", "message": f"{why}: ErrImagePull"}}}


def _started(turn: Turn, container: Json, status: Json) -> Json:
    ended = status["state"] if "terminated" in status["state"] else status["lastState"]
    name, count = container["name"], status["restartCount"] + (1 if ended else 0)
    turn.say("Created", f"Created container: {name}", name)
    turn.say("Started", f"Started container {name}", name)
    turn.memory.streaks = {key: streak for key, streak in turn.memory.streaks.items() if key[0] != name}
    return {**status, "image": container["image"], "restartCount": count, "lastState": ended,
            "containerID": f"simulated://{turn.pod.uid[:8]}-{name}-{count}",
            "state": {"running": {"startedAt": turn.now}}}  # fmt: skip


def _running(turn: Turn, container: Json, role: Role, status: Json) -> Json:
    started_s = epoch_s(status["state"]["running"]["startedAt"])
    lasts = _lifetime(turn, role)
    if lasts is not None and turn.reached(started_s + lasts[0]):
        return ended(status, lasts[1], turn.now)
    name, startup = container["name"], probe_of(container, STARTUP)
    if startup is not None:
        streak = turn.streak(name, STARTUP, started_s)
        if not status.get("started") and not turn.reached(verdict_s(startup, started_s, streak)):
            return {**status, "started": False, "ready": False}
        if not status.get("started") and not streak.passes:
            return _killed(turn, status, STARTUP)
        answers_s = verdict_s(startup, started_s, streak) if streak.passes else started_s
    else:
        answers_s = started_s
    if (liveness := probe_of(container, LIVENESS)) is not None:
        streak = turn.streak(name, LIVENESS, answers_s)
        if not streak.passes and turn.reached(verdict_s(liveness, started_s, streak)):
            return _killed(turn, status, LIVENESS)
    ready = _ready(turn, container, started_s, answers_s, was=status["ready"])
    if status["ready"] and not ready:
        turn.say("Unhealthy", "Readiness probe failed: simulated", name, warning=True)
    return {**status, "started": True, "ready": ready}


def _ready(turn: Turn, container: Json, started_s: float, answers_s: float, *, was: bool) -> bool:
    """Whether a started container is ready: at once as told without a probe, else by the probe's verdict."""
    streak, probe = turn.streak(container["name"], READINESS, answers_s), probe_of(container, READINESS)
    if streak.passes == was:
        return was
    return streak.passes if probe is None or turn.reached(verdict_s(probe, started_s, streak)) else was


def _lifetime(turn: Turn, role: Role) -> tuple[float, int] | None:
    """Seconds that a container runs, and with what it exits; None when it runs on."""
    if role.init:
        return INIT_S, 1 if marks.fails(turn.pod, "init") else 0
    if marks.fails(turn.pod, "crash") or marks.annotated(turn.pod, marks.CRASH_AFTER_SECONDS):
        code = int(marks.seconds(turn.pod, marks.EXIT_CODE, 1))
        return marks.seconds(turn.pod, marks.CRASH_AFTER_SECONDS, CRASH_S), code
    if marks.annotated(turn.pod, marks.RUN_SECONDS) and role.policy != "Always":
        code = int(marks.seconds(turn.pod, marks.EXIT_CODE, 0))
        return marks.seconds(turn.pod, marks.RUN_SECONDS, 0.0), code
    return None


def _killed(turn: Turn, status: Json, what: str) -> Json:
    name = status["name"]
    turn.say("Unhealthy", f"{what.capitalize()} probe failed: simulated", name, warning=True)
    turn.say("Killing", f"Container {name} failed {what} probe, will be restarted", name)
    return ended(status, KILLED, turn.now)


def ended(status: Json, code: int, now: str) -> Json:
    """Status of a container that exits now."""
    started = status["state"].get("running", {}).get("startedAt", now)
    last = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": started,
            "finishedAt": now}  # fmt: skip
    if "containerID" in status:
        last["containerID"] = status["containerID"]
    return {**status, "ready": False, "started": False, "state": {"terminated": last}}


def _terminated(turn: Turn, container: Json, role: Role, status: Json) -> Json:
    last = status["state"]["terminated"]
    if role.policy == "Never" or (not last["exitCode"] and (role.init or role.policy == "OnFailure")):
        return status
    if not turn.reached(epoch_s(last["finishedAt"]) + SEEN_S):
        return status
    wait_s = backoff_s(status)
    if not wait_s:
        return _started(turn, container, status)
    namespace, pod = turn.pod.key
    name, where = container["name"], f"pod={pod}_{namespace}({turn.pod.uid})"
    turn.say("BackOff", f"Back-off restarting failed container {name} in pod {pod}_{namespace}({turn.pod.uid})",
             name, warning=True)  # fmt: skip
    why = f"back-off {spoken(wait_s)} restarting failed container={name} {where}"
    return {**status, "lastState": status["state"], "state": {"waiting": {"reason": CRASH_LOOP, "message": why}}}


_MOVES: dict[str, Callable[[Turn, Json, Role, Json], Json]] = {
    "waiting": _waiting,
    "running": _running,
    "terminated": _terminated,
}
