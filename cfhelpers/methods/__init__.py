"""Continual-learning methods, one class a file, all behind :class:`cfhelpers.methods.base.Method`."""

from cfhelpers.methods.agem import AGEM
from cfhelpers.methods.base import Method
from cfhelpers.methods.combined import Combined
from cfhelpers.methods.derpp import DERpp
from cfhelpers.methods.entropy_gated import EntropyGated
from cfhelpers.methods.ewc import EWC
from cfhelpers.methods.ewc_on_generations import EWCOnGenerations
from cfhelpers.methods.freeze_bottom import FreezeBottom
from cfhelpers.methods.generative_replay import GenerativeReplay
from cfhelpers.methods.joint import Joint
from cfhelpers.methods.l2sp import L2SP
from cfhelpers.methods.lora import LoRA
from cfhelpers.methods.lwf import LwF
from cfhelpers.methods.mas import MAS
from cfhelpers.methods.naive import Naive
from cfhelpers.methods.online_ewc import OnlineEWC
from cfhelpers.methods.orthogonal_lora import OrthogonalLoRA
from cfhelpers.methods.orthogonal_subspace import OrthogonalSubspace
from cfhelpers.methods.progressive_network import ProgressiveNetwork
from cfhelpers.methods.progressive_prompts import ProgressivePrompts
from cfhelpers.methods.prompt_tuning import PromptTuning
from cfhelpers.methods.replay import Replay
from cfhelpers.methods.self_distillation import SelfDistillation
from cfhelpers.methods.self_distillation_fine_tuning import SelfDistillationFineTuning
from cfhelpers.methods.separate_models import SeparateModels
from cfhelpers.methods.synaptic_intelligence import SynapticIntelligence
from cfhelpers.methods.wise_ft import WiSEFT

__all__ = [
    "AGEM",
    "EWC",
    "L2SP",
    "MAS",
    "Combined",
    "DERpp",
    "EWCOnGenerations",
    "EntropyGated",
    "FreezeBottom",
    "GenerativeReplay",
    "Joint",
    "LoRA",
    "LwF",
    "Method",
    "Naive",
    "OnlineEWC",
    "OrthogonalLoRA",
    "OrthogonalSubspace",
    "ProgressiveNetwork",
    "ProgressivePrompts",
    "PromptTuning",
    "Replay",
    "SelfDistillation",
    "SelfDistillationFineTuning",
    "SeparateModels",
    "SynapticIntelligence",
    "WiSEFT",
]
