"""fisher_diagonal against its definition, written out as a loop in float64, and against each known mistake."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import Tensor, nn

from cfhelpers.fisher import Importance, fisher_diagonal, forward
from cfhelpers.fisher.likelihood import Likelihood, _inverse_cdf
from cfhelpers.fisher.oracle import fisher_by_hand, negative_log_likelihoods, summed

Gradients = dict[str, Tensor]
VOCABULARY, CLASSES = 61, 3


def causal_model(kind: str) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(vocab_size=VOCABULARY, n_positions=32, n_embd=16, n_layer=2, n_head=2)
        return GPT2LMHeadModel(config)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=kind == "llama-tied",
    )  # fmt: skip
    return LlamaForCausalLM(config)


def classifier(kind: str) -> nn.Module:
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        RobertaConfig,
        RobertaForSequenceClassification,
    )

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 40, "num_labels": CLASSES,
    }  # fmt: skip
    if kind == "bert":
        return BertForSequenceClassification(BertConfig(**sizes))
    return RobertaForSequenceClassification(RobertaConfig(**sizes))


def model_of(kind: str) -> nn.Module:
    return classifier(kind) if kind in ("bert", "roberta") else causal_model(kind)


def batches_for(kind: str, sizes: tuple[int, ...] = (3, 2), seed: int = 1) -> list[dict[str, Tensor]]:
    """Right-padded batches with unequal lengths; a question's labels are ignored."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for size in sizes:
        lengths = torch.randint(4, 11, (size,), generator=generator)
        width = int(lengths.max())
        mask = (torch.arange(width)[None] < lengths[:, None]).long()
        ids = torch.randint(3, VOCABULARY, (size, width), generator=generator).where(mask.bool(), 1)
        if kind in ("bert", "roberta"):
            labels = torch.randint(0, CLASSES, (size,), generator=generator)
        else:
            labels = ids.where(mask.bool(), -100).where(torch.arange(width)[None] >= 2, -100)
        found.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    return found


