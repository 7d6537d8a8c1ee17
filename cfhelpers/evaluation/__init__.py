"""What a model can do and say: scores on tasks, answers, texts of its own, coherence."""

from cfhelpers.evaluation.choices import choose_answers
from cfhelpers.evaluation.generation import own_texts
from cfhelpers.evaluation.scores import answer_questions, evaluate_task, evaluating, linear_probe

__all__ = ["answer_questions", "choose_answers", "evaluate_task", "evaluating", "linear_probe", "own_texts"]
