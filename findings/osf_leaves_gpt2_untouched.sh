#!/usr/bin/env bash
# peft's OSF lists GPT-2's layers as its own default targets, and then leaves them as they are: nothing trains.
# Installs what it needs into a temporary folder; exits 1 if the library has changed. None of our code is run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 HF_HOME="$folder/hub"
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import peft
import torch
from peft import OSFConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
sizes = {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 1}
gpt2 = GPT2LMHeadModel(GPT2Config(**sizes, n_positions=16, n_embd=16, n_layer=1, n_head=2))
small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
trained = {}
for name, model in {"gpt2": gpt2, "llama": LlamaForCausalLM(LlamaConfig(**sizes, **small))}.items():
    wrapped = get_peft_model(model, OSFConfig())  # no error, no warning
    trained[name] = sum(each.numel() for each in wrapped.parameters() if each.requires_grad)
    print(f"peft {peft.__version__}, {name}: targets {sorted(wrapped.peft_config['default'].target_modules)}")
print(f"expected: trainable parameters in both, or an error; seen: {trained}")
sys.exit(trained["gpt2"] != 0 or trained["llama"] == 0)
PYTHON
