"""What a notebook starts with: one object that knows profile, device and seed, and fetches models and tasks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfhelpers import environment

if TYPE_CHECKING:
    from cfhelpers.models.loading import LoadedModel
    from cfhelpers.tasks import Task

_WHAT_IT_IS = {
    "tiny": "small models that come with the course and generated data; nothing is downloaded",
    "laptop": "SmolLM2-135M-Instruct and all-MiniLM-L6-v2 from Python packages, generated data; no hub needed",
    "full": "models and data sets from the Hugging Face hub",
}


@dataclass(frozen=True)
class Runtime:
    """The machine as a notebook sees it; made by ``start``.

    Attributes:
        profile: ``"tiny"``, ``"laptop"`` or ``"full"``.
        reason: Why this profile.
        device: ``"cpu"`` or ``"cuda"``.
        threads: How many threads torch uses on the CPU.
        seed: What models and tasks are made from.
    """

    profile: str
    reason: str
    device: str
    threads: int
    seed: int

    def load(self, role: str) -> "LoadedModel":
        """Load the model that plays a role, for instance ``"dialogpt"``, in this profile, on this device.

        Args:
            role: ``"dialogpt"`` or ``"gpt2"`` (causal language models), ``"roberta"`` or ``"bert"`` (encoders).

        Returns:
            The model, its tokenizer and where they came from; new at every call.

        Raises:
            ValueError: There is no such role.
        """
        from cfhelpers.models.loading import load_model

        return load_model(role, self.profile, device=self.device, seed=self.seed)

    def tasks(self, *names: str, size: int | None = None) -> "list[Task]":
        """Make tasks by name, for instance ``run.tasks("persona", "workplace")``.

        Args:
            names: Names from ``cfhelpers.tasks.TASK_NAMES``.
            size: Number of training examples (of facts, for dialogue); None takes the profile's own.

        Returns:
            The tasks in the order of their names.

        Raises:
            ValueError: There is no task of such a name.
        """
        from cfhelpers.tasks import make_task

        return [make_task(name, self.profile, seed=self.seed, size=size) for name in names]


def start(seed: int = 0, profile: str | None = None) -> Runtime:
    """Fix the seeds and the number of threads, choose the profile, and say what was chosen and why.

    Args:
        seed: Two runs with one seed are bitwise equal on the same machine.
        profile: ``"tiny"``, ``"laptop"`` or ``"full"``; None asks the environment variable ``CF_PROFILE``, and takes
            ``"tiny"`` if that is not set.

    Returns:
        The runtime that loads models and makes tasks.

    Raises:
        ValueError: There is no such profile.
        HubUnreachable: ``full`` was asked for and the hub does not answer; raised within 5 seconds.
        FileNotFoundError: ``laptop`` was asked for and its models are not installed; the message says how.
    """
    choice = environment.resolve_profile(profile)
    if choice.name == "full":
        environment.require_hub()
    else:
        environment.go_offline()  # nothing is needed from there, and nothing shall wait for it
    if choice.name == "laptop":
        from cfhelpers.models.loading import require_laptop_wheels

        require_laptop_wheels()
    device = environment.pick_device(choice.name)
    threads = environment.set_threads(choice.name)
    environment.seed_everything(seed)
    others = " or ".join(f"cf.start(profile={name!r})" for name in environment.PROFILES if name != choice.name)
    print(f"Profile {choice.name!r} ({choice.reason}): {_WHAT_IT_IS[choice.name]}.")
    print(f"Device: {device}, {threads} CPU thread{'s' if threads > 1 else ''}. Seed: {seed}.")
    print(f"Others: {others}; or set CF_PROFILE before starting Python.")
    return Runtime(choice.name, choice.reason, device, threads, seed)
