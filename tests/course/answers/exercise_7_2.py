"""Answers to exercise 7.2: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "7.2", "dark_loss"

RIGHT = [
    '''
def dark_loss(logits, stored, labels, logit_weight, label_weight):
    """α · mean squared difference + β · cross-entropy, both over the targets."""
    now, then = logits[:, :-1], stored[:, :-1].detach()
    targets = labels[:, 1:]
    kept = targets != -100
    square = (now - then)[kept].square().mean()
    nats = torch.nn.functional.cross_entropy(now.transpose(1, 2), targets)
    return logit_weight * square + label_weight * nats
''',
    """
import torch.nn.functional as F


def dark_loss(logits, stored, labels, logit_weight, label_weight):
    with torch.no_grad():
        then = stored.clone()
    where = torch.nonzero(labels[:, 1:] >= 0, as_tuple=True)
    now, then = logits[where], then[where]
    right = labels[where[0], where[1] + 1]
    nats = F.nll_loss(F.log_softmax(now, dim=-1), right)
    return sum(w * part for w, part in ((logit_weight, F.mse_loss(now, then)), (label_weight, nats)))
""",
    """
def dark_loss(logits, stored, labels, logit_weight, label_weight):
    gaps, nats, count = 0.0, 0.0, 0
    for b in range(labels.shape[0]):
        for t in range(labels.shape[1] - 1):
            word = int(labels[b, t + 1])
            if word == -100:
                continue
            gaps = gaps + torch.mean((logits[b, t] - stored[b, t].data) ** 2)
            nats = nats + torch.logsumexp(logits[b, t], 0) - logits[b, t, word]
            count += 1
    return (logit_weight * gaps + label_weight * nats) / count
""",
]

WRONG = [
    (".detach()", ""),
    (", stored[:, :-1].detach()", ", stored[:, 1:].detach()"),
    ("logits[:, :-1], stored[:, :-1]", "logits[:, 1:], stored[:, 1:]"),
    ("logits[:, :-1], stored", "logits[:, :-1].detach(), stored"),
    ("kept = targets != -100", "kept = labels[:, :-1] != -100"),
    ("kept = targets != -100", "kept = targets != 0"),
    ("kept = targets != -100", "kept = targets == -100"),
    ("(now - then)[kept]", "(now - then)"),
    ("(now - then)[kept]", "(now + then)[kept]"),
    ("(now - then)[kept]", "(now.softmax(-1) - then.softmax(-1))[kept]"),
    ("(now - then)[kept]", "(now.argmax(-1) - then.argmax(-1))[kept].float()"),
    (".square().mean()", ".square().sum()"),
    (".square().mean()", ".square().sum(-1).mean()"),
    (".square().mean()", ".square().mean().sqrt()"),
    (".square().mean()", ".abs().mean()"),
    (".square().mean()", ".mean().square()"),
    (".square().mean()", ".square().mean() / 2"),
    ("(now.transpose(1, 2), targets)", "(then.transpose(1, 2), targets)"),
    ("(now.transpose(1, 2), targets)", '(now.transpose(1, 2), targets, reduction="sum")'),
    ("(now.transpose(1, 2), targets)", "(now.softmax(-1).transpose(1, 2), targets)"),
    ("(now.transpose(1, 2), targets)", "(now.transpose(1, 2), then.argmax(-1))"),
    ("(now.transpose(1, 2), targets)", "(now.transpose(1, 2), labels[:, :-1])"),
    ("logit_weight * square + label_weight * nats", "label_weight * square + logit_weight * nats"),
    ("logit_weight * square + label_weight * nats", "logit_weight * square + (1 - logit_weight) * nats"),
    ("logit_weight * square + label_weight * nats", "logit_weight * square + nats"),
    ("logit_weight * square + label_weight * nats", "logit_weight * square"),
    ("logit_weight * square + label_weight * nats", "(logit_weight * square + label_weight * nats) / 2"),
]
