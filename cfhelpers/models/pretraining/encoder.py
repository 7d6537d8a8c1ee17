"""Pretrain the small encoder by masked language modelling and write it, with its card, where the package finds it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cfhelpers.models.pretraining.artifact import adamw, one_thread, write_artifact
from cfhelpers.models.pretraining.encoder_corpus import write_documents
from cfhelpers.models.pretraining.encoder_measure import measure
from cfhelpers.models.pretraining.encoder_start import start_from_counts
from cfhelpers.tasks.classification import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

BUNDLED = Path(__file__).parent.parent / "bundled" / "encoder"

CARD = {
    "what": "RoBERTa architecture, trained from nothing by masked language modelling on generated text",
    "command": "python -m cfhelpers pretrain encoder",
    "data": "cfhelpers/models/pretraining/encoder_corpus.py: film and place reviews, reports, and statements joined by "
    "connectives; the vocabulary and patterns of the classification tasks, without their labels",
}

# In this order they get the ids 0, 1, 2 and 3, as in RoBERTa.
SPECIAL_TOKENS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "mask_token": "<mask>"}
BOS_ID, PAD_ID, EOS_ID, MASK_ID = range(4)
# Batches are sorted by length within pools of this many, which saves padding without ordering the training by length.
POOL = 16


@dataclass(frozen=True)
class EncoderRecipe:
    """Everything that decides the weights, besides the code and the versions.

    Attributes:
        steps: Optimizer steps.
        rows: Documents per step.
        vocabulary_size: Largest number of tokens; the corpus has fewer different words and parts of words.
        masked: Share of the tokens that are to be predicted; of these 80 % are replaced by <mask>, 10 % by any
            token, and 10 % left as they are (Devlin et al., 2019).
        learning_rate: At its peak; warms up over the first 5 % and then falls linearly to zero.
        counted_documents: Documents from which the tokenizer and the first word vectors are learned.
        initial_std: Standard deviation of the random weights; RoBERTa's 0.02 suits a width of 768.
    """

    seed: int = 0
    steps: int = 2000
    rows: int = 32
    width: int = 128
    layers: int = 3
    attention_heads: int = 4
    vocabulary_size: int = 2000
    positions: int = 130
    masked: float = 0.25
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    counted_documents: int = 20_000
    initial_std: float = 0.05


def pretrain_encoder(
    out_dir: Path | str = BUNDLED, recipe: EncoderRecipe | None = None, *, progress: bool = True
) -> Path:
    """Train the encoder from nothing and save it; on one machine the result is bitwise the same.

    Args:
        out_dir: Where model.safetensors, the configuration, the tokenizer and card.json are written.
        recipe: Sizes and steps; None: the recipe of the bundled model, about ten minutes on one core.
        progress: Show a progress bar.

    Returns:
        The folder.
    """
    recipe = recipe or EncoderRecipe()
    folder = Path(out_dir)
    with one_thread():
        started = time.perf_counter()
        documents = list(islice(write_documents(recipe.seed), recipe.counted_documents))
        tokenizer = train_tokenizer((text for texts in documents for text in texts), recipe)
        model = new_model(recipe, len(tokenizer))
        encoded = (_encode(tokenizer, texts, recipe.positions - 2) for texts in documents)
        start_from_counts(model, encoded, special_tokens=len(SPECIAL_TOKENS))
        _train(model, tokenizer, recipe, progress)
        # Dropout would slow down learning a world without noise; fine-tuning on few examples uses it as usual.
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.1
        card = {**CARD, "recipe": asdict(recipe), "seconds": round(time.perf_counter() - started)}
        write_artifact(folder, model.half(), tokenizer, card, measure)
    return folder


def train_tokenizer(texts: Iterable[str], recipe: EncoderRecipe) -> PreTrainedTokenizerFast:
    """Learn byte-level BPE and dress it like RoBERTa's: <s> text </s>, or <s> text </s></s> other text </s>."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE())
    # Every word and every mark gets a space before it, at the start and after <mask> too: one spelling per word.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", EOS_ID), ("<s>", BOS_ID), trim_offsets=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **SPECIAL_TOKENS,
        cls_token=SPECIAL_TOKENS["bos_token"],
        sep_token=SPECIAL_TOKENS["eos_token"],
        model_max_length=recipe.positions - 2,  # RoBERTa counts positions from the padding index plus one
        model_input_names=["input_ids", "attention_mask"],
    )


