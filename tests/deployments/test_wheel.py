"""The wheel, built from what the Dockerfile copies, is all that runs need: tried where there is no clone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOK = """
import importlib.util, json
from pathlib import Path
import deployments.deploy as it
from deployments.server.layout import EXAMPLE
for entry in it.declared():
    assert importlib.util.find_spec(entry["entrypoint"].rpartition(".")[0]), entry
here = Path(it.__file__).parent
files = [str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()]
print(json.dumps({"at": it.__file__, "files": files,
                  "flows": len(it.declared()), "template": sorted(it._job_template()), "example": EXAMPLE.exists()}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with our wheel and the locked packages, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("wheel")
    for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "deployments/kubernetes/Dockerfile").read_text(), re.M):
        *copied, _target = line.split()
        for name in copied:
            here = ROOT / name
            if here.is_dir():
                shutil.copytree(here, folder / "build" / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (folder / "build").mkdir(exist_ok=True)
                shutil.copy(here, folder / "build" / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=folder / "build", check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    site = folder / "venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    shutil.unpack_archive(wheel, site, "zip")
    (site / "locked.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "venv" / "bin" / "python"


def test_every_flow_is_found_and_nothing_is_missing(python: Path, tmp_path: Path) -> None:
    done = subprocess.run([str(python), "-I", "-c", LOOK], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["at"].startswith(str(python.parents[1]))
    assert told["flows"] > 15
    assert {"prefect.yaml", "server/nginx.conf.j2", "kubernetes/worker.yaml", "report.html.j2"} <= set(told["files"])
    assert told["template"] == ["job_configuration", "variables"]
    assert told["example"]
