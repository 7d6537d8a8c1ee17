"""Run a command so that it can harm nothing: without a network, on one small folder, in limited time and memory.

Linux namespaces do it, through ``unshare`` of util-linux, which every distribution has; no root and no container is
needed. Inside, the whole disk is read-only, chosen folders are empty, and the command's own folder is a small file
system in memory that vanishes with it. Everything that the command started dies with it.

Run as a script, this file is what happens inside, so it imports Python's own library only.
"""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_NAMESPACES = [
    "--user",
    "--map-root-user",
    "--net",
    "--mount",
    "--pid",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
# They hold no files, or refuse to be mounted again from within.
_WITHOUT_FILES = {"proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "bpf"}
_KEPT_OPTIONS = {"nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"}
_LARGEST_ANSWER = 30_000_000
# Ubuntu's switch since 23.10: "1" forbids namespaces to everybody but root.
_UBUNTUS_SETTING = "kernel.apparmor_restrict_unprivileged_userns"
_FORBIDDEN_BY_UBUNTU = Path("/proc/sys", _UBUNTUS_SETTING.replace(".", "/"))
# What the inner script exits with when the confinement itself could not be made.
_NOT_CONFINED = 97


class NotConfined(Exception):
    """This machine does not let us confine a command; the message says why."""


@dataclass(frozen=True)
class Limits:
    """What a confined command may use.

    Attributes:
        seconds: Of the clock, for everything together.
        memory: Bytes of data that each of its processes may allocate.
        disk: Bytes that it may write.
        processes: How many processes and threads it may have.
    """

    seconds: float = 120
    memory: int = 4 * 2**30
    disk: int = 256 * 2**20
    processes: int = 400


@dataclass(frozen=True)
class Finished:
    """What came of a confined command: its answer file, or None, and whether its time was over."""

    answer: bytes | None
    out_of_time: bool
    log: str


def run(
    command: Sequence[str],
    folder: Path,
    *,
    answer: str,
    hidden: Sequence[Path] = (),
    limits: Limits | None = None,
    environment: dict[str, str] | None = None,
) -> Finished:
    """Run a command on a copy of a folder, confined, and hand back one file that it wrote.

    Args:
        command: Its working directory is the copy, at the folder's own path.
        folder: What the command works on; it stays as it is.
        answer: Name of the file in the copy to hand back.
        hidden: Folders that are empty for the command.
        limits: None takes the defaults.
        environment: All variables that the command sees.

    Raises:
        NotConfined: There are no namespaces here, or the disk could not be made read-only.
    """
    if sys.platform != "linux" or shutil.which("unshare") is None:
        raise NotConfined("submissions are confined with Linux namespaces (the command unshare), which are not here")
    limits = limits or Limits()
    plan = {
        "command": list(command),
        "folder": str(folder.resolve()),
        "answer": answer,
        "environment": environment or {},
    }
    plan |= {"hidden": [str(path.resolve()) for path in hidden if path.exists()], "limits": asdict(limits)}
    inner = ["unshare", *_NAMESPACES, sys.executable, "-I", str(Path(__file__).resolve()), json.dumps(plan)]
    process = subprocess.Popen(inner, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=limits.seconds + 30)  # inside, its own clock ends it before
        out_of_time = process.returncode == 124
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        out_of_time = True
    log = err.decode(errors="replace")
    # unshare itself exits with 1 and its name when the kernel refuses.
    if process.returncode == _NOT_CONFINED or (process.returncode == 1 and log.startswith("unshare:")):
        reason = log.strip() or "no reason was given"
        if _FORBIDDEN_BY_UBUNTU.exists() and _FORBIDDEN_BY_UBUNTU.read_text("utf-8").strip() == "1":
            reason += f". Ubuntu forbids it; until the next start this allows it: sudo sysctl -w {_UBUNTUS_SETTING}=0"
        raise NotConfined(f"submissions cannot be confined on this machine: {reason}")
    return Finished(out or None, out_of_time, log[-4000:])


def run_unconfined(
    command: Sequence[str], folder: Path, *, answer: str, limits: Limits, environment: dict[str, str]
) -> Finished:
    """Run a command in a folder with limits of time, memory and file size alone, where nothing better can be had.

    The command can read and write whatever its user can, and use the network.

    Raises:
        NotConfined: On Windows, which has none of these limits.
    """
    if sys.platform == "win32":
        raise NotConfined("Windows cannot limit a submission's time, memory and file size")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=lambda: _limit({**asdict(limits), "processes": None}),
            start_new_session=True,
        )
        try:
            process.wait(limits.seconds)
            out_of_time = False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            out_of_time = True
        log.seek(0)
        text = log.read().decode(errors="replace")[-4000:]
    path = folder / answer
    readable = path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_ANSWER
    return Finished(path.read_bytes() if readable else None, out_of_time, text)


def _inside(plan: dict) -> int:
    """Confine this process, run the command and write its answer to standard output."""
    folder, limits = Path(plan["folder"]), plan["limits"]
    try:
        _start_loopback()
        _close_the_disk(folder, [Path(path) for path in plan["hidden"]], limits["disk"])
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        print(f"{said}", file=sys.stderr)
        return _NOT_CONFINED
    # Another user namespace inside: in it, nobody has the rights that undo the mounts above.
    command = ["unshare", "--user", "--map-current-user", *plan["command"]]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=plan["environment"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log.txt").open("wb"),
        preexec_fn=lambda: _limit(limits),
        start_new_session=True,
    )
    try:
        process.wait(limits["seconds"])
        status = 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        status = 124
    answer, log = folder / plan["answer"], folder / "log.txt"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        sys.stderr.buffer.write(file.read())
    if answer.is_file() and not answer.is_symlink() and answer.stat().st_size <= _LARGEST_ANSWER:
        sys.stdout.buffer.write(answer.read_bytes())
    return status


def _start_loopback() -> None:
    """Bring up the loopback interface, over which a kernel and its client talk; no other interface exists here."""
    import fcntl  # not on Windows, where this is never called

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS


def _close_the_disk(folder: Path, hidden: Sequence[Path], size: int) -> None:
    """Make everything read-only but ``folder``, which becomes a copy of itself in memory."""

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, encoding="utf-8", errors="replace")

    mount("--make-rprivate", "/")
    for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines():
        before, _, after = line.partition(" - ")
        place = before.split()[4].encode().decode("unicode_escape")
        if after.split()[0] in _WITHOUT_FILES or (not os.path.isdir(place) and after.split()[0] == "tmpfs"):
            continue
        kept = sorted(_KEPT_OPTIONS & set(before.split()[5].split(",")))
        mount("-o", ",".join(["remount", "bind", "ro", *kept]), place)
    # The copy is made in memory and then takes the folder's place.
    mount("-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", "/dev/shm")
    copy = Path(tempfile.mkdtemp(dir="/dev/shm"))
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    mount("--bind", str(copy), str(folder))
    for path in hidden:
        mount("-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", str(path))


def _limit(limits: dict) -> None:
    import resource  # not on Windows, where this is never called

    for what, most in (
        (resource.RLIMIT_DATA, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        if most is not None:
            resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(_inside(json.loads(sys.argv[1])))
