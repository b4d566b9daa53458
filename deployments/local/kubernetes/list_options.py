"""What a list or a watch may ask for (ListOptions): which combinations make sense, and the version they mean."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.local.kubernetes import status

TRUE = ("1", "true", "True")
_MATCHES = ("Exact", "NotOlderThan")


def version(text: str) -> int:
    """A resourceVersion's number.

    Raises
    ------
    StatusError: 400, it is none.
    """
    if not text.isdigit():
        raise status.bad_request(f"invalid resource version: {text!r} is no number")
    return int(text)


def number(query: Mapping[str, str], name: str) -> int | None:
    """An option that is a number; None where it is missing.

    Raises
    ------
    StatusError: 400, it is no number.
    """
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdigit():
        raise status.bad_request(f"{name}: {text!r} is no number")
    return int(text)


def check(query: Mapping[str, str], *, watch: bool) -> None:
    """Refuse options that contradict each other (apimachinery, ValidateListOptions).

    Raises
    ------
    StatusError: 400 or 422.
    """
    match, asked = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents")
    if asked:
        version(asked)
    if query.get("continue") and asked not in ("", "0"):
        raise status.bad_request("specifying resource version is not allowed when using continue")
    if watch and initial is not None and match != "NotOlderThan":
        raise _refused("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    if not watch and initial is not None:
        raise _refused("sendInitialEvents is forbidden for list", "sendInitialEvents")
    if not match or (watch and initial is not None):
        return
    if watch:
        raise _refused("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
    if not asked:
        raise _refused("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if query.get("continue"):
        raise _refused("resourceVersionMatch is forbidden with continue")
    if match not in _MATCHES:
        words = ", ".join(f'"{entry}"' for entry in _MATCHES)
        cause = status.Cause(status.NOT_SUPPORTED, "resourceVersionMatch", f'"{match}": supported values: {words}')
        raise status.invalid_options("ListOptions", [cause])
    if match == "Exact" and asked == "0":
        raise _refused('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')


def exact(query: Mapping[str, str]) -> int | None:
    """The version that a list must show; None for any that is new enough.

    A list with a limit and a version but no match means that very version, as it did before there was a match.
    """
    match, asked = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    if match == "Exact" or (not match and asked not in ("", "0") and query.get("limit", "0") not in ("", "0")):
        return version(asked)
    return None


def _refused(why: str, field: str = "resourceVersionMatch") -> status.StatusError:
    return status.invalid_options("ListOptions", [status.Cause(status.FORBIDDEN, field, why)])
