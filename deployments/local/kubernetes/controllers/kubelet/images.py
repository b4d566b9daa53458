"""Image pulls: how long they take, what is on a node already, and the back-off of pulls that fail."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from deployments.local.kubernetes.controllers.kubelet.marks import PULL_SECONDS, fails, seconds
from deployments.local.kubernetes.store import Stored

Json = dict[str, Any]

MISSING = "does-not-exist"
"""An image with this in its name cannot be pulled."""
CHECK_S = 0.2
"""Seconds to find that an image to be pulled always is there already."""
LEAST_S, MOST_S = 0.2, 1.0
"""Seconds that a pull takes where nobody says otherwise, by image and node."""
FAIL_S = 1.0
"""Seconds until a registry says that there is no such image."""
SEEN_S = 5.0
"""Seconds for which the error stands before it is called a back-off."""
FIRST_S, LONGEST_S = 10.0, 300.0
"""Back-off after failed pulls (kubelet: imageBackOff), doubling."""
KEPT = 50
"""Images that a node remembers (kubelet: nodeStatusMaxImages)."""


class Pull(NamedTuple):
    """An attempt to pull an image: when it begins, and how many failed before."""

    begins_s: float
    failures: int = 0


def backoff_s(failures: int) -> float:
    """Seconds until the next attempt.

    >>> [backoff_s(failures) for failures in (1, 2, 3, 9)]
    [10.0, 20.0, 40.0, 300.0]
    """
    return float(min(FIRST_S * 2 ** (failures - 1), LONGEST_S))


def is_on(node: Stored, image: str) -> bool:
    """Whether a node has an image."""
    return any(image in entry["names"] for entry in node.obj.get("status", {}).get("images", ()))


def with_image(images: list[Json], image: str) -> list[Json]:
    """A node's images with one more, the oldest forgotten."""
    return [*images, {"names": [image], "sizeBytes": size_bytes(image)}][-KEPT:]


def size_bytes(image: str) -> int:
    """Size of an image, 20 to 220 MB, the same for the same name."""
    return 20_000_000 + int(_share(image) * 200_000_000)


def pull_s(pod: Stored, node: Stored, image: str) -> float:
    """Seconds that a pull takes on a node."""
    if is_on(node, image):
        return CHECK_S
    return seconds(pod, PULL_SECONDS, LEAST_S + (MOST_S - LEAST_S) * _share(image, node.key[1]))


def is_missing(pod: Stored, image: str) -> bool:
    """Whether pulling an image for a pod fails."""
    return MISSING in image or fails(pod, "image")


def _share(*parts: str) -> float:
    digest = hashlib.sha1("/".join(parts).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
