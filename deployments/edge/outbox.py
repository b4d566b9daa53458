"""What an edge has to tell, kept on its disk until the hub holds it: SQLite in WAL mode, every commit synced.

At-least-once delivery and the cursor (edge, epoch, seq), which the hub commits with the effect, give an effect exactly
once. seq has no gaps within an epoch; an epoch is one life of the file, so that a re-imaged edge, whose numbers begin
at 1 again, is not taken for the old one.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from blocks.errors import StoreUnavailable

log = logging.getLogger("continuum.edge")

GAP = "gap"  # an item that had to go while the hub was away; one row stands for all: {"from": SEQ}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, ts TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS updates (round TEXT PRIMARY KEY, ts TEXT NOT NULL, body BLOB, answer TEXT);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Kept(NamedTuple):
    """How much is kept: items not yet at the hub, and items that it has, for a hub that is restored from a backup."""

    waiting: int = 100_000
    acked: int = 10_000
    rounds: int = 1_000


class Outbox:
    """One file. Safe for threads; a second process on it is kept out by the agent's lock.

    Raises (every method)
    ---------------------
    StoreUnavailable: the disk is full or gone; what was to be kept is not.
    """

    def __init__(
        self, path: Path, kept: Kept = Kept(), now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:  # fmt: skip
        self._kept, self._now, self._lock = kept, now, threading.Lock()
        self.spoilt = ""
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError as error:
            # A spoilt file must not keep the edge from working: it is put aside, and the new epoch tells the hub.
            self.spoilt = f"{path.name} was spoilt ({error}); put aside, a new epoch begins"
            log.error("%s", self.spoilt)
            for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                if each.exists():
                    each.replace(each.with_name(f"{each.name}.spoilt"))
            self._db = _open(path)
        with self._writing():
            self._db.execute(
                "INSERT OR IGNORE INTO meta VALUES ('epoch', ?), ('acked', '0'), ('next', '1')", [uuid4().hex]
            )
        self.epoch = self._meta("epoch")

    def put(self, kind: str, *bodies: Mapping[str, Any]) -> int:
        """Keep items, in one commit; returns the number of the last one."""
        with self._writing():
            return self._append(kind, bodies)

    def batch(self, most: int = 500, most_bytes: int = 512 * 2**10) -> list[dict[str, Any]]:
        """The oldest items that the hub does not hold, as it takes them: seq, kind, ts, body; gaps number by number."""
        with self._reading():
            acked = int(self._meta("acked"))
            rows = self._db.execute(
                "SELECT seq, kind, ts, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", [acked, most]
            ).fetchall()
        taken: list[dict[str, Any]] = []
        size = 0
        for seq, kind, ts, text in rows:
            size += len(text)
            if taken and size > most_bytes:
                break
            body = json.loads(text)
            first = max(acked + 1, body["from"]) if kind == GAP else seq
            gone = [{"seq": at, "kind": kind, "ts": ts, "body": {}} for at in range(first, min(seq, first + most))]
            taken += [*gone, {"seq": seq, "kind": kind, "ts": ts, "body": {} if kind == GAP else body}]
        return taken[:most]

    def acknowledge(self, acked: int) -> None:
        """The hub holds everything up to `acked`; less than before means that it was restored, and is sent again."""
        with self._writing():
            acked = min(acked, int(self._meta("next")) - 1)
            self._set("acked", acked)
            self._db.execute("DELETE FROM outbox WHERE seq <= ?", [acked - self._kept.acked])

    @property
    def acked(self) -> int:
        """The number up to which the hub holds everything."""
        with self._reading():
            return int(self._meta("acked"))

    def waiting(self) -> int:
        """Items that the hub does not hold."""
        with self._reading():
            return int(
                self._db.execute("SELECT count(*) FROM outbox WHERE seq > ?", [self._meta("acked")]).fetchone()[0]
            )

    def took_part(self, round_id: str) -> bool:
        """Whether this edge has trained in a round already; it never does twice."""
        with self._reading():
            return self._db.execute("SELECT 1 FROM updates WHERE round = ?", [round_id]).fetchone() is not None

    def keep_update(self, round_id: str, body: bytes) -> None:
        """Keep the update of a round before it is sent; the first one stays."""
        with self._writing():
            ts = self._now().isoformat()
            self._db.execute("INSERT OR IGNORE INTO updates VALUES (?, ?, ?, NULL)", [round_id, ts, body])
            self._db.execute(
                "DELETE FROM updates WHERE round NOT IN (SELECT round FROM updates ORDER BY ts DESC LIMIT ?)",
                [self._kept.rounds],
            )

    def updates(self) -> list[tuple[str, bytes]]:
        """(round, body) of updates without an answer, the oldest first."""
        with self._reading():
            return self._db.execute("SELECT round, body FROM updates WHERE answer IS NULL ORDER BY ts").fetchall()

    def close_update(self, round_id: str, accepted: bool, reason: str = "") -> None:
        """A round is over for this edge: its body goes, it stays known, and the hub is told, all in one commit."""
        with self._writing():
            self._db.execute(
                "INSERT INTO updates VALUES (?, ?, NULL, ?) "
                "ON CONFLICT DO UPDATE SET body = NULL, answer = excluded.answer",
                [round_id, self._now().isoformat(), reason or "accepted"],
            )
            self._append("round", [{"round": round_id, "accepted": accepted, "reason": reason}])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _append(self, kind: str, bodies: Sequence[Mapping[str, Any]]) -> int:
        first, ts = int(self._meta("next")), self._now().isoformat()
        rows = [(first + at, ts, kind, json.dumps(body, allow_nan=False)) for at, body in enumerate(bodies)]
        self._db.executemany("INSERT INTO outbox VALUES (?, ?, ?, ?)", rows)
        self._set("next", first + len(rows))
        self._shed()
        return first + len(rows) - 1

    def _shed(self) -> None:
        """At the limit the oldest half of what waits becomes one row. Totals lose nothing by it."""
        count, first = self._db.execute(
            "SELECT count(*), min(seq) FROM outbox WHERE seq > ?", [self._meta("acked")]
        ).fetchone()
        if count <= self._kept.waiting:
            return
        last = int(self._meta("next")) - 1 - self._kept.waiting // 2
        gaps = self._db.execute("SELECT body FROM outbox WHERE kind = ? AND seq BETWEEN ? AND ?", [GAP, first, last])
        body = json.dumps({"from": min([first, *(json.loads(text)["from"] for (text,) in gaps.fetchall())])})
        self._db.execute("DELETE FROM outbox WHERE seq <= ?", [last])
        self._db.execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", [last, self._now().isoformat(), GAP, body])

    def _meta(self, key: str) -> str:
        return str(self._db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()[0])

    def _set(self, key: str, value: int) -> None:
        self._db.execute("UPDATE meta SET value = ? WHERE key = ?", [str(value), key])

    @contextmanager
    def _reading(self) -> Any:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise StoreUnavailable(f"{error}", where="outbox", fix="look at the disk") from None

    @contextmanager
    def _writing(self) -> Any:
        with self._reading():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
        found: Sequence[str] = db.execute("PRAGMA quick_check(1)").fetchone()
        if found[0] != "ok":
            raise sqlite3.DatabaseError(found[0])
    except sqlite3.DatabaseError:
        db.close()
        raise
    path.chmod(0o600)
    return db
