"""Rebuilds what a past run made, from the store alone, and compares it with what was made then.

`plan_reproduction` says what is to be done, and what is missing for it; `reproduce` does it, in a temporary folder and
a scratch store. The user's project and store are only read.
"""

from lineal.reproduce.plan import ReproductionPlan, plan_reproduction
from lineal.reproduce.run import Reproduction, reproduce

__all__ = ["Reproduction", "ReproductionPlan", "plan_reproduction", "reproduce"]
