"""What targets leave out of what their words promise: matrices that are no linear layers, blocks without a match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from lorafit import lora
from lorafit.models.families.words import ALL_LINEAR, USUAL_NAMES

_OF_ONE_BLOCK = re.compile(r"[\d\[\]!*?-]*\d[\d\[\]!*?-]*")  # a part of a pattern that picks blocks by number


@dataclass(frozen=True)
class Matrices:
    """Parameters of the blocks, by name, that multiply and lie in no module that a LoRA layer can stand in for."""

    parameters: Mapping[str, nn.Parameter]
    prefix: str
    num_total: int  # values of the whole net

    @staticmethod
    def of(net: nn.Module, prefix: str) -> Matrices:
        """Those of all blocks. `prefix`: the dotted name of the list of blocks, "" where it is not known.

        Experts that lie in one parameter [experts, in, out], routers, and linear layers of other classes. A bias is no
        matrix, nor is what has but one dimension longer than 1.
        """
        inside = f"{prefix}." if prefix else ""
        adaptable = {id(p) for module in lora.adaptable(net).values() for p in module.parameters()}
        found = {
            name: parameter
            for name, parameter in net.named_parameters()
            if name.startswith(inside)
            and id(parameter) not in adaptable
            and sum(size > 1 for size in parameter.shape) > 1
            and not name.endswith("bias")
        }
        return Matrices(found, prefix, sum(p.numel() for p in net.parameters()))

    def meant_by(self, target: str) -> Matrices:
        """Those that a target means by its words."""
        found = {name: p for name, p in self.parameters.items() if _means(target, name)}
        return Matrices(found, self.prefix, self.num_total)

    def __bool__(self) -> bool:
        return bool(self.parameters)

    def __str__(self) -> str:
        """`mlp.experts.down_proj, mlp.gate.weight (2,147,483,648 parameters, 93 % of the base)`"""
        names = ", ".join(dict.fromkeys(in_any_block(name, self.prefix) for name in self.parameters))
        count = sum(p.numel() for p in self.parameters.values())
        return f"{names} ({count:,} parameters, {100 * count / self.num_total:.2g} % of the base)"


def in_any_block(name: str, prefix: str) -> str:
    """A name without its block: `model.layers.3.mlp.gate` -> `mlp.gate`; other numbers as `*`."""
    inside = re.sub(rf"^{re.escape(prefix)}\.\d+\.", "", name) if prefix else name
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", inside)


def uneven(
    matched: Mapping[str, Sequence[str]], linear: Sequence[str], prefix: str, num_blocks: int
) -> Iterator[str]:
    """A note for each target that matches in some blocks only and does not say so itself.

    `matched`: the modules that each target adapts; `linear`: the names of all that could be adapted.
    """
    adapted = {name for names in matched.values() for name in names}
    for target, names in matched.items():
        here = {block for name in names if (block := _block_of(name, prefix)) is not None}
        missing = [i for i in range(num_blocks) if i not in here]
        picks = any(_OF_ONE_BLOCK.fullmatch(part) for part in target.split(".")[:-1])
        if not here or not missing or picks:
            continue
        leaves = {name.rpartition(".")[2] for name in names}
        alike = [n for n in linear if n.rpartition(".")[2] in leaves and _block_of(n, prefix) in missing]
        if {_block_of(name, prefix) for name in alike if name in adapted} == set(missing):
            continue  # another target adapts it there, under the other name
        others = dict.fromkeys(in_any_block(name, prefix) for name in alike if name not in adapted)
        has = f", which {'has' if len(missing) == 1 else 'have'} {', '.join(others)}" if others else ""
        yield (
            f"targets: {target!r} matches in {len(here)} of {num_blocks} blocks, not in {_numbers(missing)}{has}"
        )


def _numbers(blocks: Sequence[int]) -> str:
    """`block 0`, or `blocks 0, 1, 2, 4, ...`"""
    shown = ", ".join(map(str, blocks[:4])) + (", ..." if len(blocks) > 4 else "")
    return f"block{'s' if len(blocks) > 1 else ''} {shown}"


def _block_of(name: str, prefix: str) -> int | None:
    match = re.match(rf"{re.escape(prefix)}\.(\d+)\.", name) if prefix else None
    return int(match[1]) if match is not None else None


def _means(target: str, name: str) -> bool:
    """Whether a target's words mean a parameter, as if it were a module: `up_proj` means `mlp.experts.gate_up_proj`."""
    if target == ALL_LINEAR:
        return True
    module = name.removesuffix(".weight")
    return any(_pattern_means(pattern, module) for pattern in USUAL_NAMES.get(target, (target,)))


def _pattern_means(pattern: str, module: str) -> bool:
    if lora.matches(module, pattern):
        return True
    above, _, word = pattern.rpartition(".")
    parts = module.split(".")
    parents = [".".join(parts[:i]) for i in range(1, len(parts))]
    is_there = not above or any(lora.matches(parent, above) for parent in parents)
    words = set(word.split("_"))
    return is_there and len(words) > 1 and words <= set(parts[-1].split("_"))
