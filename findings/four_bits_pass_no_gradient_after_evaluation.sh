#!/usr/bin/env bash
# bitsandbytes on a CPU with AVX512-BF16: once a 4-bit layer has been evaluated, no gradient passes it any more, also
# back in training mode, and nothing says so. QLoRA with an evaluation before or during training then trains almost
# nothing below the last layers. Other CPUs do not take that path: there this says so and checks nothing.
# Installs what it needs into a temporary folder; exits 1 if the library has changed. None of our code is run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 bitsandbytes==0.50.2
export OMP_NUM_THREADS=1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import bitsandbytes
import torch
from bitsandbytes.nn import Linear4bit

torch.manual_seed(0)
plain = torch.nn.Linear(64, 64, bias=False)
layer = Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
layer.load_state_dict(plain.state_dict())
layer = layer.to("cpu").requires_grad_(False)
if not layer.support_avx512bf16_for_cpu:
    sys.exit(print("This CPU has no AVX512-BF16: nothing to see here."))


def gradient():
    """The norm of what comes back through the layer in training mode, or None."""
    inputs = torch.randn(5, 64, requires_grad=True)
    layer.train()(inputs).square().sum().backward()
    return None if inputs.grad is None else round(float(inputs.grad.norm()), 2)


before = gradient()
with torch.no_grad():
    layer.eval()(torch.randn(5, 64))
after = gradient()
print(f"bitsandbytes {bitsandbytes.__version__}: gradient behind a frozen 4-bit layer, in training mode")
print(f"expected: the same before and after an evaluation; seen: {before} before, {after} after")
sys.exit(before is None or after is not None)
PYTHON
