"""`continuum journal`, `undo`, `freeze`, `thaw` as a person types them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from blocks.errors import InvalidInput
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Intent, State, Verdict, now
from deployments.command import journal as command

AS_OF = datetime(2026, 1, 31, 12, tzinfo=UTC)
Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("CONTINUUM_STORE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    return Store.open()


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    command.register(app)
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.fixture
def act(store: Store) -> Callable[[], tuple[Decision, Intent]]:
    """Does one act: eu-eks/web from 3 to 5 nodes."""

    def work() -> tuple[Decision, Intent]:
        made = Decision(flow_run_id="run", flow="cluster-scaling", subject="eu-eks/web", action="up", as_of=AS_OF,
                        state=Verdict.ACTED, reasons=[{"code": "peak", "cores": 12.5}])  # fmt: skip
        store.record_decisions([made])
        journal = Journal(store)
        intent = journal.plan(made.id, made.subject, "resize", do={"desired": 5}, undo={"desired": 3},
                              planned_against={"version": "7"}, key=made.id)  # fmt: skip
        return made, journal.done(journal.start(intent), "5 nodes are Ready")

    return work


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A world of pool sizes that the command's appliers change."""
    world = {"eu-eks/web": 5}

    def apply(journal: Journal, intent: Intent) -> str:
        world[intent.subject] = intent.do["desired"]
        return f"{intent.do['desired']} nodes are Ready"

    monkeypatch.setattr(command, "appliers", lambda: {"resize": apply})
    return world


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_gives_one_row_an_intent(run: Run, act) -> None:
    made, intent = act()
    words = run("journal", "list").stdout
    for word in (intent.id[:8], "eu-eks/web", "done", "5 nodes are Ready", made.id[:8]):
        assert word in words


def test_list_as_json_is_filtered(run: Run, act) -> None:
    _, intent = act()
    assert [row["id"] for row in document(run("journal", "list", "--json"))["intents"]] == [intent.id]
    assert document(run("journal", "list", "--state", "failed", "--json"))["intents"] == []
    assert document(run("journal", "list", "--subject", "us-gke", "--json"))["intents"] == []


def test_an_empty_journal_says_so(run: Run) -> None:
    assert re.fullmatch(r"The journal in sqlite:///.*store\.db is empty\.\n", run("journal", "list").stdout)


def test_show_tells_the_steps_and_what_to_do_next(run: Run, act) -> None:
    made, intent = act()
    words = run("journal", "show", made.id[:8]).stdout
    assert "cluster-scaling: up eu-eks/web" in words
    assert "'cores': 12.5" in words
    for event in ("planned", "started", "done  5 nodes are Ready"):
        assert event in words
    assert f"next: It is finished. To take it back: continuum undo {made.id[:8]}" in words
    shown = document(run("journal", "show", intent.id, "--json"))
    assert (shown["decision"], [step["event"] for step in shown["intents"][0]["steps"]]) == (
        None, ["planned", "started", "done"])  # fmt: skip


def test_show_of_nothing_is_refused_in_one_line(run: Run) -> None:
    result = run("journal", "show", "abc")
    assert result.exit_code == 1
    assert "no decision or intent begins with 'abc'" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("owner", "late_s", "frozen", "says"), [
    (None, 0, False, "Its owner is at work: wait."),
    ("elsewhere:1:1:x", 61, False, "Its owner is gone: the next run of its flow finishes or undoes it."),
    (None, 0, True, "It waits for the end of a freeze: continuum thaw 'eu-eks'"),
])  # fmt: skip
def test_show_tells_what_an_unfinished_intent_waits_for(
    store: Store, owner: str | None, late_s: float, frozen: bool, says: str
) -> None:
    present = now()
    journal = Journal(store, owner, clock=lambda: present, lease_s=60)
    intent = journal.plan(None, "eu-eks/web", "resize", do={}, undo={}, planned_against={}, key="k")
    if frozen:
        journal.freeze("eu-eks")
    assert command.next_words(Journal(store, clock=lambda: present + timedelta(seconds=late_s)), intent) == says


