"""What a neuron's rule is: pure functions, their trace, their derived adjoint, and both as printed source."""

from snnsim.rule.derive import Derived, Step, derive
from snnsim.rule.rule import Fixed, Neuron, Rule, finite, one_of
from snnsim.rule.source import print_lines
from snnsim.rule.stored import replayed, rule_from_json, rule_to_json
from snnsim.rule.trace import Symbol, call, exp, floor, log, named, where

__all__ = ["Derived", "Fixed", "Neuron", "Rule", "Step", "Symbol", "call", "derive", "exp", "finite", "floor", "log", "named",
           "one_of", "print_lines", "replayed", "rule_from_json", "rule_to_json", "where"]
