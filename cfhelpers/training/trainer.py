"""The Hugging Face ``Trainer`` with a continual-learning method in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from cfhelpers.methods.base import Method, trainable_parameters
from cfhelpers.tasks.encoding import IGNORED, Batch

METHOD_STATE = "method.pt"

# A mixin has no Trainer of its own at run time; the type checker is told what it will be mixed into.
_MixedInto = Trainer if TYPE_CHECKING else object


class ContinualMixin(_MixedInto):
    """Adds a method's hooks to ``transformers.Trainer`` or a subclass such as trl's ``SFTTrainer``.

    ``class MyTrainer(ContinualMixin, SFTTrainer): pass`` and then ``MyTrainer(method=EWC.from_data(…), …)``.

    - The method's extra loss is normalised like the model's own, so 4 micro-batches of 4 give what 1 of 16 gives.
    - Its gradient changes are made once per optimizer step, after the last micro-batch and before clipping, multiplied
      by the fp16 loss scaler's present scale.
    - Its state is saved in every checkpoint and read back on resume.
    - Where it penalises, each logged step has ``penalty`` (nats), ``penalty_to_loss`` and ``penalty_to_task_gradient``
      (ratio of the gradient norms before clipping).

    - What it keeps of old data is mixed into ``train_dataset`` (``Method.mix``).

    Args:
        method: The method; its hooks around a whole task (``prepare_model``, ``training_data``, ``after_task``) belong
            to ``learn_sequence`` and are not called here.
        is_mixed: ``train_dataset`` holds the old data already, as ``learn_sequence``'s does.
        args: As for the ``Trainer``.
        kwargs: As for the ``Trainer``.

    Raises:
        TypeError: ``method`` is not a :class:`Method`.
        ValueError: The run is sharded by DeepSpeed or FSDP, where a parameter's gradient is not in one place.
    """

    def __init__(self, *args: Any, method: Method, is_mixed: bool = False, **kwargs: Any) -> None:
        if not isinstance(method, Method):
            raise TypeError(
                f"method must be a cfhelpers method such as cf.methods.Naive(), got {type(method).__name__}."
            )
        self.method = method
        self._loss_uses_num_items: bool | None = None
        self._diagnostics: dict[str, float] = {}
        self._step_loss: Tensor | float = 0.0
        by_name = kwargs.get("train_dataset") is not None
        if by_name and not is_mixed:  # before a subclass such as trl's tokenises: old and new examples alike
            kwargs["train_dataset"] = method.mix(kwargs["train_dataset"])
        super().__init__(*args, **kwargs)
        if not by_name and not is_mixed and self.train_dataset is not None:
            self.train_dataset = method.mix(self.train_dataset)
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            raise ValueError("DeepSpeed and FSDP shard the gradients that a method changes: use DDP or one device.")
        self.add_callback(_AfterStep(self))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the model's loss plus, while training, the method's extra loss under the same normaliser."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self._loss_uses_num_items is None:
            self._loss_uses_num_items = self._does_loss_use_num_items(model, inputs)
            # A model that takes the count and ignores it returns a mean, which the Trainer must divide itself.
            self.model_accepts_loss_kwargs = self._loss_uses_num_items
        if not self._loss_uses_num_items:
            num_items_in_batch = None
        if not return_outputs and type(self.method).extra_loss is Method.extra_loss:
            return super().compute_loss(model, inputs, False, num_items_in_batch)  # trl makes no logits unless asked
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        extra = self._extra_loss(model, inputs, outputs, num_items_in_batch)
        if extra is not None:
            loss = loss + extra
        return (loss, outputs) if return_outputs else loss

    def _extra_loss(
        self, model: nn.Module, inputs: Batch, outputs: Any, num_items: Tensor | int | None
    ) -> Tensor | None:
        own = self._count_items(inputs) if num_items is None else torch.as_tensor(num_items, device=self.args.device)
        extra = self.method.extra_loss(model, inputs, outputs, own)
        if extra is not None and num_items is not None and self.args.average_tokens_across_devices:
            extra = (
                extra * self.accelerator.num_processes
            )  # num_items counts all processes; their gradients are averaged
        return extra

    def _count_items(self, inputs: Batch) -> Tensor:
        labels = inputs["labels"]
        return (labels[..., 1:] if self._loss_shifts_labels else labels).ne(IGNORED).sum()

    def _does_loss_use_num_items(self, model: nn.Module, inputs: Batch) -> bool:
        """Try whether the loss is really divided by ``num_items_in_batch``; accepting the argument proves nothing."""
        if not self.model_accepts_loss_kwargs or self.compute_loss_func is not None:
            return self.compute_loss_func is not None
        model.eval()
        with torch.no_grad():
            one, two = (model(**inputs, num_items_in_batch=torch.tensor(n)).loss.float() for n in (1, 2))
        model.train()
        return bool(torch.isclose(one, 2 * two, rtol=1e-2))

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Run forward and backward; after the last micro-batch let the method change the gradients."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._step_loss = self._step_loss + loss.detach()  # each micro-batch's share of the step's mean
        if self.accelerator.sync_gradients:
            scaler = self.accelerator.scaler
            scale = float(scaler.get_scale()) if scaler is not None else 1.0
            logs_now = (self.state.global_step + 1) % max(int(self.args.logging_steps), 1) == 0
            unwrapped = self.accelerator.unwrap_model(model)
            self._diagnostics = self._measure(unwrapped, scale) if logs_now else {}
            self._step_loss = 0.0
            self.method.after_backward(unwrapped, scale)
        return loss

    def _measure(self, model: nn.Module, scale: float) -> dict[str, float]:
        """Compare the penalty with the whole step's loss and gradient."""
        values = self.method.diagnostics(model)
        if "penalty" not in values:
            return values
        gradients = [p.grad for p in trainable_parameters(model).values() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients)) / scale
        values["penalty_to_loss"] = values["penalty"] / max(float(self._step_loss), 1e-12)
        values["penalty_to_task_gradient"] = values.pop("penalty_gradient_norm") / max(norm, 1e-12)
        return values

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the method's numbers to the logged training step."""
        if "loss" in logs:
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
        """Train; when resuming, give the method its state back first."""
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
        return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)


class _AfterStep(TrainerCallback):
    """Calls the method once the optimizer has moved the weights."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.method.after_step(self.trainer.model)


class ContinualTrainer(ContinualMixin, Trainer):
    """``transformers.Trainer`` with a continual-learning method; see :class:`ContinualMixin`."""