def test_undo_takes_the_decision_back(run: Run, act, store: Store, sizes: dict[str, int]) -> None:
    made, intent = act()
    result = run("undo", made.id[:8])
    assert (result.exit_code, result.stdout) == (0, "eu-eks/web: resize undone; 3 nodes are Ready\n")
    assert sizes == {"eu-eks/web": 3}
    assert store.decision(made.id).state == Verdict.UNDONE
    assert Journal(store).intent(intent.id).state == State.UNDONE


def test_undo_twice_is_refused(run: Run, act, sizes: dict[str, int]) -> None:
    made, _ = act()
    run("undo", made.id)
    result = run("undo", made.id)
    assert result.exit_code == 1
    assert "nothing left to undo" in result.stderr


def test_undo_under_a_later_act_wants_force(run: Run, act, sizes: dict[str, int]) -> None:
    made, _ = act()
    act()
    refused = run("undo", made.id)
    assert refused.exit_code == 1
    assert "has changed it since" in refused.stderr
    assert "--force" in refused.stderr
    assert document(run("undo", made.id, "--force", "--json"))["intents"][0]["state"] == "done"


def test_the_appliers_are_those_of_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.scaling import act as scaling

    assert scaling.APPLIERS.items() <= command.appliers().items()


def test_freeze_and_thaw(run: Run, store: Store) -> None:
    result = run("freeze", "eu-eks", "--until", "2h", "--reason", "audit [draft]")
    assert result.exit_code == 0
    assert "(audit [draft])" in result.stdout
    frozen = Journal(store).frozen("eu-eks/web")
    assert frozen is not None
    assert frozen.until is not None
    assert frozen.by != ""
    assert "frozen eu-eks, until" in run("journal", "list").stdout
    assert run("thaw", "eu-eks").exit_code == 0
    assert Journal(store).freezes() == []


def test_a_scope_in_which_nothing_was_ever_decided_is_refused_unless_a_person_insists(run: Run, store: Store) -> None:
    Journal(store).plan(None, "eu-eks/web", "resize", do={}, undo={}, planned_against={}, key="k")
    refused = run("freeze", "eu-esk")
    assert (refused.exit_code, "known are eu-eks; to freeze it nevertheless add --unknown" in refused.stderr) == (
        1,
        True,
    )
    assert Journal(store).freezes() == []
    assert run("freeze", "eu-esk", "--unknown").exit_code == 0
    assert Journal(store).frozen("eu-esk/web") is not None


def test_freezing_everything_is_the_default(run: Run, store: Store) -> None:
    assert document(run("freeze", "--json"))["scope"] == "*"
    assert Journal(store).frozen("anything") is not None
    assert document(run("thaw", "--json")) == {"thawed": "*", "still_frozen": []}


def test_freeze_names_what_is_under_way(run: Run, store: Store) -> None:
    journal = Journal(store)
    journal.start(journal.plan(None, "eu-eks/web", "resize", do={}, undo={}, planned_against={}, key="k"))
    assert "under way: eu-eks/web (intent" in run("freeze", "eu-eks").stderr


@pytest.mark.parametrize("words", [
    ("freeze", "EU EKS"), ("freeze", "a/b/c"), ("freeze", "--until", "tomorrow"),
    ("freeze", "--until", "2026-01-31T18:00"), ("freeze", "--until", "2020-01-31T18:00Z"), ("thaw", "eu-eks"),
])  # fmt: skip
def test_a_scope_or_time_that_means_nothing_is_refused(run: Run, store: Store, words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 1
    assert Journal(store).freezes() == []


def test_a_duration_counts_from_now() -> None:
    assert command.moment("1.5h", AS_OF) == AS_OF + timedelta(minutes=90)
    with pytest.raises(InvalidInput, match="has no time zone"):
        command.moment("2026-02-01T00:00", AS_OF)
