"""Generative replay: the model writes its own old data (LAMOL; Sun et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from cfhelpers.evaluation.generation import own_texts
from cfhelpers.methods.mixing import MixingMethod, Row
from cfhelpers.methods.rehearsal import rows_of
from cfhelpers.tasks.encoding import EncodedTask

if TYPE_CHECKING:
    from datasets import Dataset


class GenerativeReplay(MixingMethod):
    """Mix texts into the new task's data that the model itself wrote just before; nothing old is kept in between.

    Sun et al. (2020, "LAMOL: language modeling for lifelong language learning"). So that a model can write the
    questions of an old task and not only answer them, tasks are learned as whole texts, question and answer. The paper
    weights the questions' loss by 0.25 and begins each task's texts with a token of its own; here a text begins as the
    task's own texts do, with the tokens that they have in common.

    Args:
        n_texts: Texts to write.
        share: Share of the training examples that the written texts make up; the paper's γ of 0.2 is 0.2 new ones.
        length: Longest text in tokens.
        seed: Of the draws.

    Raises:
        ValueError: Less than one text, or a share outside (0, 1).
    """

    name = "generative_replay"
    own_first_task = True

    def __init__(self, n_texts: int = 128, *, share: float = 0.2, length: int = 64, seed: int = 0) -> None:
        super().__init__(share, seed=seed)
        if n_texts < 1:
            raise ValueError(f"n_texts must be at least 1, got {n_texts}.")
        self.n_texts, self.length = n_texts, length

    @classmethod
    def from_model(cls, model: nn.Module, *, prompt: Sequence[int] = (), **settings: Any) -> Self:
        """Let a trained model write its old data before it learns something else.

        Args:
            model: A causal language model that was trained on whole texts: of what it never learned to write, nothing
                comes back.
            prompt: Token ids that a text begins with; none takes the end-of-sequence token, after which texts begin.
            **settings: As for the class.

        Returns:
            The method to give to ``ContinualTrainer(method=…)``, whose data set has input_ids and labels.
        """
        method = cls(**settings)
        method.write(model, prompt)
        return method

    def write(self, model: nn.Module, prompt: Sequence[int]) -> None:
        """Replace what was written before by new texts."""
        batches = own_texts(model, self.n_texts, length=self.length, seed=self.seed, start=list(prompt) or None)
        self.kept = {"own texts": list(rows_of(batches))}

    def training_data(self, task: EncodedTask, seen: Sequence[EncodedTask]) -> Dataset:
        """Return the new examples as whole texts, with the model's own among them.

        Raises:
            ValueError: The task is a classification: there is nothing to write.
        """
        if task.task.kind == "classification":
            raise ValueError("generative replay needs a language model: a classifier writes no texts.")
        from datasets import Dataset

        ids = list(task.train["input_ids"])
        whole = Dataset.from_dict({"input_ids": ids, "labels": ids})
        return self._mix(whole, task.name) if self.kept else whole

    def _mix(self, dataset: Any, name: str) -> Any:
        self.kept = {task: [_as(dataset, row) for row in rows] for task, rows in self.kept.items()}
        return super()._mix(dataset, name)

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Write texts that begin as those of the task just learned do."""
        self.write(model, common_start(task.train["input_ids"]))

    def settings(self) -> dict[str, Any]:
        """Return how many texts of which length are written, and their share."""
        return {"n_texts": self.n_texts, "share": self.share, "length": self.length}


def common_start(sequences: Sequence[Sequence[int]]) -> list[int]:
    """Return the tokens that all sequences begin with; at least one token is left to be written."""
    first = sequences[0]
    shortest = min(len(each) for each in sequences) - 1
    same = (place for place in range(shortest) if any(each[place] != first[place] for each in sequences))
    return list(first[: next(same, shortest)])


def _as(dataset: Any, row: Row) -> Row:
    """Give a written text the attention mask that some data sets carry along."""
    names = getattr(dataset, "column_names", None) or list(dataset[0])
    mask = {"attention_mask": [1] * len(row["input_ids"])} if "attention_mask" in names else {}
    return {"input_ids": row["input_ids"], "labels": row["labels"], **mask}
