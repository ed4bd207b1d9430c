"""From an ``ann`` graph to few-spike neurons."""

from snnir.passes.few_spike.lower import FewSpikeOptions, FewSpikeReport, lower_to_few_spikes

__all__ = ["FewSpikeOptions", "FewSpikeReport", "lower_to_few_spikes"]
