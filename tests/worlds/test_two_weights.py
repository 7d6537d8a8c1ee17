"""Two weights: the task is the regression that it says it is, and EWC rests where theory and a minimiser say."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from cfhelpers.methods.penalty import QuadraticPenalty
from cfhelpers.worlds.two_weights import TwoWeights, TwoWeightTask, ewc_solution, train_with_ewc

PAIRS = {
    "uncorrelated": (TwoWeightTask((-1.0, 0.5), (2.0, 0.1)), TwoWeightTask((1.0, -0.5), (0.5, 0.5))),
    "correlated": (TwoWeightTask((-1.0, 0.5), (2.0, 0.1), 0.6), TwoWeightTask((1.0, -0.5), (0.5, 0.5), -0.9)),
    "far apart": (TwoWeightTask((-3.0, 3.0), (0.2, 1.5), -0.3), TwoWeightTask((3.0, -3.0), (3.0, 0.4), 0.7)),
}
STRENGTHS = (0.0, 1e-3, 0.1, 1.0, 30.0, 1e3)


@pytest.fixture(params=PAIRS)
def pair(request):
    return PAIRS[request.param]


# The task ------------------------------------------------------------------------------------------------------------


def test_fisher_is_the_mean_squared_slope_of_drawn_answers(pair):
    """From the definition: inputs and answers are drawn, and the gradients of log p(y|x) multiplied and averaged."""
    task, draws = pair[0], 400_000
    generator = np.random.default_rng(0)
    first, second = np.sqrt(task.variances)
    mixed = task.correlation * first * second
    x = generator.multivariate_normal([0, 0], [[first**2, mixed], [mixed, second**2]], size=draws)
    slopes = generator.standard_normal(draws)[:, None] * x  # ∂ log p / ∂θ = (y − θ·x) x, and y − θ·x is the noise
    np.testing.assert_allclose(task.fisher.numpy(), slopes.T @ slopes / draws, atol=0.02 * max(task.variances))


def test_fisher_is_the_curvature_of_the_loss(pair):
    for task in pair:
        curvature = torch.autograd.functional.hessian(task.loss, torch.tensor([0.3, -2.0], dtype=torch.float64))
        torch.testing.assert_close(curvature, task.fisher)


def test_loss_by_hand():
    task = TwoWeightTask((1.0, 2.0), (4.0, 1.0), 0.5)  # F = [[4, 1], [1, 1]]
    weights = torch.tensor([[1.0, 2.0], [2.0, 2.0], [0.0, 4.0]])
    torch.testing.assert_close(task.loss(weights), torch.tensor([0.0, 2.0, 0.5 * (4 - 4 + 4)]))
    assert task.loss(torch.zeros(5, 3, 2)).shape == (5, 3)


@pytest.mark.parametrize(
    ("variances", "correlation"), [((0.0, 1.0), 0.0), ((1.0, -1.0), 0.0), ((1.0, 1.0), 1.0), ((1.0, 1.0), -1.5)]
)
def test_what_is_no_covariance_is_refused(variances, correlation):
    with pytest.raises(ValueError, match=r"variances must be positive and the correlation inside \(-1, 1\)"):
        TwoWeightTask((0.0, 0.0), variances, correlation)


# Where EWC rests -----------------------------------------------------------------------------------------------------


def minimum(old, new, strength, *, diagonal=True):
    """The least of new loss + λ/2 Σ F (θ − θ*)², found by a minimiser that sees nothing but values."""
    (o1, o2), (n1, n2), (v1, v2) = old.optimum, new.optimum, new.variances
    mixed = new.correlation * np.sqrt(v1 * v2)
    w1, w2 = old.variances
    held = 0.0 if diagonal else old.correlation * np.sqrt(w1 * w2)

    def objective(theta):
        a, b, c, d = theta[0] - n1, theta[1] - n2, theta[0] - o1, theta[1] - o2
        task = (v1 * a**2 + 2 * mixed * a * b + v2 * b**2) / 2
        return (task + strength * (w1 * c**2 + 2 * held * c * d + w2 * d**2) / 2) / (1 + strength)

    return minimize(objective, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}).x


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_closed_form_is_the_minimum(pair, strength, diagonal):
    found = ewc_solution(*pair, strength, diagonal=diagonal)
    np.testing.assert_allclose(found.numpy(), minimum(*pair, strength, diagonal=diagonal), atol=1e-5)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_training_ends_at_the_closed_form(pair, strength):
    torch.testing.assert_close(train_with_ewc(*pair, strength), ewc_solution(*pair, strength), atol=1e-4, rtol=0)


@pytest.mark.parametrize("diagonal", [True, False])
def test_no_strength_gives_the_new_optimum_and_endless_strength_the_old_one(pair, diagonal):
    old, new = pair
    for strength, task in ((0.0, new), (1e9, old)):
        rest = ewc_solution(old, new, strength, diagonal=diagonal)
        torch.testing.assert_close(rest, torch.tensor(task.optimum, dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_important_weight_comes_home_first():
    old, new = PAIRS["uncorrelated"]
    rest, anchor, start = ewc_solution(old, new, 1.0), *map(np.array, (old.optimum, new.optimum))
    home = (rest.numpy() - start) / (anchor - start)
    np.testing.assert_allclose(home, [2 / 2.5, 0.1 / 0.6])  # λ F / (H + λ F), weight by weight


def test_the_whole_fisher_differs_only_where_the_old_inputs_are_correlated():
    for name, (old, new) in PAIRS.items():
        apart = (ewc_solution(old, new, 1.0) - ewc_solution(old, new, 1.0, diagonal=False)).abs().max()
        assert (apart > 0.01) == (name != "uncorrelated")


# The training --------------------------------------------------------------------------------------------------------


def test_training_holds_the_weights_with_the_librarys_penalty(monkeypatch):
    """Spoil the penalty, and the trained weights follow it: the agreement above is the library's, not a formula's."""
    old, new = PAIRS["correlated"]
    right = QuadraticPenalty.add_gradient_
    monkeypatch.setattr(QuadraticPenalty, "add_gradient_", lambda self, model: right(self, model, scale=0.5))
    torch.testing.assert_close(train_with_ewc(old, new, 2.0), ewc_solution(old, new, 1.0), atol=1e-4, rtol=0)


def test_training_that_does_not_come_to_rest_says_so_instead_of_returning_where_it_is():
    old, new = TwoWeightTask((-1.0, 0.5), (2.0, 1e-5)), TwoWeightTask((1.0, -0.5), (0.5, 0.01))
    with pytest.raises(RuntimeError, match=r"not come to rest within 200 steps: one direction is 100025 times"):
        train_with_ewc(old, new, 1e3, most_steps=200)


@pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf")])
def test_an_impossible_strength_is_refused(pair, strength):
    with pytest.raises(ValueError, match="strength must be finite and not negative"):
        train_with_ewc(*pair, strength)
    with pytest.raises(ValueError, match="strength must be finite and not negative"):
        ewc_solution(*pair, strength)


def test_the_model_is_its_two_weights_and_nothing_else():
    model = TwoWeights((0.25, -4.0))
    assert {name: each.tolist() for name, each in model.named_parameters()} == {"weight": [0.25, -4.0]}
