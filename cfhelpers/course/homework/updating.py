"""The teacher's edits carried over into a newer chapter: a three-way merge, or a list of what clashes."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CLASH = re.compile(r"^<{7} .*?\n(.*?)^={7}\n(.*?)^>{7} .*?$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
YOURS, NEWER = "yours", "the chapter"


@dataclass(frozen=True)
class Update:
    """What came of an update of one source.

    Attributes:
        path: The teacher's copy of the chapter's source.
        merged: Whether the chapter was newer and both went together.
        clashes: Where both changed the same lines: what the teacher has and what the chapter has now.
        clash_file: Where the clashes are to be settled, if there are any.
    """

    path: Path
    merged: bool = False
    clashes: tuple[tuple[str, str], ...] = ()
    clash_file: Path | None = None


def update(chapter: Path, folder: Path) -> Update:
    """Bring the teacher's copy of a chapter's source up to date; nothing of theirs is ever written over.

    The copy is made if there is none. Beside it, in ``.chapter``, stands the version of the chapter it was made from.
    Where both changed the same lines, the copy stays as it is and ``NAME.clashes.py`` shows both; once that file has
    no marks left, it becomes the copy.

    Args:
        chapter: The chapter's source as it is now.
        folder: Where the teacher's copies stand.

    Raises:
        RuntimeError: ``git merge-file`` is needed for a merge and is not here.
    """
    own, base = folder / chapter.name, folder / ".chapter" / chapter.name
    clash_file = folder / f"{chapter.stem}.clashes.py"
    base.parent.mkdir(parents=True, exist_ok=True)
    if not own.exists():
        shutil.copyfile(chapter, own)
        shutil.copyfile(chapter, base)
        return Update(own)
    if clash_file.exists() and not _MARKER.search(clash_file.read_text("utf-8")):
        clash_file.replace(own)
        shutil.copyfile(chapter, base)
        return Update(own, merged=True)
    if base.read_bytes() == chapter.read_bytes():
        return Update(own)
    text, clashes = _merge(own, base, chapter)
    if clashes:
        clash_file.write_text(text, "utf-8", newline="\n")
        return Update(own, clashes=tuple(clashes), clash_file=clash_file)
    own.write_text(text, "utf-8", newline="\n")
    shutil.copyfile(chapter, base)
    return Update(own, merged=True)


def _merge(own: Path, base: Path, chapter: Path) -> tuple[str, list[tuple[str, str]]]:
    if shutil.which("git") is None:
        raise RuntimeError("carrying your edits into the newer chapter takes the command git, which is not here")
    labels = ["-L", YOURS, "-L", "before", "-L", NEWER]
    done = subprocess.run(
        ["git", "merge-file", "-p", *labels, str(own), str(base), str(chapter)], capture_output=True, check=False
    )
    if done.returncode < 0 or done.returncode > 127:
        raise RuntimeError(f"git merge-file failed: {done.stderr.decode(errors='replace').strip()}")
    text = done.stdout.decode()
    return text, [(match[1], match[2]) for match in _CLASH.finditer(text)] if done.returncode else []
