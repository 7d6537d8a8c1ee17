"""Answers to exercise 3.1: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "3.1", "dialogue_batch"

RIGHT = [
    '''
def dialogue_batch(pairs, end_id, pad_id):
    """Question and answer in one sequence, the loss on the answer and its end."""
    ids = [torch.tensor(q + a + [end_id]) for q, a in pairs]
    labels = [torch.tensor([-100] * len(q) + a + [end_id]) for q, a in pairs]
    mask = [torch.ones(len(row), dtype=torch.long) for row in ids]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad(mask, batch_first=True, padding_value=0),
        "labels": pad(labels, batch_first=True, padding_value=-100),
    }
''',
    """
def dialogue_batch(pairs, end_id, pad_id):
    lengths = [len(q) + len(a) + 1 for q, a in pairs]
    shape = (len(pairs), max(lengths))
    batch = {
        "input_ids": torch.full(shape, pad_id),
        "attention_mask": (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long(),
        "labels": torch.full(shape, -100),
    }
    for row, (q, a) in enumerate(pairs):
        whole = torch.tensor([*q, *a, end_id])
        batch["input_ids"][row, : len(whole)] = whole
        batch["labels"][row, len(q) : len(whole)] = whole[len(q) :]
    return batch
""",
]

WRONG = [
    ("[-100] * len(q) + a + [end_id]", "q + a + [end_id]"),
    ("[-100] * len(q) + a + [end_id]", "q + [-100] * len(a) + [end_id]"),
    ("[-100] * len(q) + a + [end_id]", "[-100] * len(q) + a + [-100]"),
    ("[-100] * len(q) + a + [end_id]", "[-100] * (len(q) - 1) + a + [end_id] + [-100]"),
    ("[-100] * len(q) + a + [end_id]", "[0] * len(q) + a + [end_id]"),
    ("[-100] * len(q) + a + [end_id]", "a + [end_id]"),
    ("torch.tensor(q + a + [end_id])", "torch.tensor(q + a)"),
    ("torch.tensor(q + a + [end_id])", "torch.tensor(a + q + [end_id])"),
    ("torch.tensor(q + a + [end_id])", "torch.tensor(q + [end_id] + a + [end_id])"),
    ("padding_value=pad_id", "padding_value=0"),
    ("padding_value=0)", "padding_value=1)"),
    ("padding_value=-100", "padding_value=pad_id"),
    ("padding_value=-100", "padding_value=0"),
    ("torch.ones(len(row), dtype=torch.long)", "(row != pad_id).long()"),
    ("torch.ones(len(row), dtype=torch.long)", "torch.zeros(len(row), dtype=torch.long)"),
    ("batch_first=True", "batch_first=False"),
    ('"labels": pad(', '"label": pad('),
]
