#!/usr/bin/env bash
# A deep copy of a model that trl's SFTTrainer has held answers with the original's weights.
# Installs what it needs into a temporary folder; exits 1 if the library has changed. None of our code is run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 trl==1.16.0
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 HF_HOME="$folder/hub"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import copy
import sys
import tempfile

import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

transformers.logging.set_verbosity_error()
words = Tokenizer(models.WordLevel({w: i for i, w in enumerate("<pad> <eos> a b c d".split())}, unk_token="a"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(
    vocab_size=6, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=1, pad_token_id=0,
)).eval()
ids = torch.tensor([[2, 3, 4, 5]])


def change_of_the_copy():
    """How far a copy's answer moves when the copy's weights are changed."""
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        before = twin(input_ids=ids).logits
        for parameter in twin.parameters():
            parameter.add_(1.0)
        return float((twin(input_ids=ids).logits - before).abs().max())


plain = change_of_the_copy()
trl.SFTTrainer(
    model=model, processing_class=tokenizer, train_dataset=Dataset.from_dict({"text": ["a b c", "d a b"]}),
    args=trl.SFTConfig(tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to="none", max_length=8),
)
held = change_of_the_copy()
print(f"trl {trl.__version__}: how far a deep copy's logits move when all of the copy's weights are changed")
print(f"expected: {plain:.3f}, as before the trainer was built; seen: {held:.3f}")
sys.exit(plain == 0 or held != 0)
PYTHON
