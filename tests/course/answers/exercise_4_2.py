"""Answers to exercise 4.2: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "4.2", "path_importance"

RIGHT = [
    '''
def path_importance(weights, gradients, damping):
    """max(ω, 0) / (Δ² + damping)."""
    path, steepness = torch.stack(weights), torch.stack(gradients)
    omega = -(steepness * path.diff(dim=0)).sum(dim=0)
    return torch.relu(omega) / ((path[-1] - path[0]) ** 2 + damping)
''',
    """
def path_importance(weights, gradients, damping):
    omega = 0
    for step in range(len(gradients)):
        omega = omega + gradients[step] * (weights[step] - weights[step + 1])
    moved = weights[-1] - weights[0]
    return torch.where(omega > 0, omega, torch.zeros_like(omega)) / (moved * moved + damping)
""",
]

WRONG = [
    ("-(steepness", "(steepness"),
    ("torch.relu(omega)", "omega"),
    ("torch.relu(omega)", "omega.abs()"),
    (".sum(dim=0)", ".mean(dim=0)"),
    ("-(steepness * path.diff(dim=0)).sum(dim=0)", "torch.relu(-(steepness * path.diff(dim=0))).sum(dim=0)"),
    ("-(steepness * path.diff(dim=0)).sum(dim=0)", "-(steepness.sum(dim=0) * (path[-1] - path[0]))"),
    ("-(steepness * path.diff(dim=0)).sum(dim=0)", "(steepness**2).sum(dim=0)"),
    ("-(steepness * path.diff(dim=0)).sum(dim=0)", "-(steepness[1:] * path.diff(dim=0)[:-1]).sum(dim=0)"),
    ("(path[-1] - path[0]) ** 2 + damping", "(path[-1] - path[0]) ** 2"),
    ("(path[-1] - path[0]) ** 2 + damping", "(path[-1] - path[0]).abs() + damping"),
    ("(path[-1] - path[0]) ** 2 + damping", "(path.diff(dim=0) ** 2).sum(dim=0) + damping"),
    ("(path[-1] - path[0]) ** 2 + damping", "path[-1] ** 2 + damping"),
    ("(path[-1] - path[0]) ** 2 + damping", "damping"),
    ("(path[-1] - path[0]) ** 2 + damping", "(path[-1] - path[0]).square().sum() + damping"),
    ("(path[-1] - path[0]) ** 2 + damping)", "(path[-1] - path[0]) ** 2 + damping).sqrt()"),
]
