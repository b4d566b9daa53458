import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from deployments.children import Child

STUBBORN = "import signal,sys,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
PARENT = """
import os, sys
from pathlib import Path
from deployments.children import Child
child = Child("sleeper", [sys.executable, "-c", sys.argv[1]], env=os.environ, log=Path(sys.argv[2]))
print(child.first_line().strip(), flush=True)
input()
"""
PARENT_OF_ONE = "import os,subprocess,time; print(os.getpid(), flush=True); time.sleep(600)"


def gone(pid: int, within_s: float = 15.0) -> bool:
    """Whether the process ends in time; a zombie has ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            stat = Path(f"/proc/{pid}/stat")
            if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:  # from either: it may end between the two
            return True
        time.sleep(0.02)
    return False


def test_a_child_ends_with_the_block(tmp_path: Path) -> None:
    with Child("one", [sys.executable, "-c", PARENT_OF_ONE], env=os.environ, log=tmp_path / "log") as child:
        pid = int(child.first_line())
        assert child.running()
    assert gone(pid, 1)


def test_a_child_ends_when_its_parent_is_killed_for_good(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, PARENT_OF_ONE, str(tmp_path / "log")]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert gone(pid)


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_time() -> None:
    start = (
        "import deployments.children as c, sys; c.GRACE_S = 0.2; "
        f"sys.exit(c._supervise([sys.executable, '-c', {STUBBORN!r}]))"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == b"up\n"
    supervisor.communicate(timeout=10)
    assert supervisor.returncode == -signal.SIGKILL % 256


def test_the_last_words_of_a_child_that_fails_are_kept(tmp_path: Path) -> None:
    code = "import sys; sys.exit('the port is taken')"
    with Child("one", [sys.executable, "-c", code], env=os.environ, log=tmp_path / "log") as child:
        assert child.first_line() == ""
        assert "the port is taken" in child.last_words()


def test_how_a_child_ended_is_told(tmp_path: Path) -> None:
    for ends, code in (("pass", 0), ("raise SystemExit(3)", 3)):
        with Child("one", [sys.executable, "-c", ends], env=os.environ, log=tmp_path / "log") as child:
            assert child.wait() == code
    killed = "import os; os.kill(os.getpid(), 9)"
    with Child("one", [sys.executable, "-c", killed], env=os.environ, log=tmp_path / "log") as child:
        assert child.wait() != 0
