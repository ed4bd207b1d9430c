"""mlGeNN's compilers for training, with every sample starting from the initial state.

mlGeNN leaves synaptic currents and spikes in flight to the next sample, e-prop all of its state.
Here populations send nothing that could arrive only after the sample, currents are cleared
between samples, and populations that run late wait for their first step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from snnir_converters.mlgenn._description import Description

CLEAR: Final = "ClearInput"
"""Custom updates that clear what has arrived and not acted yet."""

COLLECTED: Final = "Collected"
"""Variable of a readout in e-prop: sum or last value of the potential."""

_UPSTREAM_CLEAR: Final = "ZeroOutPost"


@dataclass(frozen=True)
class Window:
    """When a population runs, in ms; None is without limit.

    Attributes:
        start: Before this it does not change.
        stop: From here on it sends nothing.
        end: From here on it does not change.
    """

    start: float | None
    stop: float | None
    end: float | None = None


def windows(description: Description, tail: int = 0) -> dict[str, Window]:
    """The window of each population: a limit lies half a step before the step it stands for.

    Args:
        description: The network.
        tail: Further steps that are simulated, so that spikes of the last step are sent.
    """
    found: dict[str, Window] = {}
    for name, population in description.populations.items():
        last = description.steps + population.lag
        stop = min(last, description.timesteps + tail - 1) if description.outgoing(name) else last
        found[name] = Window(
            (population.lag - 0.5) * description.dt if population.lag else None,
            (stop - 0.5) * description.dt if stop < description.timesteps + tail else None,
            (last - 0.5) * description.dt if tail else None,
        )
    return found


def limit_spikes(model: Any, window: Window) -> Any:
    """A copy of a neuron model that spikes within a window only."""
    model = deepcopy(model)
    condition = model.model.get("threshold_condition_code")
    if condition is None:
        return model
    if window.start is not None:
        condition = f"({condition}) && t > {window.start!r}"
    if window.stop is not None:
        condition = f"({condition}) && t < {window.stop!r}"
    model.model["threshold_condition_code"] = condition
    return model


def hold(model: Any, window: Window) -> Any:
    """A copy of a neuron model whose simulation code runs within a window only."""
    model = deepcopy(model)
    code = model.model.get("sim_code")
    limits = [] if window.start is None else [f"t > {window.start!r}"]
    limits += [] if window.end is None else [f"t < {window.end!r}"]
    if code is not None and limits:
        model.model["sim_code"] = f"if ({' && '.join(limits)}) {{\n{code}\n}}"
    return model


def _add_clearing(compiler: Any, genn_model: Any, connections: Mapping[Any, Any]) -> None:
    for index, synapses in enumerate(connections.values()):
        compiler.add_out_post_zero_custom_update(
            genn_model, synapses, CLEAR, f"CUClearInput{index}"
        )


def _clear_between_samples(compiled: Any) -> None:
    """Clear before every sample, instead of in its last step where it is lost to the sample."""
    from ml_genn.callbacks import CustomUpdateOnBatchBegin, CustomUpdateOnTimestepBegin

    for callbacks in (compiled.base_train_callbacks, compiled.base_validate_callbacks):
        callbacks[:] = [
            each
            for each in callbacks
            if not (isinstance(each, CustomUpdateOnTimestepBegin) and each.name == _UPSTREAM_CLEAR)
        ]
        callbacks.append(CustomUpdateOnBatchBegin(CLEAR))


@cache
def inference_compiler() -> type[Any]:
    """Inference; the class takes ``windows`` by name of population beside mlGeNN's arguments."""
    from ml_genn.callbacks import CustomUpdateOnBatchBegin
    from ml_genn.compilers import InferenceCompiler

    class Compiler(InferenceCompiler):  # type: ignore[misc]
        def __init__(self, *args: Any, windows: Mapping[str, Window], **options: Any) -> None:
            super().__init__(*args, **options)
            self.windows = windows

        def build_neuron_model(self, pop: Any, model: Any, compile_state: Any) -> Any:
            window = self.windows[pop.name]
            built = super().build_neuron_model(pop, limit_spikes(model, window), compile_state)
            return hold(built, window)

        def create_compiled_network(
            self, genn_model: Any, neuron_populations: Any, connections: Any, compile_state: Any
        ) -> Any:
            compiled = super().create_compiled_network(
                genn_model, neuron_populations, connections, compile_state
            )
            _add_clearing(self, genn_model, connections)
            compiled.base_callbacks.append(CustomUpdateOnBatchBegin(CLEAR))
            return compiled

    return Compiler


