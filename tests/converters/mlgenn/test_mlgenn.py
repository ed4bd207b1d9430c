"""Networks in mlGeNN itself: runs, training, and networks that come back."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnir
from snnir.data import SpikeData, from_dense
from snnir.data.augment import shift
from snnir.errors import CapabilityError, FormatError, UnsupportedFeature
from snnir.ir.model import Model
from snnir.runtime.backend import find_backend
from snnir.training import train
from snnir_converters.genn._install import require_pygenn
from snnir_converters.mlgenn import _training, read_mlgenn, to_network
from snnir_converters.mlgenn._describe import describe
from snnir_converters.mlgenn._description import Description
from tests.converters.mlgenn import nets

pytestmark = nets.needs_mlgenn


def chosen(names: Any, quick: str) -> list[Any]:
    """Cases: one that is compiled in the quick suite, and the others."""
    return [name if name == quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def hidden_neurons(model: Model) -> list[str]:
    return [n for n, node in model.graph.nodes.items() if node.operator in ("IF", "LIF", "ALIF")]


def cross_entropy(answers: Any, labels: Any) -> float:
    shifted = answers.astype(np.float64) - answers.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return float(losses.mean())


# Running ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", chosen(nets.RUNNABLE, "recurrent"))
def test_spikes_are_those_of_the_reference(name: str) -> None:
    model = nets.RUNNABLE[name]()
    x, _ = nets.spikes(model, samples=4)
    record = hidden_neurons(model)
    wanted = snnir.run(model, x, record=record)
    found = find_backend("mlgenn").prepare(model).run(x, record=record)
    for neuron in record:
        assert wanted[neuron].sum() > 0
        assert np.array_equal(found[neuron], wanted[neuron])
    # sums of float32 in another order
    assert np.allclose(found["class"], wanted["class"], rtol=1e-5, atol=1e-6)


def test_what_mlgenn_cannot_run_exactly_is_refused() -> None:
    net = nets.Net()
    hidden = net.cuba(net.dense(net.input, "into", 4), "hidden")
    model = net.readout(net.dense(hidden, "out", 3), "ExponentialPotential")
    with pytest.raises(CapabilityError) as caught:
        find_backend("mlgenn").prepare(model)
    assert caught.value.code == "mlgenn.readout"


# Training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", chosen(nets.EVENTPROP, "delays"))
def test_training_sees_what_the_reference_computes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = nets.EVENTPROP[name]()
    x, y = nets.spikes(model)
    options: dict[str, Any] = {"epochs": 3, "learning_rate": 0.01, "keep_best": False}
    if name == "delays":
        options |= {"learn_delays": ("into",), "max_delay_steps": 6, "delay_learning_rate": 0.3}
    trained, report = train(model, x, y, validation=(x, y), **options)
    answers = snnir.run(trained, x)["class"]
    mean, latency = name not in ("skipping", "delayed", "first_spike"), report.details["latency"]
    if mean:  # mlGeNN averages over the steps in which populations wait, too
        answers = answers * np.float32(nets.STEPS / (nets.STEPS + latency))
    if name == "first_spike":
        answers = -(answers + latency) * np.float32(model.time.dt * 1e3)
    # float32 sums in another order; weights are converted to and fro
    assert report.history[-1].validation_loss == pytest.approx(
        cross_entropy(answers, y), rel=1e-4, abs=1e-5
    )
    assert report.history[-1].validation_accuracy == np.mean(answers.argmax(axis=1) == y)
    assert report.history[-1].loss < report.history[0].loss
    assert list(tmp_path.iterdir()) == []
    if name == "delays":
        before, after = (m.graph.nodes["into"].parameters["delay_steps"] for m in (model, trained))
        assert np.any(before.numpy() != after.numpy())
        assert after.numpy().min() >= 0 and after.numpy().max() <= 6
    if name == "sparse":
        before, after = (m.graph.nodes["into"].parameters["weight"] for m in (model, trained))
        # two updates of about the rate for each sample at most
        limit = 3 * len(y) * 0.01 * 4
        assert np.abs(before.numpy() - after.numpy()).max() < limit


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (nets.recurrent, {"method": "eventprop", "reg_lambda_upper": 1e-5, "reg_nu_upper": 3.0}),
        pytest.param(nets.adaptive, {"method": "eprop"}, marks=pytest.mark.slow),
        pytest.param(nets.sparse, {"method": "eventprop"}, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    model: Callable[[], Model], options: dict[str, Any], tmp_path: Path
) -> None:
    x, y = nets.spikes(model())
    options = {**options, "learning_rate": 0.01}
    wanted, _ = train(model(), x, y, epochs=4, **options)
    train(model(), x, y, epochs=2, checkpoints=tmp_path, **options)
    found, report = train(model(), x, y, epochs=4, checkpoints=tmp_path, resume=True, **options)
    assert report.resumed_from == 2
    for name, node in wanted.graph.nodes.items():
        for key, tensor in node.parameters.items():
            assert np.array_equal(
                found.graph.nodes[name].parameters[key].numpy(), tensor.numpy()
            ), f"{name}, {key}"


@pytest.mark.slow
@pytest.mark.parametrize("op", ["ALIF", "LIF"])
def test_eprop_learns_weights_and_biases(op: str) -> None:
    model = nets.adaptive(op)
    x, y = nets.spikes(model, 48)
    trained, report = train(
        model,
        x,
        y,
        method="eprop",
        epochs=4,
        learning_rate=0.01,
        validation=(x, y),
        keep_best=False,
    )
    answers = snnir.run(trained, x)["class"]
    assert report.history[-1].validation_accuracy == np.mean(answers.argmax(axis=1) == y)
    assert report.history[-1].loss < report.history[0].loss
    for node, parameter in (("into", "weight"), ("out", "weight"), ("readout", "bias")):
        before, after = (m.graph.nodes[node].parameters[parameter] for m in (model, trained))
        assert np.any(before.numpy() != after.numpy())


@pytest.mark.slow
def test_a_loss_in_every_step() -> None:
    model = nets.feed_forward()
    x, y = nets.spikes(model, 60)
    _, report = train(model, x, y, epochs=6, learning_rate=0.01, per_timestep_loss=True)
    assert report.history[-1].loss < 0.9 * report.history[0].loss


@pytest.mark.slow
@pytest.mark.parametrize("method", ["eventprop", "eprop"])
def test_wanted_values_of_every_step(method: str) -> None:
    net = nets.Net()
    if method == "eventprop":
        hidden = net.cuba(net.dense(net.input, "into", nets.HIDDEN), "hidden")
        model = net.readout(net.dense(hidden, "out", nets.CLASSES), "FinalPotential")
    else:
        current = net.dense(net.input, "into", nets.HIDDEN, deviation=0.5, mean=0.2)
        hidden = net.b.snn.LIF(current, decay=nets.MEMBRANE, name="hidden")
        out = net.dense(hidden, "out", nets.CLASSES, deviation=0.1, mean=0.0)
        potential = net.b.snn.LeakyIntegrator(out, decay=nets.MEMBRANE, name="readout")
        model = net.end(potential, "FinalPotential")
    x, y = nets.spikes(model)
    ramp = np.arange(nets.STEPS, dtype=np.float32)[None, :, None] / nets.STEPS
    wanted = np.eye(nets.CLASSES, dtype=np.float32)[y][:, None] * ramp
    _, report = train(
        model, x, wanted, method=method, loss="mean_square_error", epochs=8, learning_rate=0.005
    )
    assert report.history[-1].loss < 0.8 * report.history[0].loss
    assert report.history[-1].accuracy is None


@pytest.mark.slow
def test_augmented_samples() -> None:
    model = nets.feed_forward()
    x, y = nets.spikes(model)
    data = from_dense(x, y, empty="allow")

    def augment(given: SpikeData, rng: np.random.Generator) -> SpikeData:
        return shift(given, 1, rng)

    first, _ = train(model, data, epochs=2, augment=augment)
    again, _ = train(model, data, epochs=2, augment=augment)
    assert snnir.digest(first) == snnir.digest(again)


@pytest.mark.parametrize("backend", ["abacus", "hip"])
def test_a_backend_that_is_not_there_is_an_error(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nets.feed_forward()
    found = dataclasses.replace(require_pygenn(), backends=("single_threaded_cpu",))
    monkeypatch.setattr(_training, "require_mlgenn", lambda: found)
    with pytest.raises(CapabilityError, match=r"genn\.backend"):
        train(model, *nets.spikes(model), epochs=1, backend=backend)


def test_regularisation_changes_how_often_neurons_spike() -> None:
    """Towards fewer spikes, and towards more of neurons that are quiet."""
    model = nets.feed_forward()
    x, y = nets.spikes(model, 60)
    before = snnir.run(model, x, record=["hidden"])["hidden"].sum()
    found = {}
    for name, aim in (("reg_lambda_upper", 0.5), ("reg_lambda_lower", 14.0)):
        options: dict[str, Any] = {name: 1e-2, "reg_nu_upper": aim}
        trained, _ = train(model, x, y, epochs=3, learning_rate=0.02, **options)
        found[name] = snnir.run(trained, x, record=["hidden"])["hidden"].sum()
    assert found["reg_lambda_upper"] < 0.8 * before
    assert found["reg_lambda_lower"] > 1.2 * before


def test_neurons_that_never_spike_are_said_to_learn_nothing() -> None:
    model = nets.feed_forward(threshold=1000.0)
    with pytest.warns(snnir.SnnirWarning, match=r"train\.unchanged"):
        _, report = train(model, *nets.spikes(model), epochs=1)
    assert {finding.where for finding in report.findings} == {"node 'into'", "node 'out'"}


@pytest.mark.slow
def test_biases_of_the_readout_stay_on_request() -> None:
    model = nets.adaptive()
    options: dict[str, Any] = {"method": "eprop", "epochs": 1, "train_output_bias": False}
    trained, _ = train(model, *nets.spikes(model), **options)
    before, after = (m.graph.nodes["readout"].parameters["bias"].numpy() for m in (model, trained))
    assert np.array_equal(before, after)


def test_a_compiler_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    model = nets.feed_forward()
    with pytest.raises(snnir.RunError, match=r"train\.failed"):
        train(model, *nets.spikes(model), epochs=1)


# Networks that come back -----------------------------------------------------------------------


def same_connection(a: Any, b: Any) -> bool:
    """Whether connections are equal; sparse weights may be in another order."""
    if a.connectivity != "FixedProbability":
        same = np.array_equal(a.weight, b.weight) and np.array_equal(a.delay, b.delay)
    else:
        orders = [np.lexsort((c.settings["post_ind"], c.settings["pre_ind"])) for c in (a, b)]
        same = np.array_equal(a.weight[orders[0]], b.weight[orders[1]])
    return bool(same and (a.tau, a.scale_i) == (b.tau, b.scale_i))


def described(model: Model) -> Description:
    description, findings = describe(model)
    assert description is not None, [str(finding) for finding in findings]
    return description


@pytest.mark.parametrize("name", [*(n for n in nets.RUNNABLE if n != "held"), "adaptive"])
def test_a_network_comes_back_as_it_was(name: str) -> None:
    model = nets.adaptive("ALIF") if name == "adaptive" else nets.RUNNABLE[name]()
    if name == "adaptive":  # without the bias, which late neurons cannot have
        del model.graph.nodes["readout"].parameters["bias"]
    wanted = described(model)
    back = read_mlgenn(to_network(model).network, dt=wanted.dt, steps=wanted.timesteps)
    assert [f for f in snnir.check(back) if f.severity == "error"] == []
    assert back.findings == ()
    found = described(back)
    assert found.latency == 0
    for population in wanted.populations.values():
        other = found.populations[population.name]
        assert (other.neuron, other.shape, other.readout) == (
            population.neuron,
            population.shape,
            population.readout,
        )
        for setting, value in population.settings.items():
            assert np.array_equal(other.settings[setting], value), setting  # type: ignore[arg-type]
    ends = {(each.source, each.target): each for each in found.connections.values()}
    for each in wanted.connections.values():
        assert same_connection(each, ends[each.source, each.target])


def by_mlgenn(network: Any, x: Any, steps: int, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Answers and spikes of mlGeNN's own inference on one sample after it was compiled."""
    from ml_genn.compilers import InferenceCompiler

    from snnir_converters.mlgenn._training import preprocessed

    for population in network.populations:
        population.record_spikes = type(population.neuron).__name__ != "LeakyIntegrate"
    compiled = InferenceCompiler(steps, backend="single_threaded_cpu").compile(network, name="own")
    compiled.genn_model.build(path_to_model=f"{folder}/")
    source = network.populations[0]
    output = next(p for p in network.populations if p.neuron.readout is not None)
    with compiled:
        data = from_dense(x, empty="allow")
        answers, _ = compiled.predict({source: preprocessed(data, 1.0)}, output, callbacks=[])
        compiled.genn_model.pull_recording_buffers_from_device()
        spikes = {}
        for population in network.populations:
            if population.record_spikes:
                times, ids = compiled.neuron_populations[population].spike_recording_data[0]
                dense = np.zeros((steps, int(np.prod(population.shape))), np.float32)
                dense[np.rint(times).astype(int), ids] = 1
                spikes[population.name] = dense
    return answers[output], spikes


