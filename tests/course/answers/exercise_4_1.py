"""Answers to exercise 4.1: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "4.1", "perplexity"

RIGHT = [
    '''
def perplexity(model, batches):
    """exp(total nats / total targets)."""
    model.eval()
    nats, count = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            logits = model(**batch).logits[:, :-1]
            targets = batch["labels"][:, 1:]
            losses = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none"
            )
            nats += losses.sum().item()
            count += (targets != -100).sum().item()
    return math.exp(nats / count)
''',
    """
@torch.no_grad()
def perplexity(model, batches):
    model.eval()
    weighted = [(model(**b).loss.double(), (b["labels"][:, 1:] >= 0).sum()) for b in batches]
    return torch.exp(sum(loss * n for loss, n in weighted) / sum(n for _, n in weighted))
""",
]

WRONG = [
    ("    model.eval()\n", ""),
    ("logits[:, :-1]", "logits[:, 1:]"),
    ('reduction="none"', 'reduction="mean"'),
    ("count += (targets != -100).sum().item()", "count += 1"),
    ("count += (targets != -100).sum().item()", "count += targets.numel()"),
    ("count += (targets != -100).sum().item()", "count += len(targets)"),
    ("count += (targets != -100).sum().item()", 'count += (batch["labels"] != -100).sum().item()'),
    ("nats += ", "nats = "),
    ("math.exp(nats / count)", "nats / count"),
    ("math.exp(nats / count)", "math.exp(-nats / count)"),
    ("math.exp(nats / count)", "2 ** (nats / count)"),
    ("math.exp(nats / count)", "math.log(nats / count)"),
    ("math.exp(nats / count)", "math.exp(nats) / count"),
    ("math.exp(nats / count)", "math.exp(min(nats / count, 1.0))"),
    ('targets = batch["labels"][:, 1:]', 'targets = batch["input_ids"][:, 1:]'),
    ("for batch in batches:", "for batch in batches[:1]:"),
]