@cache
def event_prop_compiler() -> type[Any]:
    """EventProp; the class takes ``windows`` by name of population beside mlGeNN's arguments."""
    from ml_genn.compilers import EventPropCompiler

    class Compiler(EventPropCompiler):  # type: ignore[misc]
        def __init__(self, *args: Any, windows: Mapping[str, Window], **options: Any) -> None:
            super().__init__(*args, **options)
            self.windows = windows

        def build_neuron_model(self, pop: Any, model: Any, compile_state: Any) -> Any:
            window = self.windows[pop.name]
            limited = hold(limit_spikes(model, window), window)
            return super().build_neuron_model(pop, limited, compile_state)

        def create_compiled_network(
            self, genn_model: Any, neuron_populations: Any, connections: Any, compile_state: Any
        ) -> Any:
            stepwise = list(compile_state.timestep_softmax_populations)
            compile_state.timestep_softmax_populations = []
            compiled = super().create_compiled_network(
                genn_model, neuron_populations, connections, compile_state
            )
            for population, variable in stepwise:
                _add_softmax_each_step(
                    self, genn_model, neuron_populations[population], variable, compiled
                )
            _add_clearing(self, genn_model, connections)
            _clear_between_samples(compiled)
            return compiled

    return Compiler


def _add_softmax_each_step(
    compiler: Any, genn_model: Any, neurons: Any, variable: str, compiled: Any
) -> None:
    """The softmax of a variable, put after every step where the backward pass reads it.

    mlGeNN 2.3 fails to compile its own updates for this.
    """
    from ml_genn.callbacks import CustomUpdateOnTimestepEnd
    from ml_genn.utils.model import CustomUpdateModel
    from pygenn import CustomUpdateVarAccess, VarAccessMode, create_egp_ref, create_var_ref

    value = ("Value", "scalar", VarAccessMode.READ_ONLY)
    most = ("Most", "scalar", VarAccessMode.READ_ONLY)
    total = ("Total", "scalar", VarAccessMode.READ_ONLY)
    refs = {"Value": create_var_ref(neurons, variable)}
    largest = compiler.add_custom_update(
        genn_model,
        CustomUpdateModel(
            {
                "vars": [("Most", "scalar", CustomUpdateVarAccess.REDUCE_NEURON_MAX)],
                "var_refs": [value],
                "update_code": "Most = Value;",
            },
            {},
            {"Most": 0.0},
            dict(refs),
        ),
        "StepSoftmaxMost",
        f"CUStepSoftmaxMost{neurons.name}",
    )
    refs["Most"] = create_var_ref(largest, "Most")
    summed = compiler.add_custom_update(
        genn_model,
        CustomUpdateModel(
            {
                "vars": [("Total", "scalar", CustomUpdateVarAccess.REDUCE_NEURON_SUM)],
                "var_refs": [value, most],
                "update_code": "Total = exp(Value - Most);",
            },
            {},
            {"Total": 0.0},
            dict(refs),
        ),
        "StepSoftmaxTotal",
        f"CUStepSoftmaxTotal{neurons.name}",
    )
    refs |= {
        "Total": create_var_ref(summed, "Total"),
        "RingWriteOffset": create_var_ref(neurons, "RingWriteOffset"),
    }
    slots = 2 * compiler.example_timesteps
    compiler.add_custom_update(
        genn_model,
        CustomUpdateModel(
            {
                "var_refs": [value, most, total, ("RingWriteOffset", "int")],
                "extra_global_param_refs": [("RingOutputLossTerm", "scalar*")],
                "update_code": f"""
                const int first = ((batch * num_neurons) + id) * {slots};
                RingOutputLossTerm[first + RingWriteOffset] = exp(Value - Most) / Total;
                RingWriteOffset++;
                """,
            },
            {},
            {},
            refs,
            {},
            {"RingOutputLossTerm": create_egp_ref(neurons, "RingOutputLossTerm")},
        ),
        "StepSoftmaxStore",
        f"CUStepSoftmaxStore{neurons.name}",
    )
    compiled.base_train_callbacks += [
        CustomUpdateOnTimestepEnd(f"StepSoftmax{part}") for part in ("Most", "Total", "Store")
    ]


