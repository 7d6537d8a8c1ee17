#!/usr/bin/env bash
# For GPT-2 Trainer divides the loss by a count that holds each row's first label, which nothing predicts.
# Installs what it needs into a temporary folder; exits 1 if the library has changed. None of our code is run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 HF_HOME="$folder/hub"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import tempfile

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

transformers.logging.set_verbosity_error()
ids = torch.randint(2, 20, (8, 5), generator=torch.Generator().manual_seed(0))
rows = [{"input_ids": row, "labels": row} for row in ids]
sizes = {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 1}
small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def ratio(model):
    """The evaluated loss against the mean per predicted token: 4 of 5 in a row."""
    arguments = TrainingArguments(tempfile.mkdtemp(), per_device_eval_batch_size=8, report_to="none", use_cpu=True,
                                  disable_tqdm=True)
    evaluated = Trainer(model=model, args=arguments, eval_dataset=rows).evaluate()["eval_loss"]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[:, :-1]
    return evaluated / float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))


torch.manual_seed(0)
gpt2 = ratio(GPT2LMHeadModel(GPT2Config(**sizes, n_positions=16, n_embd=16, n_layer=1, n_head=2)).eval())
llama = ratio(LlamaForCausalLM(LlamaConfig(**sizes, **small)).eval())
print(f"transformers {transformers.__version__}: eval_loss divided by the mean loss per predicted token, rows of 5")
print(f"expected: 1 for both; seen: {gpt2:.3f} for GPT-2 (4 predicted, 5 counted), {llama:.3f} for Llama")
sys.exit(abs(gpt2 - 0.8) > 0.001 or abs(llama - 1) > 0.001)
PYTHON
