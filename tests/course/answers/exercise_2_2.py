"""Answers to exercise 2.2: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "2.2", "exact_fisher"

RIGHT = [
    '''
def exact_fisher(model, inputs):
    """The exact Fisher diagonal, every class weighted with its probability."""
    model.eval()
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x in inputs:
        classes = model(x[None]).shape[-1]
        for label in range(classes):
            model.zero_grad()
            log_p = model(x[None]).log_softmax(-1)[0, label]
            log_p.backward()
            for name, p in model.named_parameters():
                total[name] += log_p.exp().item() * p.grad**2
    model.zero_grad()
    return {name: t / len(inputs) for name, t in total.items()}
''',
    """
def exact_fisher(model, inputs):
    from torch.func import functional_call, jacrev

    model.eval()
    weights = {name: p.detach() for name, p in model.named_parameters()}
    sums = {name: 0.0 for name in weights}
    for x in inputs:
        def log_p(w):
            return functional_call(model, w, (x[None],)).log_softmax(-1)[0]

        p = log_p(weights).exp()
        for name, jacobian in jacrev(log_p)(weights).items():
            sums[name] = sums[name] + torch.einsum("c,c...->...", p, jacobian.square())
    return {name: value / inputs.shape[0] for name, value in sums.items()}
""",
]

WRONG = [
    ("    model.eval()\n", ""),
    ("log_p.exp().item() * p.grad**2", "p.grad**2"),
    ("log_p.exp().item() * p.grad**2", "log_p.exp().item() * p.grad"),
    ("log_p.exp().item() * p.grad**2", "(log_p.exp().item() * p.grad) ** 2"),
    ("log_p.exp().item() * p.grad**2", "log_p.exp().item() * p.grad.abs()"),
    ("log_p.exp().item() * p.grad**2", "p.grad**2 / classes"),
    ("log_p.exp().item() * p.grad**2", "log_p.item() * p.grad**2"),
    ("            model.zero_grad()\n", ""),
    ("    model.zero_grad()\n    return", "    return"),
    ("t / len(inputs)", "t"),
    ("t / len(inputs)", "t / (len(inputs) * classes)"),
    ("t / len(inputs)", "t / (len(inputs) - 1)"),
    ("range(classes)", "[int(model(x[None]).argmax())]"),
    ("range(classes)", "range(classes - 1)"),
    ("for x in inputs:", "for x in inputs[:1]:"),
    (".log_softmax(-1)", ".softmax(-1)"),
    (".log_softmax(-1)", ""),
]