def own_network() -> Any:
    """A recurrent network as a user of mlGeNN builds it, with EventProp's defaults."""
    from ml_genn import Connection, Network, Population
    from ml_genn.compilers.event_prop_compiler import default_params
    from ml_genn.connectivity import Dense
    from ml_genn.neurons import LeakyIntegrate, LeakyIntegrateFire, SpikeInput
    from ml_genn.synapses import Exponential

    rng = np.random.default_rng(3)
    network = Network(default_params)
    with network:
        source = Population(SpikeInput(max_spikes=1000), nets.INPUTS, name="source")
        hidden = Population(
            LeakyIntegrateFire(v_thresh=0.61, tau_mem=20.0, tau_refrac=2.0), 20, name="hidden"
        )
        end = Population(LeakyIntegrate(tau_mem=20.0, readout="avg_var"), 3, name="end")
        Connection(
            source,
            hidden,
            Dense(rng.normal(0.6, 1.0, (nets.INPUTS, 20)), delay=2),
            Exponential(5.0),
        )
        Connection(hidden, hidden, Dense(rng.normal(0.0, 0.2, (20, 20))), Exponential(5.0))
        Connection(hidden, end, Dense(rng.normal(0.0, 0.4, (20, 3))), Exponential(5.0))
    return network


def test_a_network_that_is_read_does_what_mlgenn_does(tmp_path: Path) -> None:
    network = own_network()
    model = read_mlgenn(network, dt=1.0, steps=30)
    x = np.zeros((1, 30, nets.INPUTS), np.float32)
    x[:, :20] = np.random.default_rng(0).random((1, 20, nets.INPUTS)) < 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers, spikes = by_mlgenn(network, x, 30, tmp_path)
    found = snnir.run(model, x, record=["hidden"])
    assert spikes["hidden"].sum() > 20
    assert np.array_equal(found["hidden"][0], spikes["hidden"])
    # sums of float32 in another order
    assert np.allclose(found["end-answer"], answers, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_gives_the_weights(tmp_path: Path) -> None:
    network = own_network()
    rng = np.random.default_rng(5)
    saved = {}
    for connection in network.connections:
        values = rng.normal(0, 1, connection.connectivity.weight.size).astype(np.float32)
        np.save(tmp_path / f"7-{connection.name}-g.npy", values)
        saved[connection.name] = values
    np.save(tmp_path / "7-Conn_other-g.npy", np.zeros(3))
    np.save(tmp_path / "8-Conn_source_hidden-g.npy", np.zeros(3))
    model = read_mlgenn(network, dt=1.0, steps=30, checkpoint=tmp_path, keys=(7,))
    assert [finding.code for finding in model.findings] == ["mlgenn.ignored"]
    for name, values in saved.items():
        assert np.array_equal(model.graph.nodes[name].parameters["weight"].numpy().ravel(), values)
    with pytest.raises(FormatError, match=r"mlgenn\.checkpoint"):
        read_mlgenn(network, checkpoint=tmp_path, keys=(9,))
    with pytest.raises(UnsupportedFeature, match="3 values of 'weight'"):
        read_mlgenn(network, checkpoint=tmp_path, keys=(8,))


def test_the_time_step_is_assumed_if_nobody_says_it() -> None:
    model = read_mlgenn(own_network())
    assert [finding.code for finding in model.findings] == ["mlgenn.time"]
    assert (model.time.dt, model.time.steps) == (1e-3, 1)


def test_everything_that_cannot_be_carried_over_is_reported_at_once() -> None:
    from ml_genn import Connection, Network, Population
    from ml_genn.connectivity import Dense, FixedProbability
    from ml_genn.initializers import Normal
    from ml_genn.neurons import LeakyIntegrateFire, PoissonInput

    network = Network()
    with network:
        source = Population(PoissonInput(), 4, name="source")
        held = LeakyIntegrateFire(tau_refrac=5.0, integrate_during_refrac=False)
        hidden = Population(held, 4, name="hidden")
        end = Population(LeakyIntegrateFire(v=Normal()), 4, name="end")
        Connection(source, hidden, Dense(1.0), name="full")
        Connection(hidden, end, FixedProbability(0.5, 1.0), name="random")
    with pytest.raises(UnsupportedFeature) as caught:
        read_mlgenn(network)
    text = str(caught.value)
    for part in ("PoissonInput", "a refractory time in which", "Normal as 'v'"):
        assert part in text


def test_a_live_network_is_converted() -> None:
    from snnir.conversion.sources import read

    assert read(own_network()).graph.nodes["hidden"].op == "snn.LIF"
