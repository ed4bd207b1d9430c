"""What reaches mlGeNN's compilers, and what is refused before; none of it needs mlGeNN."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnir.errors import CapabilityError
from snnir.ir.model import Model
from snnir.training import TrainSettings, train
from snnir_converters.mlgenn import _compilers, _feasible, _training
from tests.converters.mlgenn import nets

EVENTPROP = {
    "reg_lambda_upper": 1e-8,
    "reg_lambda_lower": {"hidden": 2e-8},
    "reg_nu_upper": 7.0,
    "max_spikes": 40,
    "strict_buffer_checking": True,
    "per_timestep_loss": True,
    "ttfs_alpha": 0.5,
    "softmax_temperature": 2.0,
}
EPROP = {"tau_reg": 300.0, "c_reg": 0.5, "f_target": 20.0, "train_output_bias": False}
COMMON = {
    "batch_size": 32,
    "learning_rate": 0.25,
    "beta1": 0.5,
    "beta2": 0.75,
    "epsilon": 1e-3,
    "seed": 11,
    "kernel_profiling": True,
    "backend": "cuda",
    "optimise_code": False,
    "communicator": "mpi",
}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of the compiler, which is a stand-in, as mlGeNN's other classes are."""
    arguments: dict[str, Any] = {}
    modules = {
        "ml_genn": ModuleType("ml_genn"),
        "ml_genn.optimisers": SimpleNamespace(Adam=lambda **options: options),
        "ml_genn.communicators": SimpleNamespace(MPI=lambda: "the communicator"),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]

    def compiler() -> Any:
        return lambda **options: arguments.update(options)

    monkeypatch.setattr(_compilers, "event_prop_compiler", compiler)
    monkeypatch.setattr(_compilers, "eprop_compiler", compiler)
    return arguments


def compiled(model: Model, **settings: Any) -> None:
    given = TrainSettings(**settings)
    description, findings = _feasible.prepare(model, given)
    assert description is not None, [str(finding) for finding in findings]
    names = (*description.populations, *description.connections)
    live: Any = SimpleNamespace(
        populations={name: name for name in names}, connections={name: name for name in names}
    )
    _training._compiler(description, given, live)


def check_common(passed: dict[str, Any], timesteps: int) -> None:
    adam = {"alpha": 0.25, "beta1": 0.5, "beta2": 0.75, "epsilon": 1e-3}
    assert passed["example_timesteps"] == timesteps
    assert passed["losses"] == "sparse_categorical_crossentropy"
    assert passed["optimiser"] == adam
    assert passed["dt"] == 1.0
    assert passed["batch_size"] == 32
    assert passed["rng_seed"] == 11
    assert passed["kernel_profiling"] is True
    assert passed["communicator"] == "the communicator"
    assert passed["backend"] == "cuda"
    assert passed["optimize_code"] is False


def test_every_setting_of_eventprop_reaches_its_compiler(passed: dict[str, Any]) -> None:
    compiled(nets.recurrent(), **COMMON, **EVENTPROP)
    check_common(passed, nets.STEPS + 2)
    wanted = {**EVENTPROP, "reg_lambda_lower": {"hidden": 2e-8}}
    assert {name: passed[name] for name in wanted} == wanted
    assert passed["delay_learn_conns"] == []


def test_learned_delays_have_an_optimiser_of_their_own(passed: dict[str, Any]) -> None:
    compiled(
        nets.delays(),
        learn_delays=("into",),
        max_delay_steps=9,
        delay_learning_rate=0.125,
        batch_size=1,
    )
    assert passed["delay_learn_conns"] == ["into_spikes_hidden"]
    assert passed["delay_optimiser"]["alpha"] == 0.125


def test_there_is_room_for_all_spikes_of_two_samples(passed: dict[str, Any]) -> None:
    compiled(nets.feed_forward())
    assert passed["max_spikes"] >= 2 * (nets.STEPS + 2)


def test_every_setting_of_eprop_reaches_its_compiler(passed: dict[str, Any]) -> None:
    compiled(nets.adaptive(), method="eprop", **COMMON, **EPROP)
    check_common(passed, nets.STEPS + 2)
    assert {name: passed[name] for name in EPROP} == EPROP


def test_no_setting_is_forgotten() -> None:
    """A new setting has to be added to these tests, or to those of the run."""
    of_the_run = {
        "method",
        "epochs",
        "steps",
        "loss",
        "schedule",
        "shuffle",
        "validation_split",
        "patience",
        "keep_best",
        "learn_delays",
        "delay_learning_rate",
        "max_delay_steps",
    }
    known = set(TrainSettings.__dataclass_fields__)
    assert known == {*COMMON, *EVENTPROP, *EPROP, *of_the_run}


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        (nets.feed_forward, {"method": "eprop"}, ["an ExponentialSynapse behind 'into'"]),
        (nets.adaptive, {"method": "eventprop"}, ["without a synapse", "EventProp does not know"]),
        (nets.feed_forward, {"batch_size": 4}, ["4 with backend"]),
        (nets.feed_forward, {"communicator": "mpi"}, ["'mpi' with backend"]),
        (nets.delays, {"learn_delays": ("into",)}, ["max_delay_steps"]),
        (nets.delays, {"learn_delays": ("out",), "max_delay_steps": 9}, ["'out'"]),
        (nets.delays, {"learn_delays": ("into",), "max_delay_steps": 2}, ["at least 4"]),
        (nets.feed_forward, {"reg_lambda_upper": {"readout": 1.0}}, ["node 'readout'"]),
        (nets.first_spike, {"loss": "mean_square_error"}, ["a mean square error"]),
        (nets.counted, {}, ["a cross-entropy of spike counts"]),
        (nets.first_spike, {"per_timestep_loss": True}, ["with this decoder"]),
        (
            lambda: nets.feed_forward(decay=nets.SYNAPSE),
            {},
            ["a time constant of 5 ms"],
        ),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_compiled(
    model: Any, settings: dict[str, Any], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_training, "require_mlgenn", lambda: pytest.fail("compiled"))
    network = model()
    x, y = nets.spikes(network)
    y = np.zeros((len(y), nets.STEPS, nets.CLASSES)) if "loss" in settings else y
    with pytest.raises(CapabilityError) as caught:
        train(network, x, y, **settings)
    for part in said:
        assert part in str(caught.value)


def test_tied_weights_are_refused() -> None:
    net = nets.Net()
    shared = net.dense(net.input, "shared", nets.HIDDEN)
    neurons = [net.cuba(shared, name) for name in ("one", "two")]
    out = [net.dense(neuron, f"{name}-out", 3) for neuron, name in zip(neurons, "ab", strict=True)]
    model = net.readout(out)
    with pytest.raises(CapabilityError, match="several populations"):
        train(model, *nets.spikes(model))