@cache
def eprop_compiler() -> type[Any]:
    """E-prop; the class takes ``windows`` by name of population beside mlGeNN's arguments."""
    from ml_genn.compilers import EPropCompiler

    class Compiler(EPropCompiler):  # type: ignore[misc]
        def __init__(self, *args: Any, windows: Mapping[str, Window], **options: Any) -> None:
            super().__init__(*args, **options)
            self.windows = windows

        def build_neuron_model(self, pop: Any, model: Any, compile_state: Any) -> Any:
            window = self.windows[pop.name]
            model = limit_spikes(model, window)
            if pop.neuron.readout is not None:
                _collect_potential(model, type(pop.neuron.readout).__name__)
            return hold(super().build_neuron_model(pop, model, compile_state), window)

        def create_compiled_network(
            self, genn_model: Any, neuron_populations: Any, connections: Any, compile_state: Any
        ) -> Any:
            compiled = super().create_compiled_network(
                genn_model, neuron_populations, connections, compile_state
            )
            # Traces of neurons that are merged with others cannot be reset.
            genn_model.fuse_pre_post_weight_update_models = False
            _add_clearing(self, genn_model, connections)
            for index, (pop, neurons) in enumerate(neuron_populations.items()):
                _reset_neurons(self, genn_model, pop, neurons, index)
            for index, synapses in enumerate(connections.values()):
                _reset_traces(self, genn_model, synapses, index)
            _clear_between_samples(compiled)
            return compiled

    return Compiler


def _collect_potential(model: Any, readout: str) -> None:
    """Add what the decoder sees: mlGeNN's e-prop reads out the softmax of the potential."""
    model.add_var(COLLECTED, "scalar", 0.0)
    model.append_sim_code(f"{COLLECTED} {'=' if readout == 'Var' else '+='} V;")


def _reset_neurons(
    compiler: Any, genn_model: Any, population: Any, neurons: Any, index: int
) -> None:
    """Back to the initial state: mlGeNN's e-prop resets readouts only."""
    from pygenn import create_var_ref

    initial = {
        "V": getattr(population.neuron, "v", None),
        "A": getattr(population.neuron, "a", 0.0),
        "RefracTime": 0.0,
        "E": 0.0,
        "VSoftmax": 0.0,
        "DeltaBias": 0.0,
        COLLECTED: 0.0,
    }
    present = {name for name in initial if name in neurons.vars}
    values = [(name, "scalar", initial[name]) for name in sorted(present)]
    _add_reset(
        compiler,
        genn_model,
        values,
        lambda name: create_var_ref(neurons, name),
        f"CUResetState{index}",
    )


def _reset_traces(compiler: Any, genn_model: Any, synapses: Any, index: int) -> None:
    """Back to zero: eligibility traces. The rates that regularisation sees go on."""
    from pygenn import create_wu_post_var_ref, create_wu_pre_var_ref, create_wu_var_ref

    groups = (
        ("Synapse", synapses.vars, ("eFiltered", "epsilonA"), create_wu_var_ref),
        ("Pre", synapses.pre_vars, ("ZFilter",), create_wu_pre_var_ref),
        ("Post", synapses.post_vars, ("Psi",), create_wu_post_var_ref),
    )
    for kind, variables, names, refer in groups:
        values = [(name, "scalar", 0.0) for name in names if name in variables]
        _add_reset(
            compiler,
            genn_model,
            values,
            lambda name, refer=refer: refer(synapses, name),
            f"CUReset{kind}{index}",
        )


def _add_reset(
    compiler: Any, genn_model: Any, values: Sequence[tuple[str, str, Any]], refer: Any, name: str
) -> None:
    from ml_genn.compilers.compiler import create_reset_custom_update

    if values:
        update = create_reset_custom_update(values, refer)
        compiler.add_custom_update(genn_model, update, CLEAR, name)
