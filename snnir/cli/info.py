"""Show what a model is: inputs, outputs, operators, sizes. No weight is touched.

A file of many gigabytes takes no longer than a small one. With --target loihi2 it shows what the
network needs of a chip, layer by layer, and of which limits; where samples are given or stored
in the model, also how many spikes or messages it sends. A model of other operators is lowered
first.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from snnir.cli.common import (
    STDIO,
    Exit,
    UsageError,
    add_model_argument,
    load_model,
    note,
    out,
    out_json,
    plural,
    require_one_stdin,
    shown,
    size_text,
    table,
    type_json,
    types_of,
)
from snnir.cli.data import open_samples
from snnir.errors import ModelError, raise_errors
from snnir.infer import Types
from snnir.ir.model import Example, Model
from snnir.ir.printer import format_type

_LABELS_SHOWN: Final = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model_argument(parser)
    parser.add_argument(
        "--digest",
        action="store_true",
        help="also compute the digest of what the model means; this may read the weights",
    )
    parser.add_argument(
        "--target", choices=("loihi2",), help="show what the network needs of this chip instead"
    )
    parser.add_argument(
        "--calibration",
        metavar="DATA",
        help="samples for --target, a .npy or .npz file; default: those stored in the model",
    )


def run(args: argparse.Namespace) -> int:
    """Show what a model is."""
    require_one_stdin(args.model, args.calibration)
    if args.calibration is not None and args.target is None:
        raise UsageError("--calibration is for --target")
    model = load_model(args.model)
    if args.target is not None:
        return _resources(model, args)
    types = types_of(model, args)
    info = _collect(model, types, args)
    if args.json:
        out_json(info)
    else:
        for line in table(_rows(model, types, info)):
            out(shown(line))
    return Exit.OK


def _resources(model: Model, args: argparse.Namespace) -> int:
    """Show what the network needs of a chip; 1 if it does not fit."""
    from snnir.check import check
    from snnir.passes.loihi2 import lower_to_loihi2, padded
    from snnir.passes.loihi2.resources import resources

    raise_errors(check(model), ModelError)
    samples = None
    if args.calibration is not None:
        with open_samples(args.calibration, [entry.name for entry in model.graph.inputs]) as found:
            samples = {name: array.read(array.shape[0]) for name, array in found.items()}
    elif model.examples:
        stored = model.examples[min(model.examples)]
        samples = {name: tensor.numpy() for name, tensor in stored.inputs.items()}
    if not any(node.domain == "loihi2" for node in model.graph.nodes.values()):
        model, report = lower_to_loihi2(model, samples)
        note(args, f"lowered first: {report.route}, {report.bits} bits")
    found_resources = resources(model, None if samples is None else padded(model, samples))
    if args.json:
        out_json(found_resources.to_json())
    else:
        for line in str(found_resources).splitlines():
            out(shown(line))
    fits = all(needed <= limit.value for limit, needed in found_resources.limits())
    return Exit.OK if fits else Exit.FINDINGS


def _collect(model: Model, types: Types, args: argparse.Namespace) -> dict[str, Any]:
    """All that is shown, as a JSON object."""
    from snnir import plugins
    from snnir.ops.registry import BUILTIN_DOMAINS

    graph = model.graph
    tensors = [tensor for node in graph.nodes.values() for tensor in node.parameters.values()]
    domains = sorted({node.domain for node in graph.nodes.values()})
    installed = {*BUILTIN_DOMAINS, *plugins.names("ops")}
    operators = Counter(node.op for node in graph.nodes.values())
    info: dict[str, Any] = {
        "file": {"name": args.model, "bytes": _file_size(args.model)},
        "format_version": model.ir_version,
        "producer": {"name": model.producer.name, "version": model.producer.version},
        "graph": graph.name,
        "opsets": dict(sorted(model.opsets.items())),
        "missing_domains": [name for name in domains if name not in installed],
        "time": {"dt": model.time.dt, "steps": model.time.steps},
        "metadata": dict(sorted(model.metadata.items())),
        "inputs": [
            {"name": entry.name, "type": type_json(entry.type), "layout": entry.layout}
            for entry in graph.inputs
        ],
        "outputs": [
            {
                "name": output.name,
                "value": output.value,
                "type": type_json(types.get(output.value)),
                "labels": list(output.labels),
            }
            for output in graph.outputs
        ],
        "nodes": {
            "count": len(graph.nodes),
            "by_operator": dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        },
        "parameters": {
            "tensors": len(tensors),
            "numbers": sum(tensor.size for tensor in tensors),
            "bytes": sum(tensor.nbytes for tensor in tensors),
        },
        "examples": [_example(name, example) for name, example in sorted(model.examples.items())],
    }
    if args.digest:
        from snnir.ir.digest import digest

        info["digest"] = digest(model)
    return info


def _file_size(name: str) -> int | None:
    return None if name == STDIO else os.stat(name).st_size


def _example(name: str, example: Example) -> dict[str, Any]:
    shapes = [tensor.shape for tensor in example.inputs.values()]
    shapes += [expected.tensor.shape for expected in example.expected.values()]
    return {
        "name": name,
        "samples": next((shape[0] for shape in shapes if shape), None),
        "steps": example.steps,
        "values": sorted(example.expected),
        "origin": example.origin,
    }


def _rows(model: Model, types: Types, info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name, size = info["file"]["name"], info["file"]["bytes"]
    yield "file", name if size is None else f"{name}, {size_text(size)}"
    producer = f"{model.producer.name} {model.producer.version}".strip()
    yield "format", f"version {model.ir_version}" + (f", written by {producer}" if producer else "")
    yield "graph", model.graph.name
    yield "time", f"{plural(model.time.steps, 'step')} of {model.time.dt!r} s"
    for entry in model.graph.inputs:
        layout = f", layout {entry.layout}" if entry.layout else ""
        yield "input", f"{entry.name}: {format_type(entry.type)}{layout}"
    for output in model.graph.outputs:
        value_type = types.get(output.value)
        text = "unknown type" if value_type is None else format_type(value_type)
        yield "output", f"{output.name}: {text}{_labels(output.labels)}"
    opsets = [
        f"{domain} {version}{' (not installed)' if domain in info['missing_domains'] else ''}"
        for domain, version in info["opsets"].items()
    ]
    yield "operators", ", ".join(opsets) or "none"
    yield "nodes", f"{info['nodes']['count']}"
    for op, count in info["nodes"]["by_operator"].items():
        yield "", f"{count} x {op}"
    parameters = info["parameters"]
    yield (
        "parameters",
        f"{plural(parameters['numbers'], 'number')} in {plural(parameters['tensors'], 'tensor')}, "
        f"{size_text(parameters['bytes'])}",
    )
    for example in info["examples"]:
        origin = f", from {example['origin']}" if example["origin"] else ""
        samples = "" if example["samples"] is None else f"{plural(example['samples'], 'sample')}, "
        yield (
            "example",
            f"{example['name']}: {samples}{plural(example['steps'], 'step')}, "
            f"{', '.join(example['values'])}{origin}",
        )
    for key, text in info["metadata"].items():
        yield "metadata", f"{key}: {text}"
    if "digest" in info:
        yield "digest", info["digest"]


def _labels(labels: tuple[str, ...]) -> str:
    if not labels:
        return ""
    listed = ", ".join(labels[:_LABELS_SHOWN]) + (", ..." if len(labels) > _LABELS_SHOWN else "")
    return f", {plural(len(labels), 'label')}: {listed}"
