"""Operator set ``loihi2``: integer neurons and synapses with the arithmetic of Loihi 2.

A graph of this set says bit for bit what Lava's fixed-point processes (``Loihi2SimCfg``,
``select_tag="fixed_pt"``) compute, so it is executed here, without Lava or a chip, and must give
the same spikes and states. What the set holds:

- **Values** are int32. :data:`casts.QUANTIZE` and :data:`casts.DEQUANTIZE` lead there from floats
  and back, so that the encoders and decoders of ``snn`` serve here, too. What comes before the
  first synapse is the host's work, and so is what follows the last neurons.
- **Time**: on the chip a spike of step t is integrated by the next neuron in step t + 1. The
  synapse holds it back: *every binding into a synapse (``Dense``, ``Conv2D``) has
  ``delay_steps = 1``*, whether it comes from neurons (perhaps through ``Permute`` and
  ``Flatten``), from the same population (recurrence) or from a graph input. All other bindings
  have none. A longer delay is the synapse's parameter ``delay``. The reference runtime executes
  any graph of the set; a target may refuse those that break this rule.
- **Ranges** of attributes and parameters are those of the chip; the checker reports what is out
  of range, and nothing is clipped.
- **Layout** is channels-last, as everywhere. Loihi's tools flatten images in the order channel,
  height, width: that is ``Permute`` with axes (2, 0, 1), then ``Flatten``. Average pooling is a
  depthwise ``Conv2D`` with constant weights.

Sigma-delta neurons exchange graded messages with :data:`sigma_delta.STATE_EXP` fewer fraction
bits than their state: with ``spike_exp`` = 6, an activation of 1 is a message of 64 and a state
of 4096, and a weight of 64 passes it on unchanged.
"""

from __future__ import annotations

from typing import Final

from snnir.ir.types import DType
from snnir.ops.layout import moving_operators
from snnir.ops.loihi2 import casts, neurons, sigma_delta, synapses
from snnir.ops.schema import OpDef

OPERATORS: Final[tuple[OpDef, ...]] = (
    *neurons.OPERATORS,
    *sigma_delta.OPERATORS,
    *synapses.OPERATORS,
    *casts.OPERATORS,
    *moving_operators("loihi2", DType.INT32),
)
"""Every operator of the set."""
