#!/usr/bin/env bash
# Once rfc3987-syntax is installed (JupyterLab requires it), every import of jsonschema, and so of nbformat, builds a
# grammar's parser, though no format is checked: most of the time that it takes to start a tool for notebooks.
# Installs what it needs into a temporary folder; exits 1 if the libraries have changed. None of our code is run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nbformat==5.11.1 jsonschema==4.26.0
cd "$folder"
cat > seconds.py <<'PYTHON'
import statistics
import subprocess
import sys

CODE = "import time; before = time.process_time(); import nbformat; print(time.process_time() - before)"
runs = [subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True) for _ in range(6)]
print(statistics.median(float(each.stdout) for each in runs[1:]))  # the first compiles to bytecode
PYTHON
without=$("$folder/venv/bin/python" seconds.py)
"$folder/venv/bin/pip" install --quiet rfc3987-syntax==1.1.0
with=$("$folder/venv/bin/python" seconds.py)
"$folder/venv/bin/python" - "$without" "$with" <<'PYTHON'
import sys

without, with_it = map(float, sys.argv[1:])
print("CPU seconds of `import nbformat` 5.11.1 with jsonschema 4.26.0, median of five processes")
print("expected: the same with and without rfc3987-syntax 1.1.0, as nothing asks for the format of an IRI")
print(f"seen: {without:.2f} without it, {with_it:.2f} with it: {with_it / without:.1f} times as many")
sys.exit(with_it < 2 * without)
PYTHON
