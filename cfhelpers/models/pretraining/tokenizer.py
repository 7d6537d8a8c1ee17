"""The small causal model's own tokenizer: byte-level BPE with a chat template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END, PAD, USER, BOT = "<|endoftext|>", "<|pad|>", "<|user|>", "<|bot|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}" + BOT + "{{ message['content'] }}" + END +
    "{% else %}" + USER + "{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + BOT + "{% endif %}"
)  # fmt: skip


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer with a chat template, and a padding token of its own.

    Args:
        texts: What to learn the merges from, without special tokens.
        vocabulary_size: Number of entries, the four special tokens included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    # The space before the first word makes it the same token at the start of a turn and within one.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END, PAD, USER, BOT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, bos_token=END, pad_token=PAD, model_max_length=128
    )
    fast.add_special_tokens({"additional_special_tokens": [USER, BOT]})
    fast.chat_template = CHAT_TEMPLATE
    return fast
