"""The estimate as a whole: which examples, which objective, which engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from torch import nn

from cfhelpers.fisher import data
from cfhelpers.fisher.adapters import refuse_idle_adapters
from cfhelpers.fisher.engine import Engine
from cfhelpers.fisher.forward import Forward
from cfhelpers.fisher.guard import estimating
from cfhelpers.fisher.importance import Importance
from cfhelpers.fisher.likelihood import UNITS, VARIANTS, Likelihood, Unit, Variant, n_targets
from cfhelpers.fisher.loop import zeros_for
from cfhelpers.fisher.matching import shown
from cfhelpers.fisher.naming import trainable_parameters, unwrap_model
from cfhelpers.fisher.objective import Objective
from cfhelpers.fisher.processes import Found, Processes


def fisher_diagonal(
    model: nn.Module,
    batches: Any,
    *,
    variant: Variant = "empirical",
    unit: Unit = "sequence",
    max_examples: int | None = None,
    seed: int = 0,
    progress: bool = True,
    collate: data.Collate | None = None,
    batch_size: int = 16,
    draws: int = 1,
) -> Importance:
    """Estimate the diagonal of the Fisher information of a language model.

    Fᵢ = 1/N ∑ₙ (∂ log p(yₙ|xₙ) / ∂θᵢ)². Each example's gradient is squared before averaging; squaring the gradient of
    a batch estimates something else (van de Ven, 2025, "On the computation of the Fisher information in continual
    learning"). log p(yₙ|xₙ) is summed over the targets of an example, never averaged, and padding never counts.

    An example without any target is not counted in N. Frozen parameters have no entry. A trainable parameter that no
    example reaches (the head of another task) has an entry of zeros, because the likelihood really does not depend on
    it, and is named in ``Importance.unused``.

    Where ``torch.distributed`` is initialised (``torchrun``, ``accelerate launch``), every process must call this, with
    the same weights and the same, whole data, and each returns the estimate over all of the data. The batches are dealt
    to the processes: a data set's after sorting, an iterable's (also a one-shot iterator's) as they come, which every
    process reads to the end although it works on its own batches only. An error in one process is raised in all.

    Args:
        model: Returns ``logits`` of shape ``[B, T, V]`` or ``[B, C]``; logits of -inf exclude a class. Evaluated
            without dropout; its mode, gradients, flags and the random state are restored whatever happens.
        batches: A data set of examples (``datasets.Dataset``, or any indexable of mappings with 1-D ``input_ids``),
            which is batched by length; or an iterable of Hugging Face batches with ``labels`` of shape ``[B, T]`` or
            ``[B]`` and -100 where ignored, taken as they come; or an iterable of single examples, put together as
            they come. Labels are shifted as the model shifts them. Other columns are passed on if ``forward`` names
            them. Padding on the left is moved to the right, packed rows are taken apart where their ``position_ids``
            start again, and a model that reads padding gets examples of one length together (of given batches a
            warning says that it does).
        variant: Where the labels y come from. ``"empirical"``: the data. ``"sample"``: drawn from the model, seeded
            (each token given the data's tokens before it), which estimates the Fisher without bias. ``"exact"``: every
            class weighted by its probability, for classifiers. ``"batched"``: the square of each batch's mean gradient,
            which is wrong, kept to study it.
        unit: ``"sequence"``: square the gradient of an example's summed log-likelihood. ``"token"``: sum over its
            targets of each target's squared gradient, estimated without bias by random signs on the targets. Both are
            divided by the number of examples N, so that under ``"sample"`` they have the same expectation;
            multiply by ``n_examples / n_targets`` for a mean per target.
        max_examples: At most so many examples: a seeded random subset of a data set, the first of an iterable.
        seed: Keys the subset, the drawn labels and the signs. Draws belong to an example's number, not to its batch.
        progress: Show a bar when it takes longer than two seconds.
        collate: Makes a batch of a list of examples (for a data set). Default: pad on the right.
        batch_size: Examples in a batch (for a data set).
        draws: Draws of labels or of signs for each example; the noise falls with its square root.

    Returns:
        One float32 tensor per trainable parameter, in squared nats per squared parameter unit.

    Raises:
        ValueError: ``batches`` is empty, has no labels or only -100, packs several sequences into a row without saying
            where they begin, or gives a loss that is not finite; nothing is trainable, or what is trainable plays no
            part in the outputs (an adapter that is not active), or parameters are sharded over processes;
            ``"exact"`` is asked of a language model; an unknown variant or unit; processes were given different models,
            data or settings.
    """
    _check_choices(variant, unit, draws)
    return mean_over_examples(
        model,
        batches,
        lambda shift: Likelihood(variant, unit, shift, draws, seed),
        variant=variant,
        unit=unit,
        max_examples=max_examples,
        seed=seed,
        progress=progress,
        collate=collate,
        batch_size=batch_size,
        settings=(draws,),
    )


def mean_over_examples(
    model: nn.Module,
    batches: Any,
    objective_for: Callable[[bool], Objective],
    *,
    variant: str,
    unit: Unit,
    max_examples: int | None,
    seed: int,
    progress: bool,
    collate: data.Collate | None,
    batch_size: int,
    settings: tuple[Any, ...] = (),
) -> Importance:
    """Average the squared (or absolute) gradients of an objective over examples, leaving the model as it was.

    Args:
        model: As for :func:`fisher_diagonal`, like all arguments that are not named here.
        batches: Only where labels are -100 matters here; what they are otherwise is the objective's business.
        objective_for: Makes the objective, told whether logits at t predict label t + 1.
        variant: Kept in the importance.
        unit: Kept in the importance.
        max_examples: At most so many examples.
        seed: Keys the subset.
        progress: Show a bar.
        collate: Makes a batch of a list of examples (for a data set).
        batch_size: Examples in a batch (for a data set).
        settings: What else must be the same in all processes.

    Raises:
        ValueError: As for :func:`fisher_diagonal`.
    """
    processes = Processes()

    def work() -> Found:
        inner = unwrap_model(model)
        parameters = trainable_parameters(inner)
        pad = getattr(getattr(inner, "config", None), "pad_token_id", None)
        with estimating(inner):
            found = data.prepare(
                batches,
                device=next(iter(parameters.values())).device,
                max_examples=max_examples,
                seed=seed,
                collate=collate,
                batch_size=batch_size,
                pad_token_id=pad if isinstance(pad, int) else 0,
                encoder_decoder=bool(getattr(getattr(inner, "config", None), "is_encoder_decoder", False)),
                processes=processes,
            )
            if progress and processes.rank == 0:
                found = _progress_bar(found, data.n_batches(batches, batch_size, max_examples), processes.count)
            return _find(inner, parameters, found, objective_for)

    found = processes.combine(work, (variant, unit, max_examples, seed, batch_size, *settings))
    if found.examples == 0:
        raise ValueError(
            f"none of the {found.seen} examples has a target: every label is -100. Did the collator mask the answers "
            "together with the questions, or the end-of-sequence token together with the padding?"
        )
    unreached = [name for name in found.sums if name not in found.reached]
    refuse_idle_adapters(unwrap_model(model), unreached)
    if not found.reached:
        raise ValueError(
            f"nothing that the model says depends on any of its {len(unreached)} trainable parameters, "
            f"{shown(unreached)}: a penalty on them would protect nothing."
        )
    return Importance(
        {name: total.div_(found.examples) for name, total in found.sums.items()},
        n_examples=found.examples,
        variant=variant,
        unit=unit,
        n_targets=found.targets,
        unused=tuple(unreached),
    )


def _find(
    model: nn.Module,
    parameters: dict[str, nn.Parameter],
    batches: Iterable[data.Batch],
    objective_for: Callable[[bool], Objective],
) -> Found:
    """Sum the squared or absolute gradients of all examples in ``batches``."""
    forward = Forward(model)
    engine: Engine | None = None
    examples = targets = seen = 0
    with ExitStack() as stack:
        for batch in batches:
            seen += len(batch)
            if not bool((batch.labels != data.IGNORED).any()):
                continue
            if engine is None:
                objective = objective_for(forward.shifts_labels(batch))
                _refuse_exact_for_tokens(objective, batch)
                engine = Engine(forward, parameters, objective)
                stack.enter_context(engine.running())
            counts = n_targets(batch.labels, engine.objective.shift)
            if not bool(counts.any()):
                continue
            engine.add(batch if bool(counts.all()) else batch.select(counts.nonzero().squeeze(1).tolist()))
            examples += int((counts > 0).sum())
            targets += int(counts.sum())
    if engine is None:
        return Found({name: zeros_for(parameter) for name, parameter in parameters.items()}, 0, 0, seen, set())
    return Found(engine.sums, examples, targets, seen, engine.reached)


def _check_choices(variant: str, unit: str, draws: int) -> None:
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}; choose one of {', '.join(VARIANTS)}.")
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; choose one of {', '.join(UNITS)}.")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}.")


def _refuse_exact_for_tokens(objective: Objective, batch: data.Batch) -> None:
    if objective.variant == "exact" and batch.labels.dim() == 2:
        raise ValueError(
            "variant='exact' enumerates every possible label, and a language model has V^T of them for T tokens. "
            "variant='sample' draws each token from the model, given the data's tokens before it, and estimates the "
            "Fisher of these predictions without bias."
        )


def _progress_bar(batches: Any, total: int | None, processes: int) -> Any:
    from tqdm import tqdm

    total = None if total is None else -(-total // processes)
    return tqdm(batches, desc="importance", total=total, unit="batch", delay=2.0, leave=False)
