"""Answers to exercise 6.2: right ones in three styles, and the first of them spoiled in many ways."""

NUMBER, NAME = "6.2", "Prompts"

RIGHT = [
    '''
class Prompts(torch.nn.Module):
    """Prompts of all tasks so far; only the newest learns."""

    def __init__(self):
        super().__init__()
        self.prompts = torch.nn.ParameterList()

    def add_prompt(self, vectors):
        for prompt in self.prompts:
            prompt.requires_grad_(False)
        new = vectors.detach().clone()
        self.prompts.append(torch.nn.Parameter(new))

    def forward(self):
        return torch.cat(list(self.prompts)[::-1])
''',
    """
class Prompts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.newest = None
        self.register_buffer("older", None)

    def add_prompt(self, vectors):
        if self.newest is not None:
            known = [self.newest.detach()] if self.older is None else [self.newest.detach(), self.older]
            self.older = torch.cat(known)
        self.newest = torch.nn.Parameter(torch.tensor(vectors.tolist()))

    def forward(self):
        return self.newest if self.older is None else torch.vstack([self.newest, self.older])
""",
    """
class Prompts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.tables = torch.nn.ModuleList()

    def add_prompt(self, vectors):
        self.tables.requires_grad_(False)
        table = torch.nn.Embedding(*vectors.shape)
        with torch.no_grad():
            table.weight.copy_(vectors)
        self.tables.insert(0, table)

    def forward(self):
        return torch.cat([table(torch.arange(table.num_embeddings)) for table in self.tables], dim=0)
""",
]

WRONG = [
    ("torch.nn.ParameterList()", "[]"),
    ("        super().__init__()\n", ""),
    ("            prompt.requires_grad_(False)\n", "            pass\n"),
    ("prompt.requires_grad_(False)", "prompt.requires_grad_(True)"),
    ("prompt.requires_grad_(False)", "prompt.detach()"),
    ("prompt.requires_grad_(False)", "prompt.grad = None"),
    ("in self.prompts:", "in self.prompts[:-1]:"),
    ("in self.prompts:", "in self.prompts[:1]:"),
    (".detach().clone()", ""),
    (".detach().clone()", ".detach()"),
    ("vectors.detach().clone()", "torch.zeros_like(vectors)"),
    ("vectors.detach().clone()", "torch.randn_like(vectors)"),
    ("vectors.detach().clone()", "vectors.detach().mean(0).expand_as(vectors).clone()"),
    ("torch.nn.Parameter(new)", "torch.nn.Parameter(new, requires_grad=False)"),
    ("torch.nn.Parameter(new)", "torch.nn.Parameter(new[:1])"),
    ("self.prompts.append(torch.nn.Parameter(new))", "self.prompts = torch.nn.ParameterList([new])"),
    ("[::-1]", ""),
    ("[::-1]", "[:-1]"),
    ("[::-1]", "[-1:]"),
    ("[::-1])", "[::-1], dim=1)"),
    ("torch.cat(list(self.prompts)[::-1])", "torch.cat(list(self.prompts)).flip(0)"),
    ("torch.cat(list(self.prompts)[::-1])", "torch.stack(list(self.prompts)[::-1])"),
    ("torch.cat(list(self.prompts)[::-1])", "sum(prompt.mean(0) for prompt in self.prompts)"),
    ("torch.cat(list(self.prompts)[::-1])", "torch.cat(list(self.prompts)[::-1]).detach()"),
    ("torch.cat(list(self.prompts)[::-1])", "list(self.prompts)[::-1]"),
]
