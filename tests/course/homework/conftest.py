"""A small chapter with three quick exercises, and the assignment made of it once."""

import textwrap
from pathlib import Path

import pytest

from cfhelpers.course.homework import package

SMALL = '''
    # %% [markdown]
    # # 0 · A small chapter
    # {{colab badge}}

    # %%
    import numpy as np

    import cfhelpers as cf
    from cfhelpers import checks

    run = cf.start(seed=0)

    # %% [markdown]
    # ### Exercise 0.1 · the share lost ★☆☆ 3 minutes

    # %%
    def above(score: float, chance: float) -> float:
        return score - chance

    # %% exercise="0.1"
    def share_lost(before: float, after: float, chance: float) -> float:
        """Return the share that is lost."""
        ### BEGIN SOLUTION
        return (before - after) / above(before, chance)
        ### END SOLUTION

    # %%
    share_lost = checks.starting.share_lost(share_lost)

    # %% graded="0.1" points=1
    checks.require_solved("0.1")

    # %% [markdown]
    # <details><summary>Solution</summary>
    #
    # {{solution 0.1}}
    # </details>

    # %% [markdown]
    # ### Exercise 0.2 · average accuracy ★☆☆ 4 minutes

    # %% exercise="0.2"
    def average_accuracy(results):
        """Return the mean of the last row."""
        ### BEGIN SOLUTION
        return float(np.mean(results[-1]))
        ### END SOLUTION

    # %%
    average_accuracy = checks.starting.average_accuracy(average_accuracy)

    # %% graded="0.2" points=2
    checks.require_solved("0.2")

    # %%
    # a live experiment that no exercise needs
    numbers = [share_lost(0.9, 0.6, 0.5) for _ in range(3)]
    average_accuracy(np.eye(2))

    # %% [markdown]
    # ### Exercise 0.3 · can this experiment show forgetting? ★★☆ 8 minutes

    # %% exercise="0.3"
    def shows_forgetting(experiment):
        """Return whether the experiment can show forgetting."""
        ### BEGIN SOLUTION
        learned, tested = experiment["learned"], experiment["tested"]
        later = set(learned[learned.index(tested) :]) - {tested} if tested in learned else set()
        after = set(experiment["tested after"])
        return experiment["split"] == "test" and tested in after and bool(later & after)
        ### END SOLUTION

    # %%
    shows_forgetting = checks.starting.shows_forgetting(shows_forgetting)

    # %% graded="0.3" points=2
    checks.require_solved("0.3")
'''

NAME = "00_small"


def write_chapter(root: Path, text: str = SMALL) -> Path:
    path = root / "notebooks" / "source" / f"{NAME}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text).lstrip())
    return path


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    write_chapter(root)
    return root


@pytest.fixture(scope="session")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assignment of the small chapter, for nbgrader and otter, with nothing submitted."""
    folder = tmp_path_factory.mktemp("assignment")
    package.build(root, folder, package.Settings("small", ["00"], None, None, "otter"))
    return folder
