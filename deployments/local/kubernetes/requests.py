"""What each kind of request does with the objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from deployments.local.kubernetes import (
    bodies,
    deleting,
    eviction,
    list_options,
    patches,
    reading,
    reviews,
    scaling,
    shapes,
    status,
    tables,
    tokens,
    watch,
    writing,
)
from deployments.local.kubernetes.access import Access, User
from deployments.local.kubernetes.backend import Backend, Options
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.routing import Target
from deployments.local.kubernetes.selectors import Selection, selection
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.validation.selectors import supported
from deployments.local.kubernetes.watch import WatchOptions

Json = dict[str, Any]

LONGEST_MANAGER = 128
VERSION_WAIT_S = 3.0
"""Wall seconds that a list waits for a resourceVersion that has not happened yet."""


@dataclass(frozen=True)
class Call:
    """One request, authorized, its body unread.

    Parameters
    ----------
    form: the format of the answer: json, yaml, table, or metadata (PartialObjectMetadata).
    guard: what else must hold before an object is written.
    """

    target: Target
    verb: str
    query: dict[str, str]
    raw: bytes
    content_type: str
    user: User
    form: str
    agent: str
    dry_run: list[str]
    guard: Callable[[Json, Json | None], None] | None = None

    @property
    def kind(self) -> Kind:
        """The kind that the path names."""
        return self.target.kind

    @property
    def strict(self) -> bool:
        """Whether unknown and duplicate fields are refused."""
        return self.query.get("fieldValidation") == "Strict"

    @property
    def included(self) -> str:
        """What comes with the rows of a table."""
        return self.query.get("includeObject", "Metadata")

    def options(self, name: str) -> Options:
        """Options of a write.

        Raises
        ------
        StatusError: 422 on a dry run that does not exist.
        """
        if any(value != "All" for value in self.dry_run):
            cause = status.Cause(status.NOT_SUPPORTED, "dryRun", f'{self.dry_run}: supported values: "All"')
            raise status.invalid_options(name, [cause])
        validation = self.query.get("fieldValidation", "")
        causes = supported("fieldValidation", validation or None, ("Ignore", "Strict", "Warn"))
        manager = self.query.get("fieldManager") or self.agent.partition("/")[0] or "unknown"
        if len(self.query.get("fieldManager", "")) > LONGEST_MANAGER:
            causes.append(
                status.Cause(status.TOO_LONG, "fieldManager", f"may not be more than {LONGEST_MANAGER} bytes")
            )
        if name == "PatchOptions" and "force" in self.query and bodies.media_type(self.content_type) != bodies.APPLY:
            causes.append(status.Cause(status.FORBIDDEN, "force", "may not be specified for non-apply patch"))
        if causes:
            raise status.invalid_options(name, causes)
        return Options(bool(self.dry_run), manager[:LONGEST_MANAGER], self.target.subresource, self.strict,
                       quiet=validation == "Ignore", guard=self.guard)  # fmt: skip

    def body(self, kind: Kind | None = None) -> Json:
        """The body's object.

        Raises
        ------
        StatusError: 400 or 415.
        """
        return dict(bodies.parsed(self.raw, self.content_type, kind or self.kind, strict=self.strict))

    def typed(self, kind: Kind) -> Json:
        """The body in the shape of a kind that is not stored.

        Raises
        ------
        StatusError: 400 or 415.
        """
        return bodies.typed(kind, self.body(kind))


@dataclass(frozen=True)
class Answer:
    """What goes back: an object, or JSON already encoded."""

    body: Json | bytes
    code: int = 200
    warnings: list[str] = field(default_factory=list)


class Handlers:
    """The verbs of one cluster over HTTP."""

    def __init__(self, backend: Backend, access: Access) -> None:
        self._backend, self._access = backend, access
        self._verbs: dict[str, Callable[[Call], Answer]] = {
            "list": self._list, "get": self._get, "create": self._create, "update": self._update,
            "patch": self._patch, "delete": self._delete, "deletecollection": self._delete_collection,
        }  # fmt: skip

    def handle(self, call: Call) -> Answer:
        """Do what a request asks for.

        Raises
        ------
        StatusError: it is refused.
        """
        if call.target.subresource in ("eviction", "binding", "token"):
            return self._post_subresource(call)
        return self._verbs[call.verb](call)

    def _wanted(self, call: Call) -> Selection:
        fields = call.query.get("fieldSelector", "")
        if call.verb == "watch" and call.target.name:
            fields = f"metadata.name={call.target.name}"
        return selection(call.kind, call.target.namespace, call.query.get("labelSelector", ""), fields)

    async def await_version(self, call: Call) -> None:
        """Wait for the resourceVersion that a list asks for at least.

        Raises
        ------
        StatusError: 400 when it is no number, 504 when it does not come in time.
        """
        list_options.check(call.query, watch=False)
        asked = list_options.number(call.query, "resourceVersion") or 0
        if asked > self._backend.store.version:
            await asyncio.sleep(VERSION_WAIT_S)
        if asked > self._backend.store.version:
            raise status.too_large_version(asked, self._backend.store.version)

    def _list(self, call: Call) -> Answer:
        limit = list_options.number(call.query, "limit") or 0
        page = reading.listed(self._backend, call.kind, self._wanted(call), limit, call.query.get("continue", ""),
                              list_options.exact(call.query))  # fmt: skip
        if call.form == "table":
            return Answer(tables.table(call.kind, page, self._backend.now_s(), call.included))
        if call.form == "metadata":
            return Answer(tables.partial_list(page))
        return Answer(reading.encoded_list(call.kind, page))

    async def watch(self, call: Call) -> AsyncIterator[bytes]:
        """The lines of a watch.

        Raises
        ------
        StatusError: 400 or 422 on options that make no sense.
        """
        query, wanted = call.query, self._wanted(call)
        list_options.check(query, watch=True)
        if call.form == "yaml":
            raise status.not_acceptable((bodies.JSON,))
        initial = query.get("sendInitialEvents") in list_options.TRUE
        timeout = list_options.number(query, "timeoutSeconds")
        options = WatchOptions(
            None if initial else list_options.number(query, "resourceVersion") or None,
            float(timeout) if timeout else watch.DEFAULT_TIMEOUT_S,
            query.get("allowWatchBookmarks") in list_options.TRUE, initial,
        )  # fmt: skip
        shape = watch.Shape(*tables.watched(call.kind, call.form, call.included, self._backend.now_s))
        return watch.stream(self._backend.store, call.kind, wanted, options, shape)

    def _get(self, call: Call) -> Answer:
        entry = reading.found(self._backend, call.kind, call.target.place, call.target.name)
        if call.target.subresource == "scale":
            return Answer(scaling.shown(call.kind, entry))
        return Answer(self._shown(call, entry))

    def _shown(self, call: Call, entry: Stored) -> Json | bytes:
        """One object in the form that the client wants."""
        if call.form == "table":
            page = reading.Page([entry], entry.version)
            return tables.table(call.kind, page, self._backend.now_s(), call.included)
        return tables.partial(entry) if call.form == "metadata" else reading.encoded(call.kind, entry)

    def _create(self, call: Call) -> Answer:
        if call.kind.resource in reviews.REVIEWS:
            return Answer(reviews.answered(self._access, call.user, call.kind, call.typed(call.kind)), 201)
        if call.kind.namespaced and call.target.namespace is None:
            raise status.bad_request("a namespace is needed to create this object")
        options = call.options("CreateOptions")
        entry = writing.create(self._backend, call.kind, call.target.place, call.body(), options)
        return self._written(call, entry, options, 201)

    def _written(self, call: Call, entry: Stored, options: Options, code: int = 200) -> Answer:
        if call.target.subresource == "scale":
            return Answer(scaling.shown(call.kind, entry), code, options.warnings)
        return Answer(self._shown(call, entry), code, options.warnings)

    def _update(self, call: Call) -> Answer:
        target, options, created = call.target, call.options("UpdateOptions"), False
        if target.subresource == "scale":
            body = call.body(Kind("autoscaling", "v1", "scales", "Scale"))
            entry = scaling.change(self._backend, call.kind, target.place, target.name, lambda _scale: body, options,
                                   patch=False)  # fmt: skip
        else:
            entry, created = writing.replace(self._backend, call.kind, target.place, target.name, call.body(), options)
        return self._written(call, entry, options, 201 if created else 200)

    def _patch(self, call: Call) -> Answer:
        target, form = call.target, bodies.media_type(call.content_type)
        accepted = [name for name in bodies.PATCH_TYPES if call.kind.custom is None or name != bodies.STRATEGIC]
        if form not in accepted:
            raise status.unsupported_media_type(accepted, details={})
        options = call.options("PatchOptions")
        if form == bodies.APPLY:
            return self._apply(call, options)
        body = bodies.parsed_patch(call.raw, form)
        change = patches.function(bodies.PATCH_TYPES[form], body, shapes.schema_of(call.kind))
        if target.subresource == "scale":
            change = patches.function(bodies.PATCH_TYPES[form], body, None)
            entry = scaling.change(self._backend, call.kind, target.place, target.name, change, options, patch=True)
        else:
            entry = writing.patch(self._backend, call.kind, target.place, target.name, change, options)
        return self._written(call, entry, options)

    def _apply(self, call: Call, options: Options) -> Answer:
        if not call.query.get("fieldManager"):
            cause = status.Cause(status.REQUIRED, "fieldManager", "is required for apply patch")
            raise status.invalid_options("PatchOptions", [cause])
        body = bodies.parsed_patch(call.raw, bodies.APPLY)
        force = call.query.get("force") in list_options.TRUE
        entry, created = writing.apply(self._backend, call.kind, call.target.place, call.target.name, body, options,
                                       force=force)  # fmt: skip
        return self._written(call, entry, options, 201 if created else 200)

    def _delete(self, call: Call) -> Answer:
        target = call.target
        options = deleting.options_of(bodies.optional(call.raw, call.content_type), call.query)
        entry, gone = deleting.delete(self._backend, call.kind, target.place, target.name, options)
        if gone and not call.kind.returned:
            return Answer(status.success(call.kind, target.name, entry.uid))
        return Answer(reading.encoded(call.kind, entry))

    def _delete_collection(self, call: Call) -> Answer:
        options = deleting.options_of(bodies.optional(call.raw, call.content_type), call.query)
        entries = deleting.delete_all(self._backend, call.kind, self._wanted(call), options)
        return Answer(reading.encoded_list(call.kind, reading.Page(entries, self._backend.store.version)))

    def _post_subresource(self, call: Call) -> Answer:
        options, target = call.options("CreateOptions"), call.target
        if target.subresource == "token":
            kind = Kind("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
            return Answer(tokens.issue(self._backend, target.place, target.name, call.typed(kind)), 201)
        if target.subresource == "eviction":
            body = call.typed(Kind("policy", "v1", "evictions", "Eviction"))
            eviction.evict(self._backend, target.place, target.name, body, dry_run=options.dry_run)
        else:
            body = call.typed(Kind("", "v1", "bindings", "Binding"))
            eviction.bind(self._backend, target.place, target.name, body, dry_run=options.dry_run)
        return Answer(status.success(code=201), 201)
