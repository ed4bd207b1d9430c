"""From an ``ann`` graph to a spiking network in rate coding."""

from snnir.passes.lowering import LayerReport
from snnir.passes.rate.lower import RateOptions, lower_to_rates

__all__ = ["LayerReport", "RateOptions", "lower_to_rates"]
