"""One task of a sequence: its data, its trainer, the training clock, its curves and its row of scores."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm
from transformers import TrainingArguments

from cfhelpers import environment
from cfhelpers.evaluation.scores import evaluate_task
from cfhelpers.tasks.encoding import Split
from cfhelpers.training.curves import CurveCallback
from cfhelpers.training.trainer import ContinualTrainer

if TYPE_CHECKING:
    from cfhelpers.training.sequence import Learned


class _SequenceTrainer(ContinualTrainer):
    """The trainer of one task of several; the first has nothing to protect yet."""

    within_sequence = True


def learn_task(learned: Learned, bar: tqdm[Any]) -> None:
    """Train on the first task that is not learned yet and add its row to the record."""
    task, seen = learned.tasks[learned.n_learned], learned.tasks[: learned.n_learned]
    bar.set_description(f"{learned.method.name} learns {task.name}, seed {learned.run.seed}")
    environment.seed_everything(learned.run.seed)
    learned.model = learned.method.prepare_model(learned.model, task).to(learned.run.device)
    data = learned.method.training_data(task, seen)
    steps = learned.method.training_steps(learned.plan.steps_of(len(seen)), seen)
    curve = CurveCallback(
        learned.record, task.name, steps, lambda: score_row(learned, "validation"), bar, learned.run.device
    )
    with tempfile.TemporaryDirectory(prefix="cfhelpers-") as folder:
        trainer = _SequenceTrainer(
            method=learned.method,
            model=learned.model,
            args=_arguments(learned, steps, folder),
            train_dataset=data,
            data_collator=task.collate,
            callbacks=[curve],
        )
        _silence(trainer)
        start = environment.busy_seconds(learned.run.device)
        trainer.train()
        learned.record.seconds[0] += environment.busy_seconds(learned.run.device) - start - curve.seconds
    learned.record.losses.extend(
        {
            "seed": learned.run.seed,
            "training": task.name,
            **{key: entry[key] for key in entry if key == "loss" or key.startswith("penalty")},
            "step": curve.before + entry["step"],
        }
        for entry in trainer.state.log_history
        if "loss" in entry
    )
    learned.record.results[0].append(score_row(learned, "test"))


def remember(learned: Learned) -> None:
    """Let the method look at the task just learned, on the training clock."""
    environment.seed_everything(learned.run.seed)
    start = environment.busy_seconds(learned.run.device)
    learned.method.after_task(learned.model, learned.tasks[learned.n_learned - 1])
    learned.record.seconds[0] += environment.busy_seconds(learned.run.device) - start


def _arguments(learned: Learned, steps: int, folder: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=learned.plan.batch_size,
        learning_rate=learned.method.learning_rate or learned.plan.learning_rate,
        warmup_steps=max(1, steps // 20),
        logging_steps=max(1, steps // 20),
        save_strategy="no",
        remove_unused_columns=False,  # task_ids choose the head
        dataloader_pin_memory=learned.run.device != "cpu",
        use_cpu=learned.run.device == "cpu",
        disable_tqdm=True,
        report_to="none",
        seed=learned.run.seed,
    )


def _silence(trainer: ContinualTrainer) -> None:
    """Leave the log in ``state.log_history`` and print nothing: the bar shows the progress."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def score_row(learned: Learned, split: Split) -> list[float]:
    """Score every task of the sequence; NaN where the model has no head for it yet."""
    return [
        evaluate_task(learned.method.prediction_model(learned.model, task), task, split)
        if task.task.kind != "classification" or task.name in learned.model.heads  # pyright: ignore[reportOperatorIssue]  # MultiTaskClassifier.heads
        else float("nan")
        for task in learned.tasks
    ]
