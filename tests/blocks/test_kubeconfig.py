"""Kubeconfig files as kubectl merges them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from blocks import kubeconfig
from blocks.errors import InvalidInput, NotConfigured
from blocks.kubernetes import KubernetesApi
from tests.growth import calls


def write(path: Path, *names: str, user: dict[str, object] | None = None, **cluster: object) -> Path:
    """A kubeconfig with one cluster, user and context for each name."""
    document = {
        "contexts": [{"name": name, "context": {"cluster": f"{name}-c", "user": f"{name}-u"}} for name in names],
        "clusters": [{"name": f"{name}-c", "cluster": {"server": f"https://{name}", **cluster}} for name in names],
        "users": [{"name": f"{name}-u", "user": user or {"token": "hunter2"}} for name in names],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return path


def test_files_are_merged_and_the_first_of_one_name_counts(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", "a"), write(tmp_path / "two", "a", "b", proxy="x")
    found = kubeconfig.contexts([one, tmp_path / "nowhere", two])
    assert [(each.name, each.cluster, each.server) for each in found] == [
        ("a", "a-c", "https://a"),
        ("b", "b-c", "https://b"),
    ]
    assert "proxy" not in found[0].document["clusters"][0]["cluster"]


def test_patterns_choose_contexts_and_none_that_fits_is_an_error_with_what_there_is(tmp_path: Path) -> None:
    file = write(tmp_path / "k", "prod-eu", "prod-us", "dev")
    assert [each.name for each in kubeconfig.contexts([file], ["prod-*"])] == ["prod-eu", "prod-us"]
    with pytest.raises(NotConfigured, match="there are: prod-eu, prod-us, dev"):
        kubeconfig.contexts([file], ["stage-*"])


def test_no_file_at_all_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"no kubeconfig at .*nowhere"):
        kubeconfig.contexts([tmp_path / "nowhere"])


@pytest.mark.parametrize("text", ["[", "just text", "contexts: [{context: {}}]", "contexts: 3"])
def test_a_file_that_is_no_kubeconfig_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(InvalidInput, match="/k: no readable kubeconfig"):
        kubeconfig.contexts([tmp_path / "k"])


def test_names_of_files_are_relative_to_the_kubeconfig_that_holds_them(tmp_path: Path) -> None:
    file = write(
        tmp_path / "sub" / "k",
        "a",
        user={"tokenFile": "t", "exec": {"command": "./plug"}},
        **{"certificate-authority": "ca.pem"},
    )
    document = kubeconfig.contexts([file])[0].document
    assert document["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "sub" / "ca.pem")
    assert document["users"][0]["user"]["tokenFile"] == str(tmp_path / "sub" / "t")
    assert document["users"][0]["user"]["exec"]["command"] == str(tmp_path / "sub" / "plug")


def test_a_context_does_not_show_its_secrets(tmp_path: Path) -> None:
    assert "hunter2" not in repr(kubeconfig.contexts([write(tmp_path / "k", "a")]))


def test_kubeconfig_names_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a:{tmp_path}/b:")
    assert kubeconfig.default_files() == [tmp_path / "a", tmp_path / "b"]


def test_a_context_without_a_server_or_with_a_broken_certificate_cannot_be_loaded(tmp_path: Path) -> None:
    context = kubeconfig.contexts([write(tmp_path / "k", "a", **{"certificate-authority": "nowhere.pem"})])[0]
    with pytest.raises(NotConfigured, match="context a: its credentials cannot be loaded"):
        KubernetesApi.of_context(context)


def test_six_hundred_contexts_are_read_with_no_more_work_each_and_connected_without_reading_them_again(
    tmp_path: Path,
) -> None:
    few, many = (
        write(tmp_path / f"k{count}", *(f"c{n}" for n in range(count)), **{"insecure-skip-tls-verify": True})
        for count in (150, 600)
    )
    assert calls(lambda: kubeconfig.contexts([many])) < 4.4 * calls(lambda: kubeconfig.contexts([few]))
    first_of_few, first_of_many = kubeconfig.contexts([few])[0], kubeconfig.contexts([many])[0]
    KubernetesApi.of_context(first_of_few)  # the client is imported once
    connecting = calls(lambda: KubernetesApi.of_context(first_of_few))
    assert calls(lambda: KubernetesApi.of_context(first_of_many)) < 1.1 * connecting