def new_model(recipe: EncoderRecipe, vocabulary_size: int) -> RobertaForMaskedLM:
    """Make the architecture with random weights fixed by the recipe's seed."""
    from transformers import RobertaForMaskedLM

    torch.manual_seed(recipe.seed)
    return RobertaForMaskedLM(_config(recipe, vocabulary_size))


def _config(recipe: EncoderRecipe, vocabulary_size: int) -> RobertaConfig:
    from transformers import RobertaConfig

    return RobertaConfig(
        vocab_size=vocabulary_size,
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.attention_heads,
        intermediate_size=4 * recipe.width,
        max_position_embeddings=recipe.positions,
        type_vocab_size=1,
        initializer_range=recipe.initial_std,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=BOS_ID,
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
    )


def mask_tokens(
    input_ids: Tensor, maskable: Tensor, *, share: float, mask_id: int, vocabulary: range, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hide a share of the tokens.

    Args:
        input_ids: Shape ``[B, T]``.
        maskable: Shape ``[B, T]``, True where a token may be hidden.
        share: Probability of each maskable token to be chosen.
        mask_id: The id of the mask token.
        vocabulary: Ids to replace 10 % of the chosen tokens with.
        generator: Source of the choices.

    Returns:
        The ids with some hidden, and where: boolean, shape ``[B, T]``.
    """
    chosen = (torch.rand(input_ids.shape, generator=generator) < share) & maskable
    how = torch.rand(input_ids.shape, generator=generator)
    anything = torch.randint(vocabulary.start, vocabulary.stop, input_ids.shape, generator=generator)
    hidden = torch.where(chosen & (how < 0.8), torch.full_like(input_ids, mask_id), input_ids)
    return torch.where(chosen & (how >= 0.9), anything, hidden), chosen


def _batches(tokenizer: PreTrainedTokenizerFast, recipe: EncoderRecipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield input ids and attention mask ``[B, T]``, of documents of similar length."""
    documents = write_documents(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    while True:
        pool = [_encode(tokenizer, next(documents), recipe.positions - 2) for _ in range(POOL * recipe.rows)]
        pool.sort(key=len)
        for place in torch.randperm(POOL, generator=generator).tolist():
            yield _pad(pool[place * recipe.rows : (place + 1) * recipe.rows])


def _encode(tokenizer: Any, texts: Texts, max_length: int) -> list[int]:
    return tokenizer(*texts, truncation=True, max_length=max_length)["input_ids"]


def _pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    length = max(len(row) for row in rows)
    input_ids = torch.tensor([[*row, *[PAD_ID] * (length - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return input_ids, mask


def _train(
    model: RobertaForMaskedLM, tokenizer: PreTrainedTokenizerFast, recipe: EncoderRecipe, progress: bool
) -> None:
    from tqdm.auto import tqdm

    optimizer = adamw(model, recipe.learning_rate, recipe.weight_decay)
    warmup = max(1, recipe.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.0, (recipe.steps - step) / (recipe.steps - warmup)))
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    vocabulary = range(len(SPECIAL_TOKENS), len(tokenizer))
    batches = _batches(tokenizer, recipe)
    model.train()
    bar = tqdm(range(recipe.steps), disable=not progress, desc="pretraining the encoder", mininterval=5)
    for _ in bar:
        input_ids, attention_mask = next(batches)
        hidden, chosen = mask_tokens(
            input_ids,
            input_ids >= len(SPECIAL_TOKENS),
            share=recipe.masked,
            mask_id=MASK_ID,
            vocabulary=vocabulary,
            generator=generator,
        )
        states = model.roberta(input_ids=hidden, attention_mask=attention_mask).last_hidden_state
        # Only hidden tokens are scored, so the largest matrix product is done for a fifth of the positions.
        loss = torch.nn.functional.cross_entropy(model.lm_head(states[chosen]), input_ids[chosen])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()
