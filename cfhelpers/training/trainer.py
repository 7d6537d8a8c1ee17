"""The Hugging Face ``Trainer`` with a continual-learning method in it."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import IntervalStrategy, get_last_checkpoint

from cfhelpers.evaluation.scores import evaluating
from cfhelpers.fisher.packed import pass_gradients
from cfhelpers.methods.anchored import AnchoredMethod
from cfhelpers.methods.base import Method, trainable_parameters
from cfhelpers.tasks.encoding import IGNORED, Batch
from cfhelpers.training.precision import require_finite_norm, warn_of_lost_steps

METHOD_STATE = "method.pt"

# A mixin has no Trainer of its own at run time; the type checker is told what it will be mixed into.
_MixedInto = Trainer if TYPE_CHECKING else object


class ContinualMixin(_MixedInto):
    """Adds a method's hooks to ``transformers.Trainer`` or a subclass such as trl's ``SFTTrainer``.

    ``class MyTrainer(ContinualMixin, SFTTrainer): pass`` and then ``MyTrainer(method=EWC.from_data(…), …)``.

    - The method's extra loss is divided by the targets of the whole optimizer step, so 4 micro-batches of 4 give what
      1 of 16 gives, however the ``Trainer`` scales its own loss (``loss_is_scaled_for_ga``, ``compute_loss_func``).
    - Its gradient changes are made once per optimizer step, after the last micro-batch and before clipping, multiplied
      by the fp16 loss scaler's present scale.
    - Its state is saved in every checkpoint and read back on resume.
    - Where it penalises, each logged step has ``penalty`` (nats), ``penalty_to_loss`` and ``penalty_to_task_gradient``
      (ratio of the gradient norms before clipping). A callback that asks for a log once the step is over gets the
      penalty alone.
    - Where the loss is the model's own, it is divided by the tokens that are predicted: ``Trainer`` counts each row's
      first label too for models that do not name their loss, such as GPT-2.
    - What it keeps of old data is mixed into ``train_dataset`` (``Method.mix``).

    Args:
        method: The method; its hooks around a whole task (``prepare_model``, ``training_data``, ``after_task``) belong
            to ``learn_sequence`` and are not called here.
        args: As for the ``Trainer``.
        kwargs: As for the ``Trainer``.

    Raises:
        TypeError: ``method`` is not a :class:`Method`.
        ValueError: The run is sharded by DeepSpeed or FSDP, where a parameter's gradient is not in one place, or the
            method's penalties do not fit the model. :meth:`train` refuses a method that protects nothing yet (over a
            ``compute_loss`` of your own it warns).
    """

    within_sequence = False
    """Whether ``learn_sequence`` trains: its first task has nothing to protect, and it has mixed in the old data."""

    def __init__(self, *args: Any, method: Method, **kwargs: Any) -> None:
        if not isinstance(method, Method):
            raise TypeError(
                f"method must be a cfhelpers method such as cf.methods.Naive(), got {type(method).__name__}."
            )
        self.method = method
        self._began = False
        self._asked_of_loss = False
        self._step_items: Tensor | None = None
        self._diagnostics: dict[str, float] | None = None
        self._step_loss: Tensor | float = 0.0
        by_name = kwargs.get("train_dataset") is not None
        if (
            by_name and not self.within_sequence
        ):  # before a subclass such as trl's tokenises: old and new examples alike
            kwargs["train_dataset"] = method.mix(kwargs["train_dataset"])
        super().__init__(*args, **kwargs)
        if not by_name and not self.within_sequence and self.train_dataset is not None:
            self.train_dataset = method.mix(self.train_dataset)
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            raise ValueError("DeepSpeed and FSDP shard the gradients that a method changes: use DDP or one device.")
        if isinstance(method, AnchoredMethod):
            method.require_fit(self.accelerator.unwrap_model(self.model))
        self.add_callback(_AfterStep(self))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the loss of the ``Trainer`` plus, while training, the method's extra loss under the step's count."""
        wants_outputs = model.training and type(self.method).extra_loss is not Method.extra_loss
        # trl makes no logits unless asked, and label smoothing takes the labels out of the batch that it is given.
        asked = {"return_outputs": True} if return_outputs or wants_outputs else {}
        loss = super().compute_loss(model, {**inputs}, num_items_in_batch=num_items_in_batch, **asked)
        if not wants_outputs:
            return loss
        loss, outputs = loss
        extra = self._extra_loss(model, inputs, outputs, num_items_in_batch)
        if extra is not None:
            loss = loss + extra
        return (loss, outputs) if return_outputs else loss

    def _extra_loss(
        self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor | int | None
    ) -> Tensor | None:
        """The extra loss as it has to be for the ``Trainer`` to make a mean over the whole step of it."""
        items = self._step_items if self._step_items is not None else self._count_items([inputs])
        extra = self.method.extra_loss(model, inputs, outputs, items.to(self.args.device))
        if extra is None:
            return None
        if not self._is_scaled(num_items):  # the Trainer will divide by the number of micro-batches
            extra = extra * self.current_gradient_accumulation_steps
        if self.args.average_tokens_across_devices:  # the count is of all processes; their gradients are averaged
            extra = extra * self.accelerator.num_processes
        return extra

    def _is_scaled(self, num_items: Tensor | int | None) -> bool:
        """Whether ``Trainer.training_step`` takes the loss for one that is divided by the whole step's count."""
        # Colab's transformers 5.15 has no such attribute, and what a subclass says there goes unheard.
        if hasattr(Trainer, "loss_is_scaled_for_ga") and self.loss_is_scaled_for_ga is not None:
            return self.loss_is_scaled_for_ga
        return (self.model_accepts_loss_kwargs and num_items is not None) or self.compute_loss_func is not None

    def _count_items(self, batches: list[Batch]) -> Tensor:
        """Targets of all micro-batches of a step, and of all processes where the ``Trainer`` counts so."""
        labels = [batch["labels"] for batch in batches]
        count = torch.stack([self._predicted(each).ne(IGNORED).sum().to(self.args.device) for each in labels]).sum()
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            count = torch.as_tensor(self.accelerator.gather(count)).sum()
        return count

    def _predicted(self, labels: Tensor) -> Tensor:
        return labels[..., 1:] if self._loss_shifts_labels and labels.dim() > 1 else labels

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Count a step's targets, having found out before the first time what the loss makes of the count."""
        first = batch_samples[0] if batch_samples else {}
        labelled = isinstance(first, Mapping) and isinstance(first.get("labels"), Tensor)
        if labelled and not self._asked_of_loss:
            self._asked_of_loss = True
            self._ask_of_loss(batch_samples[0])
        self._step_items = self._count_items(batch_samples) if labelled else None
        return super()._get_num_items_in_batch(batch_samples, device)

    def _ask_of_loss(self, batch: Batch) -> None:
        """Try what the model's own loss does with the count; that it accepts the argument proves nothing.

        A model that takes ``num_items_in_batch`` and ignores it returns a mean, which the ``Trainer`` must divide
        itself; and one that never predicts a row's first label must not have it counted. A loss of the user's own is
        left as the ``Trainer`` has it.
        """
        if self._owner_of_loss() is not Trainer or not self.model_accepts_loss_kwargs:
            return
        model = self.accelerator.unwrap_model(self.model)
        inputs = self._prepare_inputs({**batch})
        first = inputs["labels"].clone()
        if first.dim() > 1:
            first[:, 1:] = IGNORED
            first[:, 0] = inputs["labels"].clamp(min=0).amax(1)  # some label that there is
        with evaluating(model):
            losses = [
                model(**{**inputs, "labels": labels}, num_items_in_batch=torch.tensor(count, device=first.device)).loss
                for labels, count in ((inputs["labels"], 1), (inputs["labels"], 2), (first, 1))
            ]
        if any(loss is None for loss in losses):
            return
        one, two, of_first = (loss.float() for loss in losses)
        uses_count = bool(torch.isclose(one, 2 * two, rtol=1e-2))
        if self.compute_loss_func is None and self.label_smoother is None:
            self.model_accepts_loss_kwargs = uses_count
        if uses_count and first.dim() > 1 and float(of_first) == 0:
            self._loss_shifts_labels = True

    def _owner_of_loss(self) -> type:
        """The class whose ``compute_loss`` this one adds to."""
        return next(c for c in type(self).__mro__ if "compute_loss" in vars(c) and not issubclass(c, ContinualMixin))

    def _require_ready(self) -> None:
        """Refuse a method that would do nothing; of a loss of the user's own, which may do the rest, only say so."""
        try:
            self.method.require_ready(self.accelerator.unwrap_model(self.model))
        except ValueError as error:
            if self._owner_of_loss().__module__.split(".")[0] in ("transformers", "trl"):
                raise
            warnings.warn(str(error), stacklevel=3)

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Run forward and backward; after the last micro-batch let the method change the gradients."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._step_loss = self._step_loss + loss.detach()  # each micro-batch's share of the step's mean
        if self.accelerator.sync_gradients:
            scaler = self.accelerator.scaler
            scale = float(scaler.get_scale()) if scaler is not None else 1.0
            unwrapped = self.accelerator.unwrap_model(model)
            self._diagnostics = self._measure(unwrapped, scale) if self._logs_now() else None
            self._step_loss = 0.0
            self.method.after_backward(unwrapped, scale)
            if scaler is None:  # which would skip such a step
                require_finite_norm(unwrapped)
        return loss

    def _logs_now(self) -> bool:
        """Whether the ``Trainer`` will log when the step is done, as far as that can be foreseen."""
        step = self.state.global_step + 1
        if step == 1 and self.args.logging_first_step:
            return True
        if self.args.logging_strategy == IntervalStrategy.STEPS:
            return step % self.state.logging_steps == 0
        last = step >= self.state.max_steps or self.accelerator.gradient_state.end_of_dataloader
        return self.args.logging_strategy == IntervalStrategy.EPOCH and last

    def _measure(self, model: nn.Module, scale: float) -> dict[str, float]:
        """Compare the penalty with the whole step's loss and gradient."""
        values = self.method.diagnostics(model)
        if "penalty" not in values:
            return values
        gradients = [p.grad for p in trainable_parameters(model).values() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients)) / scale
        loss: Any = self.accelerator.reduce(torch.as_tensor(self._step_loss), "mean")  # each process saw its own share
        values["penalty_to_loss"] = values["penalty"] / max(float(loss), 1e-12)
        values["penalty_to_task_gradient"] = values.pop("penalty_gradient_norm") / max(norm, 1e-12)
        return values

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the method's numbers to the logged training step."""
        if "loss" in logs:
            if self._diagnostics is None:  # asked for when the step was over and its gradient gone
                found = self.method.diagnostics(self.accelerator.unwrap_model(self.model))
                self._diagnostics = {name: value for name, value in found.items() if name == "penalty"}
            logs = {**logs, **self._diagnostics}
        super().log(logs, start_time)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Warn of missing weights, but not of tied ones, which a checkpoint holds once, under their other name."""
        tied = getattr(self.model, "all_tied_weights_keys", None) or {}
        missing = [name for name in load_result.missing_keys if name not in tied]
        super()._issue_warnings_after_load(load_result._replace(missing_keys=missing))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        folder.mkdir(parents=True, exist_ok=True)
        if self.args.should_save:
            unfinished = folder / f"{METHOD_STATE}.part"
            torch.save({"name": self.method.name, "state": self.method.state_dict()}, unfinished)
            os.replace(unfinished, folder / METHOD_STATE)
        super()._save_checkpoint(model, trial)

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Any:
        """Train; when resuming, give the method its state back first.

        Raises:
            ValueError: The method would do nothing here (see ``Method.require_ready``), or the checkpoint was saved
                with another one.
            FileNotFoundError: The checkpoint was not saved by a continual trainer.
        """
        checkpoint = resume_from_checkpoint
        if checkpoint is True:
            checkpoint = get_last_checkpoint(str(self.args.output_dir))
        if checkpoint:
            path = Path(checkpoint) / METHOD_STATE
            if not path.exists():
                raise FileNotFoundError(
                    f"{checkpoint} holds no {METHOD_STATE}: it was not saved by a continual trainer."
                )
            saved = torch.load(path, map_location=self.args.device, weights_only=True)
            if saved["name"] != self.method.name:
                raise ValueError(f"{checkpoint} was saved with {saved['name']!r}, not with {self.method.name!r}.")
            self.method.load_state_dict(saved["state"])
        elif not self._began and not self.within_sequence:
            self._require_ready()
        self._began = True
        pass_gradients(self.accelerator.unwrap_model(self.model))
        if isinstance(self.method, AnchoredMethod) and self.method.penalties:
            warn_of_lost_steps(self.accelerator.unwrap_model(self.model), self.args.learning_rate)
        return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)


class _AfterStep(TrainerCallback):
    """Calls the method once the optimizer has moved the weights."""

    def __init__(self, trainer: Any) -> None:
        # The trainer holds its callbacks. Held by one of them in turn, it would outlive its last use, and with it
        # Adam's moments: twice the model's bytes, until the garbage collector comes by.
        self.trainer = weakref.ref(trainer)

    def __getstate__(self) -> dict[str, Any]:
        # A copy, or what Ray pickles to search for hyperparameters, has to call the copied trainer's method.
        return {"trainer": self.trainer()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.trainer = weakref.ref(state["trainer"])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trainer: Any = self.trainer()
        trainer.method.after_step(trainer.model)


class ContinualTrainer(ContinualMixin, Trainer):
    """``transformers.Trainer`` with a continual-learning method; see :class:`ContinualMixin`."""
