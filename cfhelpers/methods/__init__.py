"""Continual-learning methods, one class a file, all behind :class:`cfhelpers.methods.base.Method`."""

from cfhelpers.methods.agem import AGEM
from cfhelpers.methods.base import Method
from cfhelpers.methods.derpp import DERpp
from cfhelpers.methods.ewc import EWC
from cfhelpers.methods.ewc_on_generations import EWCOnGenerations
from cfhelpers.methods.generative_replay import GenerativeReplay
from cfhelpers.methods.joint import Joint
from cfhelpers.methods.l2sp import L2SP
from cfhelpers.methods.mas import MAS
from cfhelpers.methods.naive import Naive
from cfhelpers.methods.online_ewc import OnlineEWC
from cfhelpers.methods.replay import Replay
from cfhelpers.methods.synaptic_intelligence import SynapticIntelligence

__all__ = [
    "AGEM",
    "EWC",
    "L2SP",
    "MAS",
    "DERpp",
    "EWCOnGenerations",
    "GenerativeReplay",
    "Joint",
    "Method",
    "Naive",
    "OnlineEWC",
    "Replay",
    "SynapticIntelligence",
]
