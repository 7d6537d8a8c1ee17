"""Script for ``evaluate.load``: one metric per configuration name. Loaded by ``cfhelpers.evaluate_metrics.load``."""

# evaluate copies this file to its cache and reads its imports line by line: one import a line, none relative.
from __future__ import annotations

from typing import Any

import datasets
import evaluate

from cfhelpers import metrics

_CITATION = "Lopez-Paz & Ranzato (2017), NeurIPS; Chaudhry et al. (2018), ECCV; Wang et al. (2024), TPAMI"
_REFERENCE_SCORES = {"forward_transfer": "single_task", "intransigence": "joint"}


class Continual(evaluate.Metric):
    """A measure of ``cfhelpers.metrics``, chosen by the configuration name."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self._measure().__doc__ or "Share of the predictions that equal their references.",
            citation=_CITATION,
            inputs_description="See cfhelpers.evaluate_metrics.load.",
            features=datasets.Features(self._columns()),
        )

    def _columns(self) -> dict[str, Any]:
        if self.config_name == "accuracy":
            return {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
        if self.config_name == "perplexity":
            return {"nats": datasets.Value("float64"), "tokens": datasets.Value("int64")}
        columns: dict[str, Any] = {"results": datasets.Sequence(datasets.Value("float64"))}
        if self.config_name in _REFERENCE_SCORES:
            columns[_REFERENCE_SCORES[self.config_name]] = datasets.Value("float64")
        return columns

    def _measure(self) -> Any:
        return getattr(metrics, self.config_name, None)

    def _compute(self, **columns: Any) -> dict[str, float]:
        if self.config_name == "accuracy":
            pairs = list(zip(columns["predictions"], columns["references"], strict=True))
            return {"accuracy": sum(int(guess == truth) for guess, truth in pairs) / len(pairs)}
        if self.config_name == "perplexity":
            return {"perplexity": metrics.perplexity(sum(columns["nats"]), sum(columns["tokens"]))}
        reference = [columns.pop(_REFERENCE_SCORES[self.config_name])] if self.config_name in _REFERENCE_SCORES else []
        return {self.config_name: self._measure()(columns.pop("results"), *reference, **columns)}
