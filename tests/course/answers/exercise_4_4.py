"""Answers to exercise 4.4: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "4.4", "gradient_of_step"

RIGHT = [
    '''
def gradient_of_step(model, micro_batches, penalty):
    """One step's gradient: the mean loss, and the penalty once."""
    model.zero_grad()
    count = len(micro_batches)
    for batch in micro_batches:
        loss = model(**batch).loss / count
        loss.backward()
    penalty.value(model).backward()
''',
    """
def gradient_of_step(model, micro_batches, penalty):
    for parameter in model.parameters():
        parameter.grad = None
    losses = torch.stack([model(**batch).loss for batch in micro_batches])
    (losses.mean() + penalty.value(model)).backward()
""",
    """
def gradient_of_step(model, micro_batches, penalty):
    model.zero_grad(set_to_none=False)
    penalty.add_gradient_(model)
    for batch in micro_batches:
        model(**batch).loss.mul(1 / len(micro_batches)).backward()
""",
]

WRONG = [
    ("    model.zero_grad()\n", ""),
    ("        loss.backward()", "        model.zero_grad()\n        loss.backward()"),
    (" / count", ""),
    (" / count", " / count**2"),
    (" / count", " / batch['input_ids'].numel()"),
    ("    penalty.value(model).backward()\n", ""),
    ("    penalty.value(model).backward()\n", "        penalty.value(model).backward()\n"),
    (
        "    penalty.value(model).backward()\n",
        "        (penalty.value(model) / count).backward()\n    (penalty.value(model)).backward()\n",
    ),
    ("penalty.value(model).backward()", "(penalty.value(model) / count).backward()"),
    ("penalty.value(model).backward()", "(penalty.value(model) / 2).backward()"),
    ("penalty.value(model).backward()", "(penalty.strength * penalty.value(model)).backward()"),
    ("penalty.value(model).backward()", "(-penalty.value(model)).backward()"),
    ("penalty.value(model).backward()", "penalty.value(model).backward()\n    model.zero_grad()"),
    (
        "penalty.value(model).backward()",
        "penalty.value(model).backward()\n    [p.data.sub_(p.grad) for p in model.parameters() if p.grad is not None]",
    ),
    ("in micro_batches:", "in micro_batches[:1]:"),
    ("in micro_batches:", "in micro_batches[1:]:"),
]
