"""CSV lists of GPU nodes and pods: read as they are, bad rows named and left out alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from blocks.errors import InvalidInput
from tasks.placement.gpu_files import read_nodes, read_pods

NODES = "sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,P100\nn2,32000,131072,0,\n"
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\np1,4000,1024,1,460,V100|T4,LS\np2,4000,1024,0,0,,BE\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text)
    return path


def test_nodes_and_pods_are_read_and_further_columns_ignored(tmp_path):
    nodes, refused = read_nodes(written(tmp_path, NODES))
    assert (nodes.name, nodes.gpus.tolist(), nodes.model, refused) == (("n1", "n2"), [2, 0], ("P100", ""), [])
    pods, refused = read_pods(written(tmp_path, PODS))
    assert (pods.num_gpu.tolist(), pods.gpu_milli.tolist(), pods.gpu_spec, refused) == (
        [1, 0],
        [460, 0],
        ("T4|V100", ""),
        [],
    )


def test_a_gzipped_list_is_the_plain_one_and_a_list_without_gpu_spec_is_bound_to_no_model(tmp_path):
    packed = tmp_path / "list.csv.gz"
    packed.write_bytes(gzip.compress(NODES.encode()))
    assert read_nodes(packed)[0].name == ("n1", "n2")
    pods, _ = read_pods(written(tmp_path, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np1,1,1,1,1000\n"))
    assert pods.gpu_spec == ("",)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("p9,x,1,1,1000,", "cpu_milli 'x' is no number"),
        ("p9,-1,1,1,1000,", "cpu_milli -1 is no whole number"),
        ("p9,nan,1,1,1000,", "cpu_milli nan is no whole number"),
        ("p9,1,1,1,1001,", "gpu_milli 1001 is no whole number"),
        ("p9,1,1,1,0,", "gpu_milli is 0 though num_gpu is 1"),
        ("p9,1,1,2,500,", "2 GPUs are whole ones"),
        (",1,1,1,500,", "name is empty"),
        ("p1,1,1,1,500,", "p1 was there before"),
        ("p9", "num_gpu '' is no number"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_the_rest_goes_on(tmp_path, row, why):
    pods, refused = read_pods(written(tmp_path, PODS + row + "\n"))
    assert len(pods.name) == 2
    assert len(refused) == 1
    assert "line 4" in refused[0]
    assert why in refused[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "column sn"), ("sn,cpu_milli\n", "column memory_mib"), (NODES.splitlines()[0], "no usable row"),
     ("sn,cpu_milli,memory_mib,gpu,model\nn1,x,1,1,\n", "no usable row")],
)  # fmt: skip
def test_a_file_without_anything_usable_is_refused_in_one_line(tmp_path, text, why):
    with pytest.raises(InvalidInput, match=why) as refusal:
        read_nodes(written(tmp_path, text))
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_or_no_text_or_a_broken_archive_is_refused(tmp_path):
    for content in (None, b"\xff\xfe\x00", gzip.compress(NODES.encode())[:30]):
        path = tmp_path / "bad.csv"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_nodes(path)
