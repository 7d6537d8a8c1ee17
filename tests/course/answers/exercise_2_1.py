"""Answers to exercise 2.1: right ones in three styles or two, and the first of them spoiled in many ways."""

NUMBER, NAME = "2.1", "rest"

RIGHT = [
    '''
def rest(old, importance, new, curvature, strength):
    """Where the new task's pull and the spring's cancel."""
    spring = strength * torch.diag(importance)
    right = curvature @ new + spring @ old
    return torch.linalg.solve(curvature + spring, right)
''',
    """
def rest(old, importance, new, curvature, strength):
    matrix = curvature.clone()
    for i in range(len(old)):
        matrix[i, i] += strength * importance[i]
    return torch.linalg.inv(matrix) @ (torch.mv(curvature, new) + strength * importance * old)
""",
    """
def rest(old, importance, new, curvature, strength):
    (a, b), (c, d) = (curvature + strength * torch.diag(importance)).tolist()
    p, q = (curvature @ new + strength * importance * old).tolist()
    return torch.tensor([d * p - b * q, a * q - c * p]) / (a * d - b * c)
""",
]

WRONG = [
    ("strength * torch.diag(importance)", "torch.diag(importance)"),
    ("strength * torch.diag(importance)", "strength * importance"),
    ("strength * torch.diag(importance)", "strength * torch.eye(2)"),
    ("strength * torch.diag(importance)", "2 * strength * torch.diag(importance)"),
    ("strength * torch.diag(importance)", "strength / 2 * torch.diag(importance)"),
    ("strength * torch.diag(importance)", "strength * torch.diag(importance.sqrt())"),
    ("strength * torch.diag(importance)", "torch.diag(importance) / strength"),
    ("curvature @ new + spring @ old", "curvature @ old + spring @ new"),
    ("curvature @ new + spring @ old", "curvature @ new - spring @ old"),
    ("curvature @ new + spring @ old", "new + spring @ old"),
    ("curvature @ new + spring @ old", "curvature @ new"),
    ("curvature + spring, right", "curvature - spring, right"),
    ("curvature + spring, right", "spring, right"),
    ("curvature + spring, right", "torch.diag(curvature.diagonal()) + spring, right"),
    ("    return torch.linalg.solve", "    return (old + new) / 2 + 0 * torch.linalg.solve"),
]