def examples_of(batches: list[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Each example alone, without its padding."""
    for batch in batches:
        for row in range(len(batch["labels"])):
            length = int(batch["attention_mask"][row].sum())
            one = {name: value[row : row + 1] for name, value in batch.items()}
            yield {name: value[:, :length] if value.dim() == 2 else value for name, value in one.items()}


def token_losses(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Negative log-likelihood of every target, one by one."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits, labels = model(**inputs).logits, batch["labels"]
    if labels.dim() == 2:
        logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return F.cross_entropy(logits, labels, reduction="none", ignore_index=-100)[labels != -100]


def gradients(model: nn.Module, loss: Tensor, retain: bool = False) -> Gradients:
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True)
    found = torch.autograd.grad(loss, parameters, retain_graph=retain, allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, found, strict=True)}


def mean_of_squares(many: list[Gradients], count: int) -> Gradients:
    return {name: torch.stack([one[name].square() for one in many]).sum(0) / count for name in many[0]}


def oracle(model: nn.Module, batches: list[dict[str, Tensor]], unit: str = "sequence") -> Gradients:
    """The definition in float64, from batches of one example without padding."""
    objective = negative_log_likelihoods if unit == "token" else summed
    return fisher_by_hand(copy.deepcopy(model).double().eval(), examples_of(batches), objective)


def warned_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the library has logged; ``transformers`` warns once in a process, in whichever test comes first."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("cfhelpers")]


def relative_error(estimate: Any, truth: Any) -> float:
    """The worst relative Frobenius error of any tensor whose truth is not practically zero."""
    assert set(estimate) == set(truth)
    floor = 1e-9 * max(float(value.norm()) for value in truth.values())
    return max(
        float((estimate[name].double() - truth[name].double()).norm() / truth[name].double().norm().clamp(min=floor))
        for name in truth
    )


KINDS = ["gpt2", "roberta", "bert", "llama", "llama-tied"]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_loop_in_float64(kind: str) -> None:
    model, batches = model_of(kind), batches_for(kind)
    estimate = fisher_diagonal(model, batches)
    assert relative_error(estimate, oracle(model, batches)) < 1e-5
    assert estimate.n_examples == 5
    assert all(value.dtype == torch.float32 for value in estimate.values())


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_token_unit_equals_the_loop_over_tokens_once_the_signs_are_balanced(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Over the sixteen sign patterns of a Hadamard matrix every product of two different targets cancels exactly.
    model, batches = causal_model(kind), batches_for(kind)
    patterns = torch.ones(1, 1)
    for _ in range(4):
        patterns = torch.cat([torch.cat([patterns, patterns], 1), torch.cat([patterns, -patterns], 1)])

    def balanced(self: Likelihood, step: int, examples: Tensor, indices: tuple[int, ...]) -> Tensor:
        within = torch.cat([torch.arange(int(n)) for n in torch.bincount(examples)])
        return patterns[step][within]

    monkeypatch.setattr(Likelihood, "_signs", balanced)
    estimate = fisher_diagonal(model, batches, unit="token", draws=16)
    assert relative_error(estimate, oracle(model, batches, "token")) < 1e-5


def test_signs_are_fair_and_independent() -> None:
    likelihood = Likelihood("empirical", "token", True, 1, 0)
    signs = likelihood._signs(0, torch.arange(2000).repeat_interleave(3), tuple(range(2000))).view(2000, 3)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert float((signs.T @ signs / 2000 - torch.eye(3)).abs().max()) < 0.1
    assert float(signs.mean(0).abs().max()) < 0.1


def test_token_unit_of_one_target_is_exact() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    for batch in batches:
        batch["labels"][:, 4:] = -100
        batch["labels"][:, :3] = -100
    assert relative_error(fisher_diagonal(model, batches, unit="token"), oracle(model, batches)) < 1e-5


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_exact_equals_enumeration(kind: str) -> None:
    model, batches = classifier(kind), batches_for(kind)
    double = copy.deepcopy(model).double().eval()
    found, examples = [], list(examples_of(batches))
    for example in examples:
        logits = double(example["input_ids"], example["attention_mask"]).logits
        for label in range(CLASSES):
            part = gradients(double, logits.log_softmax(-1)[0, label], retain=True)
            weight = logits.softmax(-1)[0, label].detach().sqrt()
            found.append({name: weight * value for name, value in part.items()})
    truth = mean_of_squares(found, len(examples))
    assert relative_error(fisher_diagonal(model, batches, variant="exact"), truth) < 1e-5


def repeated(batch: dict[str, Tensor], times: int) -> list[dict[str, Tensor]]:
    """The same examples many times over: each copy gets draws of its own."""
    return [{name: value.repeat(times, *[1] * (value.dim() - 1)) for name, value in batch.items()}]


def test_sampled_labels_estimate_the_exact_fisher() -> None:
    model, (batch,) = classifier("bert"), batches_for("bert", (3,))
    exact = fisher_diagonal(model, [batch], variant="exact")
    many = fisher_diagonal(model, repeated(batch, 1000), variant="sample")
    assert relative_error(many, exact) < 0.15
    assert relative_error(fisher_diagonal(model, [batch]), exact) > 0.3


def test_sampled_sequences_have_the_same_expectation_in_both_units() -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (2,))
    sequence = fisher_diagonal(model, repeated(batch, 600), variant="sample")
    token = fisher_diagonal(model, repeated(batch, 600), variant="sample", unit="token", seed=5)
    for name, value in token.items():
        assert float(sequence[name].sum()) == pytest.approx(float(value.sum()), rel=0.15)


def test_labels_are_drawn_with_the_model_s_probabilities() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.2, 0.3, 0.0])
    uniform = (torch.arange(1000) + 0.5) / 1000
    drawn = _inverse_cdf(probabilities.repeat(1000, 1), uniform)
    assert torch.bincount(drawn, minlength=5).tolist() == [0, 500, 200, 300, 0]
    edges = _inverse_cdf(probabilities.repeat(2, 1), torch.tensor([0.0, 1.0]))
    assert edges.tolist() == [1, 3]


def test_draws_are_seeded_and_do_not_depend_on_the_batching() -> None:
    model = causal_model("gpt2").double()
    (batch,) = batches_for("gpt2", (4,))
    halves = [{name: value[rows] for name, value in batch.items()} for rows in (slice(0, 2), slice(2, 4))]
    for settings in ({"variant": "sample"}, {"unit": "token"}):
        whole = fisher_diagonal(model, [batch], seed=3, **settings)  # type: ignore[arg-type]
        assert relative_error(fisher_diagonal(model, halves, seed=3, **settings), whole) < 1e-6  # type: ignore[arg-type]
        assert relative_error(fisher_diagonal(model, [batch], seed=4, **settings), whole) > 1e-2  # type: ignore[arg-type]


class Logistic(nn.Module):
    """Two classes with logits (0, w·x); the batch's input_ids carry x."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, input_ids: Tensor) -> Tensor:
        score = input_ids.to(self.weight.dtype) @ self.weight
        return torch.stack([torch.zeros_like(score), score], -1)


def test_logistic_regression_by_hand() -> None:
    # w = (ln 3, 0); x1 = (1, 2) has p = 3/4, x2 = (0, 1) has p = 1/2.
    model = Logistic(torch.tensor([3.0, 1.0]).log())
    batch = {"input_ids": torch.tensor([[1, 2], [0, 1]]), "labels": torch.tensor([1, 1])}
    exact = fisher_diagonal(model, [batch], variant="exact")["weight"]
    # p(1-p) x²: 3/16 (1, 4) and 1/4 (0, 1); the mean of the two.
    torch.testing.assert_close(exact, torch.tensor([3 / 32, (12 / 16 + 1 / 4) / 2]))
    empirical = fisher_diagonal(model, [batch])["weight"]
    # (y-p)² x²: 1/16 (1, 4) and 1/4 (0, 1).
    torch.testing.assert_close(empirical, torch.tensor([1 / 32, (4 / 16 + 1 / 4) / 2]))
    batched = fisher_diagonal(model, [batch], variant="batched")["weight"]
    # mean of (y-p) x: (1/8, (2/4 + 1/2) / 2) squared; one batch of two.
    torch.testing.assert_close(batched, torch.tensor([1 / 64, 1 / 4]))


Estimator = Callable[[nn.Module, list[dict[str, Tensor]]], Gradients]


def _sum_then_square(model: nn.Module, batches: list[dict[str, Tensor]]) -> Gradients:
    total = torch.stack([token_losses(model, batch).sum() for batch in batches]).sum()
    return {name: value.square() / 5 for name, value in gradients(model, total).items()}


def _batch_mean_squared(model: nn.Module, batches: list[dict[str, Tensor]]) -> Gradients:
    many = [gradients(model, token_losses(model, batch).sum() / len(batch["labels"])) for batch in batches]
    return mean_of_squares(many, len(many))


def _per_example(loss: Callable[[nn.Module, dict[str, Tensor]], Tensor], count: int | None = None) -> Estimator:
    def estimate(model: nn.Module, batches: list[dict[str, Tensor]]) -> Gradients:
        rows = [
            {name: value[row : row + 1] for name, value in batch.items()}
            for batch in batches
            for row in range(len(batch["labels"]))
        ]
        return mean_of_squares([gradients(model, loss(model, row)) for row in rows], count or len(rows))

    return estimate


def _logits(model: nn.Module, row: dict[str, Tensor]) -> Tensor:
    return model(row["input_ids"], attention_mask=row["attention_mask"]).logits


def _loss_on_padding(model: nn.Module, row: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(_logits(model, row)[0, :-1], row["input_ids"][0, 1:], reduction="sum")


def _loss_without_shift(model: nn.Module, row: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(_logits(model, row)[0], row["labels"][0], reduction="sum", ignore_index=-100)


def _arg_max_labels(model: nn.Module, row: dict[str, Tensor]) -> Tensor:
    logits = _logits(model, row)[0, :-1][row["labels"][0, 1:] != -100]
    return F.cross_entropy(logits, logits.argmax(-1), reduction="sum")


def _probability_weighted(model: nn.Module, row: dict[str, Tensor]) -> Tensor:
    losses = token_losses(model, row)
    return (losses * (-losses.detach()).exp()).sum()


def _dropout_on(model: nn.Module, batches: list[dict[str, Tensor]]) -> Gradients:
    return _per_example(lambda m, row: token_losses(m, row).sum())(model.train(), batches)


def _tied_squared_apart(model: nn.Module, batches: list[dict[str, Tensor]]) -> Gradients:
    found = _per_example(lambda m, row: token_losses(m, row).sum())(model, batches)
    untied = copy.deepcopy(model)
    untied.lm_head.weight = nn.Parameter(untied.lm_head.weight.detach().clone())  # type: ignore[union-attr]
    apart = _per_example(lambda m, row: token_losses(m, row).sum())(untied, batches)
    found["transformer.wte.weight"] = apart["transformer.wte.weight"] + apart["lm_head.weight"]
    return found


def _half_precision(model: nn.Module, batches: list[dict[str, Tensor]]) -> Gradients:
    exact = _per_example(lambda m, row: token_losses(m, row).sum())(model, batches)
    return {name: (value * 1e-8).half().to(value.dtype) / 1e-8 for name, value in exact.items()}


MISTAKES: dict[str, Estimator] = {
    "1 square of the summed gradient": _sum_then_square,
    "2 square of the batch-mean gradient": _batch_mean_squared,
    "3 loss averaged over tokens": _per_example(lambda model, row: token_losses(model, row).mean()),
    "4 padding in the loss": _per_example(_loss_on_padding),
    "5 no shift": _per_example(_loss_without_shift),
    "6 dropout on": _dropout_on,
    "8 arg-max labels": _per_example(_arg_max_labels),
    "8 squares weighted by p(y)": _per_example(_probability_weighted),
    "10 tied weights squared apart": _tied_squared_apart,
    "11 divided by the last index": _per_example(lambda model, row: token_losses(model, row).sum(), count=4),
    "11 divided by the number of batches": _per_example(lambda model, row: token_losses(model, row).sum(), count=2),
    "12 accumulated in half precision": _half_precision,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_is_not_the_mistaken_estimate(mistake: str) -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    estimate = fisher_diagonal(model.train(), batches)
    wrong = MISTAKES[mistake](copy.deepcopy(model).double().eval(), batches)
    assert relative_error(wrong, estimate) > 1e-2
    assert relative_error(estimate, oracle(model, batches)) < 1e-5


def test_batched_is_the_second_mistake_on_purpose() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2", (3, 3))
    wrong = _batch_mean_squared(copy.deepcopy(model).double().eval(), batches)
    assert relative_error(fisher_diagonal(model, batches, variant="batched"), wrong) < 1e-5


def test_question_and_answer_apart_are_refused() -> None:
    # Mistake 7: the answer's tokens as labels of the question's positions.
    model = causal_model("gpt2")
    with pytest.raises(ValueError, match=r"one sequence|does not match|batch_size"):
        fisher_diagonal(model, [{"input_ids": torch.ones(2, 4).long(), "labels": torch.ones(2, 7).long()}])


def test_existing_gradients_do_not_enter() -> None:
    # Mistake 9: collected while training, on top of whatever .grad holds.
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    kept = {name: p.grad for name, p in model.named_parameters()}
    assert relative_error(fisher_diagonal(model, batches), oracle(model, batches)) < 1e-5
    assert all(p.grad is kept[name] and bool((p.grad == 1).all()) for name, p in model.named_parameters())


def test_is_taken_at_the_weights_it_is_given() -> None:
    # Mistake 13: the weights of the estimate are the anchor's, bit for bit, and stay so.
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fisher_diagonal(model, batches)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_frozen_parameters_have_no_entry_and_unreached_ones_a_true_zero() -> None:
    # Mistake 14.
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    model.spare = nn.Linear(3, 3)
    frozen = "transformer.h.0.mlp.c_fc.weight"
    model.get_parameter(frozen).requires_grad_(False)
    estimate = fisher_diagonal(model, batches)
    assert frozen not in estimate
    assert estimate.unused == ("spare.weight", "spare.bias")
    assert float(estimate["spare.weight"].sum()) == 0
    assert relative_error(estimate, oracle(model, batches)) < 1e-5


@pytest.mark.parametrize("empty", [0, 2])
def test_labels_are_shifted_only_where_the_model_shifts_them(empty: int) -> None:
    from transformers import BertConfig, BertForMaskedLM, BertForTokenClassification

    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(**sizes, intermediate_size=24, max_position_embeddings=40, num_labels=VOCABULARY)
    for model in (BertForMaskedLM(config), BertForTokenClassification(config)):
        forward._known_shifts.clear()
        batches = batches_for("gpt2")
        batches[0]["labels"][:empty] = -100  # a loss over nothing tells nothing
        found = []
        double = copy.deepcopy(model).double().eval()
        for row in list(examples_of(batches))[empty:]:
            logits = double(row["input_ids"], attention_mask=row["attention_mask"]).logits
            loss = F.cross_entropy(logits[0], row["labels"][0], reduction="sum", ignore_index=-100)
            found.append(gradients(double, loss))
        assert relative_error(fisher_diagonal(model, batches), mean_of_squares(found, 5 - empty)) < 1e-5


def test_sequence_to_sequence() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0
        )
    )
    batches = batches_for("gpt2")
    double, found = copy.deepcopy(model).double().eval(), []
    for row in examples_of(batches):
        logits = double(**row).logits
        found.append(gradients(double, F.cross_entropy(logits[0], row["labels"][0], reduction="sum")))
    assert relative_error(fisher_diagonal(model, batches), mean_of_squares(found, 5)) < 1e-5


def test_restores_everything_also_after_an_error() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    model.train()
    model.transformer.h[0].eval()  # type: ignore[union-attr, index]
    checkpointed = [module for module in model.modules() if hasattr(module, "gradient_checkpointing")]
    for module in checkpointed:
        module.gradient_checkpointing = True  # type: ignore[assignment]
    model.get_parameter("transformer.wpe.weight").requires_grad_(False)
    modes = [module.training for module in model.modules()]
    flags = [p.requires_grad for p in model.parameters()]
    state = torch.get_rng_state()

    def shuffled() -> Iterator[dict[str, Tensor]]:
        torch.rand(3)
        yield from batches
        raise RuntimeError("the loader broke")

    with pytest.raises(RuntimeError, match="the loader broke"):
        fisher_diagonal(model, shuffled())
    fisher_diagonal(model, batches)
    assert modes == [module.training for module in model.modules()]
    assert flags == [p.requires_grad for p in model.parameters()]
    assert torch.equal(state, torch.get_rng_state())
    assert checkpointed
    assert all(module.gradient_checkpointing is True for module in checkpointed)
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())


def test_wrappers_leave_no_trace_in_the_names() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    plain = fisher_diagonal(model, batches)
    compiled = cast(nn.Module, torch.compile(model, backend="eager"))
    for wrapped in (nn.DataParallel(model), compiled):
        assert relative_error(fisher_diagonal(wrapped, batches), plain) < 1e-6


def test_repeats_bitwise() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    first, second = (fisher_diagonal(model, batches, variant="sample", seed=2) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_is_an_importance() -> None:
    estimate = fisher_diagonal(classifier("bert"), batches_for("bert"), variant="sample")
    assert isinstance(estimate, Importance)
    assert (estimate.variant, estimate.unit, estimate.n_examples, estimate.n_targets) == ("sample", "sequence", 5, 5)
