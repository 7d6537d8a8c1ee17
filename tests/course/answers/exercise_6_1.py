"""Answers to exercise 6.1: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "6.1", "behind_prompt"

RIGHT = [
    '''
def behind_prompt(embedded, mask, labels, prompt):
    """[padding] [prompt] [text], row by row."""
    P = len(prompt)
    rows, masks, targets = [], [], []
    for b in range(len(mask)):
        start = int(mask[b].argmax())
        rows.append(torch.cat([embedded[b, :start], prompt, embedded[b, start:]]))
        masks.append(torch.cat([mask[b, :start], mask.new_ones(P), mask[b, start:]]))
        targets.append(torch.cat([labels[b, :start], labels.new_full((P,), -100), labels[b, start:]]))
    whole = torch.stack(masks)
    return {
        "inputs_embeds": torch.stack(rows),
        "attention_mask": whole,
        "position_ids": (whole.cumsum(1) - 1).clamp(min=0),
        "labels": torch.stack(targets),
    }
''',
    """
def behind_prompt(embedded, mask, labels, prompt):
    (B, T, D), P = embedded.shape, prompt.shape[0]
    places = torch.arange(T + P)[None]
    start = (mask == 1).float().argmax(1, keepdim=True).long()
    in_prompt = (places >= start) & (places < start + P)
    source = torch.where(places < start, places, places - P).clamp(0, T - 1)
    text = embedded.gather(1, source[..., None].expand(-1, -1, D))
    soft = prompt[(places - start).clamp(0, P - 1)]
    attention = mask.gather(1, source).masked_fill(in_prompt, 1)
    positions = torch.zeros_like(attention)
    for row, real in enumerate(attention.bool()):
        positions[row, real] = torch.arange(int(real.sum()), dtype=positions.dtype)
    return dict(
        inputs_embeds=torch.where(in_prompt[..., None], soft, text),
        attention_mask=attention,
        position_ids=positions,
        labels=labels.gather(1, source).masked_fill(in_prompt, -100),
    )
""",
    """
def behind_prompt(embedded, mask, labels, prompt):
    B, T, D = embedded.shape
    P = prompt.size(0)
    inputs = embedded.new_zeros(B, P + T, D)
    attention = mask.new_zeros(B, P + T)
    targets = labels.new_full((B, P + T), -100)
    positions = torch.ones(B, P + T, dtype=torch.long)
    for b in range(B):
        real = mask[b].nonzero().flatten().tolist()
        first, n = real[0], len(real)
        inputs[b, first : first + P] = prompt
        inputs[b, first + P : first + P + n] = embedded[b, real]
        attention[b, first : first + P + n] = 1
        positions[b, first : first + P + n] = torch.arange(P + n)
    targets[:, P:] = labels
    return {"labels": targets, "position_ids": positions, "attention_mask": attention, "inputs_embeds": inputs}
""",
]

WRONG = [
    ("int(mask[b].argmax())", "0"),
    ("int(mask[b].argmax())", "int(mask[b].argmin())"),
    ("int(mask[b].argmax())", "int(mask[b].sum())"),
    ("int(mask[b].argmax())", "len(mask[b]) - int(mask[b].sum())"),
    ("int(mask[b].argmax())", "int(mask.argmax(dim=1).max())"),
    ("int(mask[b].argmax())", "len(mask[b])"),
    ("mask.new_ones(P)", "mask.new_zeros(P)"),
    ("mask[b, :start], mask.new_ones(P), mask[b, start:]", "mask.new_ones(P), mask[b]"),
    ("-100", "0"),
    ("-100", "-1"),
    ("-100", "100"),
    ("labels[b, :start], labels.new_full((P,), -100), labels[b, start:]", "labels[b], labels.new_full((P,), -100)"),
    ("torch.stack(targets)", "torch.stack(targets)[:, 1:]"),
    ("torch.stack(targets)", "labels"),
    ("embedded[b, :start], prompt,", "embedded[b, :start], prompt.detach(),"),
    ("embedded[b, :start], prompt,", "embedded[b, :start], prompt.flip(0),"),
    ("embedded[b, :start], prompt,", "embedded[b, :start], torch.zeros_like(prompt),"),
    ("(whole.cumsum(1) - 1)", "whole.cumsum(1)"),
    ("(whole.cumsum(1) - 1)", "(whole.cumsum(0) - 1)"),
    ("(whole.cumsum(1) - 1)", "(whole.cumsum(1) - 1 - P)"),
    ("(whole.cumsum(1) - 1)", "(whole.cumsum(1) - 1 + P)"),
    ("(whole.cumsum(1) - 1)", "torch.arange(whole.shape[1]).expand_as(whole)"),
    ('        "position_ids": (whole.cumsum(1) - 1).clamp(min=0),\n', ""),
]
