"""Chromium for the tests that need a browser: found, or installed where this user may install."""

import os
import shutil
import subprocess

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """Return where Chromium is, if it is on the path."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def ensure() -> str | None:
    """Install Debian's Chromium if there is none, apt is here and this user is root.

    Returns:
        What to tell if there is still none.
    """
    if find():
        return None
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        print("Installing Chromium.", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        if subprocess.run(command, check=False).returncode == 0 and find():
            return None
        return "apt-get could not install chromium; its own message is above"
    return f"no browser: put {' or '.join(_NAMES)} on the path, on Debian with: sudo apt-get install chromium"
