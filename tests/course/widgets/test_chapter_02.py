"""The two bowls in a kernel, as a notebook runs them: a control is moved, and solution, losses and figure follow."""

import pytest

from tests.course.widgets.test_widgets import run


@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq")
def test_moving_a_control_moves_the_solution():
    run(
        """
        from cfhelpers.worlds.two_weights import TwoWeightTask

        bowls = widgets.two_bowls(TwoWeightTask((-1.0, 0.5), (2.0, 0.1)), TwoWeightTask((1.0, -0.5), (0.5, 0.5)))

        def said(widget):
            text, figures = shown(widget)
            assert figures == 1
            return text.splitlines()
        """,
        # Weight by weight it rests at (H θ_new + λ F θ_old) / (H + λ F), here with H = 0.5 and F = (2, 0.1).
        """
        assert list(bowls.controls) == ["strength", "old_first", "old_second", "new_first", "new_second"]
        first, losses = said(bowls)
        assert first == "on paper (-0.6000, -0.3333), trained (-0.6000, -0.3333)", first
        assert losses == "loss above the least, in nats: old 0.195, new 0.647", losses
        bowls.controls["strength"].value = 10.0
        """,
        """
        assert said(bowls)[0].startswith("on paper (-0.9512, 0.1667), trained (-0.95"), said(bowls)
        bowls.controls["strength"].value = 1.0
        bowls.controls["old_first"].value = 2.0
        bowls.controls["new_second"].value = -2.0
        """,
        """
        assert said(bowls)[0].startswith("on paper (1.8000, -1.5833), trained (1.80"), said(bowls)
        bowls.controls["new_first"].value = 3.0
        bowls.controls["old_second"].value = 1.0
        """,
        """
        assert said(bowls)[0].startswith("on paper (2.2000, -1.5000), trained (2.20"), said(bowls)
        """,
    )
