"""fleet.yaml at the door."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from blocks.fleet_file import MAX_BYTES, check_text, fleet_of, fleet_schema, load_fleet, read_fleet
from tests.growth import calls

GOOD = """\
name: small
metrics: {url: "http://prometheus:9090"}
sites:
  - {name: oslo, tier: cloud-region, latitude: 59.9, longitude: 10.8, time_zone: Europe/Oslo, grid_zone: NO}
clusters:
  - name: eu
    site: oslo
    provider: eks
    cloud: {region: eu-north-1}
    node_pools:
      - {name: web, instance_type: m5.large, min_nodes: 1, max_nodes: 9, node_cpu: 1930m, node_memory: 6Gi}
"""

RICH = (
    GOOD
    + """\
      - {name: api, instance_type: x, min_nodes: 0, max_nodes: 1, node_cpu: 1, node_memory: 1, autoscaler: karpenter}
    kubernetes: {server: "https://a", token: "${A}"}
    metrics: {url: "http://b", username: me, password: "secret:b"}
workloads:
  - {name: shop, cluster: eu, kind: StatefulSet, latency_ms: 5}
"""
)


def told(text: str) -> list[str]:
    return [str(problem) for problem in check_text(text, "f.yaml").problems]


def test_a_good_file_becomes_a_fleet_without_a_problem(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(GOOD)
    fleet = load_fleet(tmp_path / "fleet.yaml")
    assert fleet.clusters[0].node_pools[0].node_cpu == 1.93
    assert fleet.clusters[0].node_pools[0].node_memory == 6 * 2**30
    assert read_fleet(tmp_path / "fleet.yaml").problems == ()


def test_norways_grid_zone_is_text() -> None:
    fleet = check_text(GOOD, "f").fleet
    assert fleet is not None
    assert fleet.sites[0].grid_zone == "NO"


POOL = "11 clusters[0].node_pools[0]"
NAME_FIX = "use lower-case letters, digits, `-` and `.`, a letter or digit at both ends"
TIERS = "far-edge, near-edge, regional-edge, cloud-region"
URL_FIX = "correct the value (base URL, e.g. `https://prometheus.example:9090`, without /api/v1)"

# What is changed in the good file -> line and field, problem, fix.
WRONG = [
    ("    site: oslo", "    site: olso", "7 clusters[0].site", "there is no site `olso`", "did you mean `oslo`?"),
    ("    site: oslo", "    site: x", "7 clusters[0].site", "there is no site `x`", "add it to `sites`"),
    ("d-region", "d-regio", "4 sites[0].tier", f"`cloud-regio` is not one of {TIERS}", "did you mean `cloud-region`?"),
    ("e/Oslo", "e/Olso", "4 sites[0].time_zone", "`Europe/Olso` is no IANA time zone", "did you mean `Europe/Oslo`?"),
    ("59.9", "95.9", "4 sites[0].latitude", "`95.9` must be at most 90", "correct the value (degrees north)"),
    ("10.8", "east", "4 sites[0].longitude", "`east` is no number", "correct the value (degrees east)"),
    ("longitude: 10.8, ", "", "4 sites[0].longitude", "is missing", "add `longitude:` (degrees east)"),
    ("max_nodes", "max_node", f"{POOL}.max_node", "unknown key `max_node`", "did you mean `max_nodes`?"),
    ("s: 1,", "s: 12,", f"{POOL}.min_nodes", "min_nodes 12 is above max_nodes 9", "lower min_nodes or raise max_nodes"),
    (
        "s: 1,",
        "s: true,",
        f"{POOL}.min_nodes",
        "`true` is no number",
        "correct the value (never fewer nodes than this)",
    ),
    (
        "s: 1,",
        "s: 1.5,",
        f"{POOL}.min_nodes",
        "`1.5` is no whole number",
        "correct the value (never fewer nodes than this)",
    ),
    (
        "s: 1,",
        "s: -1,",
        f"{POOL}.min_nodes",
        "`-1` must be at least 0",
        "correct the value (never fewer nodes than this)",
    ),
    (
        "1930m",
        "0",
        f"{POOL}.node_cpu",
        "`0` must be above 0",
        "correct the value (allocatable CPU of one node, e.g. `3920m`)",
    ),
    (
        "6Gi",
        "lots",
        f"{POOL}.node_memory",
        "`lots` is no whole number",
        "correct the value (allocatable memory of one node, e.g. `14Gi`)",
    ),
    ("m5.large", "5", f"{POOL}.instance_type", "must be text, is a number", "write it in quotes"),
    (
        "    cloud: {region: eu-north-1}\n",
        "",
        "6 clusters[0].cloud.region",
        "`region` is missing, the EKS API needs it",
        "add `region:` under `cloud:`",
    ),
    (
        "eks\n",
        "gke\n",
        "9 clusters[0].cloud.project",
        "`project` is missing, the GKE API needs it",
        "add `project:` under `cloud:`",
    ),
    (
        "eks\n",
        "aks\n",
        "9 clusters[0].cloud.resource_group",
        "`resource_group` is missing, the AKS API needs it",
        "add `resource_group:` under `cloud:`",
    ),
    (
        "http:",
        "ftp:",
        "2 metrics.url",
        "is no http:// or https:// URL without `?` and `#`",
        URL_FIX,
    ),
    ("l\n", "l\nname: big\n", "2", "the key `name` is already at line 1", "keep one of the two"),
    ("small", "Small Fleet", "1 name", "`Small Fleet` is no name", NAME_FIX),
    (
        "sites:\n",
        "sites: []\nrest:\n",
        "3 sites",
        "must not be empty",
        "correct the value (cloud regions and edge locations)",
    ),
    (
        "{region: eu-north-1}",
        "here",
        "9 clusters[0].cloud",
        "must be a mapping, is text",
        "correct the value (how to reach its node-pool API; not for k3s)",
    ),
]


@pytest.mark.parametrize(("old", "new", "where", "problem", "fix"), WRONG)
def test_a_problem_names_line_field_what_and_fix(old: str, new: str, where: str, problem: str, fix: str) -> None:
    found = check_text(GOOD.replace(old, new, 1), "f").problems
    assert (where, problem, fix) in [(f"{each.line} {each.field}".strip(), each.problem, each.fix) for each in found]


def test_a_problem_reads_as_one_line_with_file_line_and_column() -> None:
    text = "f.yaml:7:5 clusters[0].site: there is no site `olso`. To mend it: did you mean `oslo`?"
    assert told(GOOD.replace("site: oslo", "site: olso")) == [text]


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    bad = GOOD.replace("name: small", "name: Big").replace("59.9", "95").replace("site: oslo", "site: x")
    bad = bad.replace("min_nodes: 1,", "min_nodes: 99,").replace("6Gi", "much") + "extra: 1\n"
    problems = check_text(bad, "f").problems
    assert [problem.line for problem in problems] == [1, 4, 7, 11, 11, 12]
    assert all(problem.fix and problem.severity == "error" for problem in problems)


@pytest.mark.parametrize(
    ("tail", "field"),
    [
        ("  - {name: oslo, tier: far-edge, latitude: 1, longitude: 1}\n", "sites[1].name"),
        ("", "clusters[1].name"),
    ],
)
def test_two_things_of_one_name_are_refused(tail: str, field: str) -> None:
    sites, clusters = GOOD.split("clusters:\n")
    text = sites + tail + "clusters:\n" + clusters + ("" if tail else clusters)
    assert [problem.field for problem in check_text(text, "f").problems] == [field]


def test_two_pools_of_one_name_are_refused_in_one_cluster_and_allowed_in_two() -> None:
    head, cluster = GOOD.split("clusters:\n")
    pool = cluster.splitlines(keepends=True)[-1]
    assert [problem.field for problem in check_text(GOOD + pool, "f").problems] == ["clusters[0].node_pools[1].name"]
    other = cluster.replace("name: eu\n", "name: us\n")
    assert check_text(f"{head}clusters:\n{cluster}{other}", "f").problems == ()


def test_workloads_may_share_a_name_only_across_namespaces_and_clusters() -> None:
    text = (
        GOOD
        + "workloads:\n"
        + "".join(
            f"  - {{name: web, cluster: {cluster}{space}}}\n"
            for cluster, space in [("eu", ""), ("eu", ", namespace: shop"), ("eu", ", namespace: default"), ("ue", "")]
        )
    )
    assert [problem.field for problem in check_text(text, "f").problems] == [
        "workloads[2].name",
        "workloads[3].cluster",
    ]


def test_two_clusters_behind_one_context_are_refused() -> None:
    head, cluster = GOOD.split("clusters:\n")
    cluster = cluster.replace("    cloud:", "    kubernetes: {context: one}\n    cloud:")
    text = f"{head}clusters:\n{cluster}{cluster.replace('name: eu', 'name: us')}"
    (problem,) = check_text(text, "f").problems
    assert problem.field == "clusters[1].kubernetes.context"
    assert "already at clusters[0].kubernetes" in problem.problem


def test_an_endpoint_of_its_own_needs_no_cloud_fields() -> None:
    assert told(GOOD.replace("{region: eu-north-1}", "{endpoint_url: 'http://127.0.0.1:1/aws'}")) == []


def test_an_aws_profile_stands_for_its_region() -> None:
    assert told(GOOD.replace("{region: eu-north-1}", "{profile: operations}")) == []


def test_a_typed_in_secret_is_a_warning_and_the_fleet_is_usable() -> None:
    read = check_text(GOOD.replace('9090"}', '9090", token: hunter2}'), "f")
    assert read.fleet is not None
    assert [problem.severity for problem in read.problems] == ["warning"]
    assert read.errors == []
    assert "hunter2" not in str(read.problems)


@pytest.mark.parametrize("text", ["${TOKEN}", "secret:prometheus-token"])
def test_a_reference_is_neither_warned_of_nor_looked_up(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    assert told(GOOD.replace('9090"}', f'9090", token: "{text}"}}')) == []


@pytest.mark.parametrize("text", ["${TO KEN}", "Bearer ${TOKEN}", "secret:Not_A_Block", "**********", ""])
def test_a_malformed_reference_is_an_error(text: str) -> None:
    (problem,) = check_text(GOOD.replace('9090"}', f'9090", token: "{text}"}}'), "f").problems
    assert (problem.field, problem.severity) == ("metrics.token", "error")


def test_credentials_in_a_url_are_refused_unseen() -> None:
    (problem,) = told(GOOD.replace("http://prom", "http://me:hunter2@prom"))
    assert "metrics.url: the URL holds credentials" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f.yaml:1:1: is empty"),
        ("# nothing\n", "f.yaml:1:1: is empty"),
        ("- a\n", "f.yaml:1:1: must be a mapping, is a list"),
        ("a: [\n", "f.yaml:2:1: no valid YAML"),
        ("a:\n\tb: 1\n\tc: 2\n", "f.yaml:3:1: a tab in the indentation. To mend it: use spaces"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document starts here"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4: a YAML tag"),
        ("a: *b\n", "f.yaml:1:4: an alias (`*`) of nothing"),
        ("a: &a [*a]\n", "f.yaml:1:8: an alias inside of what it repeats"),
        ("? [a]\n: 1\n", "f.yaml:1:3: a list or mapping as a key"),
        ("a: \x00\n", "f.yaml:1:4: no valid YAML"),
    ],
)
def test_what_is_no_usable_yaml_is_named_by_its_place(text: str, expected: str) -> None:
    assert any(problem.startswith(expected) for problem in told(text))


def test_a_tab_inside_of_a_block_of_promql_is_fine() -> None:
    assert (
        told(GOOD.replace('{url: "http://prometheus:9090"}', "\n  url: http://p\n  cpu_cores: |\n    sum(\n    \tx)\n"))
        == []
    )


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
    )
    assert "unfolds into more than" in told(bomb)[0]


@pytest.mark.parametrize(
    "deep", ["[" * 5000, "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))]
)
def test_a_file_nested_too_deep_is_refused(deep: str) -> None:
    assert "nested deeper than" in told(deep)[0]


def test_anchors_and_merges_save_typing_and_keep_their_lines() -> None:
    text = GOOD.replace("- {name: web,", "- &pool\n        name: web\n        <<: {").replace(
        "6Gi}", "6Gi}\n      - {<<: *pool, name: api, max_nodes: 0}"
    )
    (problem,) = check_text(text, "f").problems[:1]
    assert (problem.field, problem.line) == ("clusters[0].node_pools[1].min_nodes", 13)


def test_a_file_that_cannot_be_opened_is_one_problem(tmp_path: Path) -> None:
    (problem,) = read_fleet(tmp_path / "nowhere.yaml").problems
    assert (problem.line, problem.problem) == (0, "cannot be read: no such file or directory")
    assert "is a directory" in str(read_fleet(tmp_path).problems[0])


def test_a_file_that_is_not_utf8_is_named_by_the_place_of_the_byte(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"name: a\nlocation: M\xfcnchen\n")
    (problem,) = read_fleet(tmp_path / "f").problems
    assert (problem.line, problem.column, problem.problem) == (2, 12, "is not UTF-8")


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_fleet(tmp_path / "f").fleet is not None


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(MAX_BYTES * 100)
    assert "is larger than 16 MiB" in str(read_fleet(tmp_path / "f").problems[0])


def test_loading_a_bad_file_tells_the_first_problem_and_counts_the_others(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(GOOD.replace("59.9", "95").replace("6Gi", "much"))
    with pytest.raises(
        InvalidInput, match=r"f:4 sites\[0\].latitude: `95` must be at most 90.*1 more: `continuum fleet"
    ):
        load_fleet(tmp_path / "f")


def test_stored_data_is_checked_as_a_file_is() -> None:
    with pytest.raises(InvalidInput, match="block x name: is missing"):
        fleet_of({"metrics": {"url": "http://p"}}, "block x")


def test_a_field_of_control_characters_stays_one_line() -> None:
    assert all("\n" not in line and "\x1b" not in line for line in told(GOOD + '"a\\n\\e[31m": 1\n'))


def clusters_of_three_pools(count: int) -> str:
    head, cluster = GOOD.split("clusters:\n")
    pool = cluster.splitlines(keepends=True)[-1]
    pools = pool.replace("web", "batch") + pool.replace("web", "api")
    return f"{head}clusters:\n" + "".join(
        cluster.replace("name: eu\n", f"name: eu-{n}\n") + pools for n in range(count)
    )


def with_faults(text: str) -> str:
    return text.replace("site: oslo", "site: olso").replace("max_nodes", "max_node")


def test_every_cluster_with_a_fault_is_named() -> None:
    text = clusters_of_three_pools(200)
    assert check_text(text, "f").problems == ()
    assert len(check_text(with_faults(text), "f").problems) == 200 + 2 * 3 * 200


@pytest.mark.parametrize("edit", [str, with_faults], ids=["right", "wrong"])
def test_the_work_of_checking_grows_no_faster_than_the_clusters(edit: Callable[[str], str]) -> None:
    few, many = (edit(clusters_of_three_pools(count)) for count in (20, 80))
    check_text(few, "f")  # what is built once
    assert calls(lambda: check_text(many, "f")) < 4.4 * calls(lambda: check_text(few, "f"))


def test_every_field_of_the_schema_is_described_and_unknown_keys_are_refused_by_it() -> None:
    schema = fleet_schema()
    for model in [schema, *(each for each in schema["$defs"].values() if "properties" in each)]:
        assert model["additionalProperties"] is False
        for name, field in model["properties"].items():
            assert field.get("description"), f"{model['title']}.{name}"


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path in plain data, but for the root."""
    if not isinstance(value, dict | list):
        return [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return ([path] if path else []) + [each for key, part in inner for each in places(part, (*path, key))]


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({"a": [1]})
)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(places(yaml.safe_load(RICH))), anything), min_size=1, max_size=3))
def test_any_value_in_any_place_is_accepted_or_told_and_never_raises(
    changes: list[tuple[tuple[str | int, ...], object]],
) -> None:
    data = yaml.safe_load(RICH)
    for path, value in changes:
        at = data
        for key in path[:-1]:
            inside = isinstance(at, dict) and key in at
            inside |= isinstance(at, list) and isinstance(key, int) and key < len(at)
            at = at[key] if inside else {}
        if isinstance(at, dict) or (isinstance(at, list) and isinstance(path[-1], int) and path[-1] < len(at)):
            at[path[-1]] = deepcopy(value)  # else a container could end up inside itself
    read = check_text(json.dumps(data, ensure_ascii=False), "f")
    assert (read.fleet is None) == bool(read.errors)
