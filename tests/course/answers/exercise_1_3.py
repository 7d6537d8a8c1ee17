"""Answers to exercise 1.3: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "1.3", "linear_probe"

RIGHT = [
    '''
def linear_probe(classifier, train_batches, test_batches):
    """Test accuracy of a linear classifier on the frozen encoder's features."""
    from sklearn.linear_model import LogisticRegression

    classifier.eval()

    def encode(batches):
        with torch.no_grad():
            rows = [classifier.features(b["input_ids"], b["attention_mask"]) for b in batches]
        return torch.cat(rows).numpy(), torch.cat([b["labels"] for b in batches]).numpy()

    probe = LogisticRegression(max_iter=1000).fit(*encode(train_batches))
    return probe.score(*encode(test_batches))
''',
    """
def linear_probe(classifier, train_batches, test_batches):
    from sklearn.svm import LinearSVC

    classifier.eval()
    with torch.inference_mode():
        train, test = (
            [(classifier.features(b["input_ids"], b["attention_mask"]), b["labels"]) for b in batches]
            for batches in (train_batches, test_batches)
        )
    x, y = (torch.cat(column).numpy() for column in zip(*train, strict=True))
    fitted = LinearSVC(max_iter=100_000).fit(x, y)
    right = sum(int((fitted.predict(each.numpy()) == labels.numpy()).sum()) for each, labels in test)
    return right / sum(len(labels) for _, labels in test)
""",
]

WRONG = [
    ("fit(*encode(train_batches))", "fit(*encode(test_batches))"),
    ("score(*encode(test_batches))", "score(*encode(train_batches))"),
    ("fit(*encode(train_batches))", "fit(*encode([*train_batches, *test_batches]))"),
    ("fit(*encode(train_batches))", "fit(*encode(train_batches[:1]))"),
    ("score(*encode(test_batches))", "score(*encode(test_batches[:1]))"),
    ('b["attention_mask"])', 'torch.ones_like(b["attention_mask"]))'),
    ("    classifier.eval()\n", ""),
    ("probe.score(*encode(test_batches))", "1 - probe.score(*encode(test_batches))"),
    ("probe.score(*encode(test_batches))", "100 * probe.score(*encode(test_batches))"),
    ("probe.score(*encode(test_batches))", "probe"),
    ("probe.score(*encode(test_batches))", "probe.predict(encode(test_batches)[0]).mean()"),
    ("torch.cat(rows).numpy()", "torch.cat(rows).numpy()[:, :1]"),
    ("with torch.no_grad():", "with torch.no_grad():\n            [p.zero_() for p in classifier.parameters()]"),
]
