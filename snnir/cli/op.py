"""Show the documentation of an operator, or list all operators.

The name may leave out the domain where only one has such an operator: `snnir op LIF`.
"""

from __future__ import annotations

import argparse
import difflib
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from snnir import plugins
from snnir.cli.common import Exit, note, out, out_json, shown, table
from snnir.errors import Diagnostic, ModelError, PluginError
from snnir.ir.printer import format_attribute
from snnir.ops import registry
from snnir.ops.schema import COMMON_ATTRIBUTES, Attribute, OpDef, Parameter

_WIDTH: Final = 100
_INDENT: Final = "  "


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="an operator, e.g. snn.LIF; without it, all"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="as Markdown, with the formula in LaTeX"
    )


def run(args: argparse.Namespace) -> int:
    """Show operators."""
    from snnir.ops.doc import operator_manifest, operator_markdown

    domains = _domains(args)
    if args.name is None:
        opdefs = [opdef for domain in domains for opdef in domain]
        if args.json:
            out_json({domain.name: [operator_manifest(o) for o in domain] for domain in domains})
        elif args.markdown:
            out("\n".join(map(operator_markdown, opdefs)))
        else:
            for line in table((opdef.op, opdef.summary) for opdef in opdefs):
                out(line)
        return Exit.OK
    opdef = _find(args.name, domains)
    if args.json:
        out_json(operator_manifest(opdef))
    elif args.markdown:
        out(operator_markdown(opdef).rstrip("\n"))
    else:
        out("\n".join(_lines(opdef)))
    return Exit.OK


def _domains(args: argparse.Namespace) -> list[registry.Domain]:
    """All operator sets that load; one that does not is only worth a line."""
    names = dict.fromkeys((*registry.BUILTIN_DOMAINS, *plugins.names("ops")))
    found = []
    for name in names:
        try:
            domain = registry.domain(name)
        except PluginError as error:
            if args.name is not None and args.name.startswith(f"{name}."):
                raise
            for finding in error.diagnostics:
                note(args, shown(str(finding)))
            continue
        if domain is not None:
            found.append(domain)
    return found


def _find(name: str, domains: list[registry.Domain]) -> OpDef:
    """The operator of that name, with or without its domain.

    Raises:
        ModelError: If there is none, or several.
    """
    opdefs = [opdef for domain in domains for opdef in domain]
    wanted = name.lower()
    matches = [opdef for opdef in opdefs if wanted in (opdef.op.lower(), opdef.name.lower())]
    if len(matches) == 1:
        return matches[0]
    if matches:
        allowed = ", ".join(opdef.op for opdef in matches)
        hint = "Name the domain, too."
    else:
        known = {text.lower(): opdef.op for opdef in opdefs for text in (opdef.op, opdef.name)}
        close = difflib.get_close_matches(wanted, known, n=5)
        allowed = ", ".join(dict.fromkeys(known[text] for text in close)) or "an operator"
        hint = ""
    raise ModelError(Diagnostic("op.unknown", "operators", f"'{name}'", allowed, hint))


def _lines(opdef: OpDef) -> Iterator[str]:
    """An operator's documentation for a terminal."""
    yield f"{opdef.op}, since version {opdef.since_version} of '{opdef.domain}'"
    yield ""
    yield from _wrapped(opdef.summary)
    yield from _wrapped(f"Timing: {opdef.flow.value}.")
    yield from _section(
        "Inputs", ((p.name, f"{p.dtype.label}, {p.arity.value}", p.doc) for p in opdef.inputs)
    )
    yield from _section("Outputs", ((p.name, p.dtype.label, p.doc) for p in opdef.outputs))
    yield from _section("Attributes", ((a.name, _attribute(a), a.doc) for a in opdef.attributes))
    yield from _section(
        "Attributes of every operator", ((a.name, _attribute(a), a.doc) for a in COMMON_ATTRIBUTES)
    )
    yield from _section("Parameters", ((p.name, _parameter(p), p.doc) for p in opdef.parameters))
    yield from _section(
        "State",
        ((s.name, f"initially {s.initial}{_unit(s.unit)}", s.doc) for s in opdef.state),
    )
    yield ""
    yield "Formula"
    for statement in opdef.formula.splitlines():
        yield from _wrapped(statement, _INDENT, _INDENT * 3)
    if opdef.notes:
        yield ""
        yield "Notes"
        yield from _wrapped(opdef.notes, _INDENT)
    if opdef.references:
        yield ""
        yield "References"
        for reference in opdef.references:
            yield from _wrapped(reference, _INDENT, _INDENT * 3)


def _wrapped(text: str, first: str = "", rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _section(title: str, entries: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    for position, (name, facts, doc) in enumerate(entries):
        if not position:
            yield ""
            yield title
        yield f"{_INDENT}{name}: {facts}"
        yield from _wrapped(doc, _INDENT * 3)


def _unit(unit: str) -> str:
    return f" [{unit}]" if unit else ""


def _default(item: Attribute | Parameter) -> str:
    if item.required:
        return "required"
    return "optional" if item.default is None else f"default {format_attribute(item.default)}"


def _attribute(attribute: Attribute) -> str:
    facts = [attribute.kind, _default(attribute)]
    if attribute.choices:
        facts.append("one of " + ", ".join(map(format_attribute, attribute.choices)))
    elif (allowed := attribute.range_text()) != "any":
        facts.append(f"each {allowed}" if attribute.kind == "ints" else allowed)
    return ", ".join(facts) + _unit(attribute.unit)


def _parameter(parameter: Parameter) -> str:
    kind = "float" if parameter.dtypes[0].is_float else "integer"
    shape = "any shape that broadcasts" if parameter.shape == "feature" else parameter.shape
    facts = [f"{kind}, {shape}", _default(parameter)]
    if (parameter.minimum, parameter.maximum) != (None, None):
        facts.append(parameter.range_text())
    return ", ".join(facts) + _unit(parameter.unit)
