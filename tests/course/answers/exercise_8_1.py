"""Answers to exercise 8.1: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "8.1", "Distillation"

RIGHT = [
    '''
import copy


class Distillation:
    """T² KL(old ‖ new), the mean over the targets."""

    def __init__(self, model, temperature):
        self.T = temperature
        self.teacher = copy.deepcopy(model)
        self.teacher.eval()

    def loss(self, model, batch):
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        with torch.no_grad():
            old = self.teacher(**inputs).logits[:, :-1]
        new = model(**inputs).logits[:, :-1]
        chosen = batch["labels"][:, 1:] != -100
        log_p = torch.log_softmax(old[chosen] / self.T, dim=-1)
        log_q = torch.log_softmax(new[chosen] / self.T, dim=-1)
        each = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
        return self.T**2 * each.mean()
''',
    """
from copy import deepcopy


class Distillation(torch.nn.Module):
    def __init__(self, model, temperature):
        super().__init__()
        self.temperature = temperature
        self.old = deepcopy(model).eval().requires_grad_(False)

    def loss(self, model, batch):
        rows, places = torch.where(batch["labels"][:, 1:] != -100)
        soft = [m(**batch).logits[rows, places] / self.temperature for m in (model, self.old)]
        student, teacher = (s.log_softmax(-1) for s in soft)
        kl = torch.nn.functional.kl_div(student, teacher, log_target=True, reduction="batchmean")
        return kl * self.temperature * self.temperature
""",
    """
import copy


class Distillation:
    def __init__(self, model, temperature):
        self.temperature, self.teacher = temperature, copy.deepcopy(model)

    @torch.no_grad()
    def _ask(self, batch):
        return self.teacher.eval()(batch["input_ids"], attention_mask=batch["attention_mask"]).logits

    def loss(self, model, batch):
        then = torch.distributions.Categorical(logits=self._ask(batch) / self.temperature)
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        now = torch.distributions.Categorical(logits=logits / self.temperature)
        divergences = torch.distributions.kl_divergence(then, now)[:, :-1]
        target = (batch["labels"][:, 1:] >= 0).float()
        return self.temperature**2 * (divergences * target).sum() / target.sum()
""",
]

EACH = "(log_p.exp() * (log_p - log_q)).sum(dim=-1)"

WRONG = [
    ("copy.deepcopy(model)", "model"),
    ("copy.deepcopy(model)", "copy.copy(model)"),
    ("        self.teacher.eval()\n", ""),
    ("        self.teacher.eval()\n", "        self.teacher.eval()\n        model.eval()\n"),
    ("        self.teacher.eval()\n", "        self.teacher.train()\n"),
    ("        new = model(", "        model.eval()\n        new = model("),
    ("        new = model(", "            new = model("),
    ("        new = model(", "        new = self.teacher("),
    ("        new = model(", "        self.teacher = copy.deepcopy(model).eval()\n        new = model("),
    (".logits[:, :-1]", ".logits[:, 1:]"),
    ("new = model(**inputs).logits[:, :-1]", "new = model(**inputs).logits[:, 1:]"),
    ('batch["labels"][:, 1:] != -100', 'batch["labels"][:, :-1] != -100'),
    ('batch["labels"][:, 1:] != -100', 'batch["attention_mask"][:, 1:] == 1'),
    ('batch["labels"][:, 1:] != -100', 'batch["labels"][:, 1:] != 0'),
    ("[chosen]", ""),
    (" / self.T,", ","),
    ("old[chosen] / self.T", "old[chosen]"),
    ("/ self.T,", "* self.T,"),
    ("self.T**2 * ", ""),
    ("self.T**2 * ", "self.T * "),
    ("self.T**2 * ", "2 * "),
    ("log_p.exp() * (log_p - log_q)", "log_q.exp() * (log_q - log_p)"),
    ("log_p.exp() * (log_p - log_q)", "log_p.exp() * (log_q - log_p)"),
    ("log_p.exp() * (log_p - log_q)", "-log_p.exp() * log_q"),
    ("log_p.exp() * (log_p - log_q)", "log_p * (log_p - log_q)"),
    ("log_p.exp() * (log_p - log_q)", "(log_p.exp() - log_q.exp()) ** 2"),
    (EACH, "torch.nn.functional.kl_div(log_q, log_p, reduction='none').sum(-1)"),
    (EACH, "torch.nn.functional.kl_div(log_p, log_q, reduction='none', log_target=True).sum(-1)"),
    (EACH, "torch.nn.functional.kl_div(log_q.exp(), log_p.exp(), reduction='none').sum(-1)"),
    (EACH, "torch.nn.functional.kl_div(log_q, log_p.exp())"),
    (EACH, "torch.nn.functional.kl_div(log_q, log_p.exp(), reduction='sum')"),
    (".sum(dim=-1)", ".mean(dim=-1)"),
    ("each.mean()", "each.sum()"),
    ("each.mean()", 'each.sum() / len(batch["labels"])'),
    ("each.mean()", 'each.sum() / batch["labels"].numel()'),
    ("each.mean()", "each.mean().item()"),
    ("dim=-1", "dim=0"),
]
