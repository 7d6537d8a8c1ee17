#!/usr/bin/env bash
# A sequence classifier accepts num_items_in_batch and ignores it, so accumulated gradients are as many times too large.
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
from transformers import RobertaConfig, RobertaForSequenceClassification, Trainer, TrainingArguments

transformers.logging.set_verbosity_error()
rows = [{"input_ids": torch.tensor([5, 6 + i % 4, 7]), "labels": torch.tensor(i % 3)} for i in range(16)]


def gradient_norm(size):
    """One step over the same 16 examples, without dropout."""
    torch.manual_seed(0)
    model = RobertaForSequenceClassification(RobertaConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    ))
    arguments = TrainingArguments(
        tempfile.mkdtemp(), max_steps=1, per_device_train_batch_size=size, gradient_accumulation_steps=16 // size,
        optim="sgd", logging_steps=1, report_to="none", disable_tqdm=True, use_cpu=True, save_strategy="no",
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.train()
    return trainer.state.log_history[0]["grad_norm"]


ratio = gradient_norm(4) / gradient_norm(16)
print(f"transformers {transformers.__version__}: 4 micro-batches of 4 against 1 batch of 16, ratio of gradient norms")
print(f"expected: 1 (accumulation changes nothing); seen: {ratio:.3f}")
sys.exit(abs(ratio - 4) > 0.01)
PYTHON
