"""Targets that mean exactly what a foreign adapter adapts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from lorafit import lora
from lorafit.models import Family, Model

Part = tuple[str, int]
"""A module's name, and the number of a slice of its output."""


def exact_targets(wanted: Mapping[str, tuple[bool, ...]], shape: Model) -> tuple[str, ...] | None:
    """Logical names where every block has them, else patterns or names of modules, or slices in single blocks.

    `wanted`: by module name, which parts of its output are adapted. None where there are no such targets.
    """
    family, net = shape.family, shape.net
    parts = {(name, i) for name, enabled in wanted.items() for i, on in enumerate(enabled) if on}
    rest, targets = set(parts), list[str]()
    for target in family.places:
        meant = {
            (site.name, i)
            for site in family.sites(net, [target])
            for i, on in enumerate(site.enabled)
            if on and len(wanted.get(site.name, ())) == len(site.enabled)
        }
        if len(meant) == family.num_blocks(net) and meant <= parts:
            targets.append(target)
            rest -= meant
    targets += _slices(family, shape, {part for part in rest if len(wanted[part[0]]) > 1})
    names = [name for name, enabled in wanted.items() if len(enabled) == 1 and (name, 0) in rest]
    patterns = dict.fromkeys(re.sub(r"\d+", "*", name) for name in names)
    is_whole = all(set(lora.find(net, [pattern])) <= set(names) for pattern in patterns)
    targets += patterns if is_whole else names
    found = {site.name: site.enabled for site in family.sites(net, targets)}
    return tuple(targets) if found == wanted else None


def exact_parameters(names: Collection[str], shape: Model) -> tuple[str, ...]:
    """Patterns of parameter names where they mean no other parameter, else the names."""
    every = [name for name, _ in shape.net.named_parameters(remove_duplicate=False)]
    patterns = {name: re.sub(r"\d+", "*", name) for name in names}
    too_wide = {
        pattern
        for pattern in patterns.values()
        if any(lora.matches(name, pattern) and name not in names for name in every)
    }
    return tuple(
        dict.fromkeys(name if pattern in too_wide else pattern for name, pattern in patterns.items())
    )


def _slices(family: Family, shape: Model, parts: set[Part]) -> Iterator[str]:
    """`transformer.h.3.query` for each slice in a block."""
    prefix = family.block_prefix(shape.net)
    for i in range(family.num_blocks(shape.net)):
        for target, place in family.places.items():
            if (f"{prefix}.{i}.{place.module}", place.slice) in parts:
                yield f"{prefix}.{i}.{target}"
