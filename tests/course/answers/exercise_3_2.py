"""Answers to exercise 3.2: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "3.2", "fisher"

RIGHT = [
    '''
def fisher(model, batches):
    """The empirical Fisher diagonal, one example at a time."""
    model.eval()
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    total = {name: torch.zeros_like(p) for name, p in named}
    seen = 0
    for batch in batches:
        for i in range(batch["input_ids"].shape[0]):
            one = {key: value[i : i + 1] for key, value in batch.items()}
            targets = int((one["labels"][:, 1:] != -100).sum())
            loss = model(**one).loss * targets
            gradients = torch.autograd.grad(loss, [p for _, p in named])
            for (name, _), gradient in zip(named, gradients, strict=True):
                total[name] += gradient.pow(2)
            seen += 1
    return {name: value / seen for name, value in total.items()}
''',
    """
def fisher(model, batches):
    was = model.training
    model.eval()
    rows = [{k: v[[i]] for k, v in b.items()} for b in batches for i in range(len(b["labels"]))]
    squares = {n: torch.zeros(p.shape, dtype=torch.float64) for n, p in model.named_parameters() if p.requires_grad}
    for row in rows:
        model.zero_grad(set_to_none=True)
        logits = model(**row).logits[:, :-1].double()
        nats = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), row["labels"][:, 1:].flatten(), ignore_index=-100, reduction="sum"
        )
        nats.backward()
        for n, p in model.named_parameters():
            if n in squares:
                squares[n] += p.grad.double() ** 2
    model.zero_grad(set_to_none=True)
    model.train(was)
    return {n: (value / len(rows)).float() for n, value in squares.items()}
""",
]

WRONG = [
    ("    model.eval()\n", "    model.train()\n"),
    ("* targets", ""),
    ("* targets", "/ targets"),
    ("* targets", "* one['labels'].numel()"),
    ("value[i : i + 1]", "value"),
    ("gradient.pow(2)", "gradient"),
    ("gradient.pow(2)", "gradient.abs()"),
    ("gradient.pow(2)", "gradient.pow(4)"),
    ("gradient.pow(2)", "gradient.pow(2).mean()"),
    ("+= gradient.pow(2)", "= gradient.pow(2)"),
    ("value / seen", "value"),
    ("value / seen", "value / len(batches)"),
    ("value / seen", "value / (seen - 1)"),
    ("value / seen", "(value / seen).sqrt()"),
    ("model(**one)", "model(**{**one, 'labels': one['input_ids']})"),
    ("model(**one)", "model(**{**one, 'labels': model(**one).logits.argmax(-1)})"),
    (" if p.requires_grad]", "]"),
    ("for batch in batches:", "for batch in batches[:1]:"),
]
