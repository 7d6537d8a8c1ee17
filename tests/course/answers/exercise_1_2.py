"""Answers to exercise 1.2: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "1.2", "old_task_accuracy"

RIGHT = [
    '''
def old_task_accuracy(classifier, batches):
    """The share of right answers of the task's own head."""
    classifier.eval()
    hits = []
    with torch.inference_mode():
        for batch in batches:
            out = classifier(batch["input_ids"], batch["attention_mask"], task_ids=batch["task_ids"])
            hits.append(out.logits.argmax(-1) == batch["labels"])
    return torch.cat(hits).float().mean().item()
''',
    """
@torch.no_grad()
def old_task_accuracy(classifier, batches):
    classifier.train(False)
    counts = [0, 0]
    for batch in batches:
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        scores = classifier(**inputs).logits
        for row, label in zip(scores, batch["labels"], strict=True):
            counts[0] += int(row.max(0).indices == label)
            counts[1] += 1
    return counts[0] / counts[1]
""",
    """
def old_task_accuracy(classifier, batches):
    classifier.eval()
    names = ("input_ids", "attention_mask", "task_ids")
    pairs = [(classifier(**{n: b[n] for n in names}).logits.detach(), b["labels"]) for b in batches]
    logits, labels = (torch.cat(each) for each in zip(*pairs, strict=True))
    return np.mean(logits.numpy().argmax(1) == labels.numpy())
""",
]

WRONG = [
    ("    classifier.eval()\n", ""),
    ("classifier.eval()", "classifier.train()"),
    ('batch["attention_mask"]', 'torch.ones_like(batch["attention_mask"])'),
    ('task_ids=batch["task_ids"]', 'task_ids=torch.zeros_like(batch["task_ids"])'),
    ('task_ids=batch["task_ids"]', 'task_ids=batch["task_ids"] + 1'),
    (".argmax(-1)", ".argmin(-1)"),
    (".argmax(-1) ==", ".argmax(-1) !="),
    (".float().mean().item()", ".float().sum().item()"),
    ("torch.cat(hits).float().mean().item()", "np.mean([each.float().mean().item() for each in hits])"),
    ("torch.cat(hits).float().mean().item()", "hits[-1].float().mean().item()"),
    ("torch.cat(hits).float().mean().item()", "hits[0].float().mean().item()"),
    ("torch.cat(hits).float().mean().item()", "torch.cat(hits).float()"),
    ("torch.cat(hits).float().mean().item()", "round(torch.cat(hits).float().mean().item(), 1)"),
    (".float().mean().item()", ".float().mean().item() * 100"),
]
