"""Several adapters on one net: members of a family share the base and have modules of their own where they train.

Either one member's modules stand in the net, which is then the net of that member alone; or at each of these places
stands a `SharedPlace`, which leads every member's stretch of a row through its own module. Frozen products see one
long row then.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lorafit.lora.draws import Draws, draw_from
from lorafit.lora.fused import has_plain_data, lora_linear_of_stretches
from lorafit.lora.linear import Linear, LoRALinear, MergedLinear


@dataclass
class Shares:
    """How much of the row in progress belongs to each member, in the members' order: examples and their tokens."""

    examples: Sequence[int] = ()
    tokens: Sequence[int] = ()

    def sizes(self, x: Tensor) -> tuple[int, list[int]]:
        """The dimension along which the members lie in x, and how many places each has there.

        x is [1, T, ...] for T tokens in all, or [n, ...] or [T, ...] for n examples.
        """
        dim = 1 if x.shape[0] == 1 and sum(self.examples) > 1 else 0
        for counts in (self.tokens, self.examples):
            if x.shape[dim] == sum(counts):
                return dim, list(counts)
        raise ValueError(
            f"a tensor of shape {list(x.shape)} has not the shares {self.tokens} or {self.examples}"
        )

    def split(self, x: Tensor) -> list[tuple[int, Tensor]]:
        """Each member that has a share, with its stretch of x; x itself where it belongs to one alone."""
        present = [i for i, count in enumerate(self.examples) if count]
        if len(present) == 1:
            return [(present[0], x)]
        dim, sizes = self.sizes(x)
        return [(i, part) for i, part in enumerate(x.split(sizes, dim)) if sizes[i]]

    def join(self, parts: Sequence[Tensor], x: Tensor) -> Tensor:
        """What became of the stretches of x, as one tensor again."""
        return parts[0] if len(parts) == 1 else torch.cat(list(parts), self.sizes(x)[0])


class MemberDraws(Draws):
    """The draws of all members: each stretch of a row is drawn from its own member's generators.

    `alone`: the member whose modules stand in the net by themselves; everything is drawn from its generators then.
    """

    def __init__(self, shares: Shares) -> None:
        super().__init__(seed=0)
        self.shares, self.members = shares, list[Draws]()
        self.alone: int | None = None

    def of_member(self, member: int) -> Draws:
        """That member's own."""
        return self.members[member]

    def keep_mask(self, x: Tensor, p: float) -> Tensor:
        """See DropoutSource."""
        if self.alone is not None:
            return self.members[self.alone].keep_mask(x, p)
        masks = [self.members[i].keep_mask(part, p) for i, part in self.shares.split(x)]
        return self.shares.join(masks, x)

    def integer(self, low: int, high: int) -> int:
        """That of the member which is alone. ValueError for several: it would be one number for all of them."""
        if self.alone is None:
            raise ValueError("members that are trained together cannot share a drawn number")
        return self.members[self.alone].integer(low, high)

    def state(self) -> dict[str, Tensor]:
        """Where each member's generators are."""
        return {f"{i} {k}": s for i, draws in enumerate(self.members) for k, s in draws.state().items()}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Put every member's generators where `state()` found them."""
        for i, draws in enumerate(self.members):
            own = {key.partition(" ")[2]: s for key, s in state.items() if key.partition(" ")[0] == str(i)}
            draws.set_state(own)


class SharedPlace(nn.Module):
    """A place of the net at which members have modules of their own: each gets its stretch of the row.

    Modules that add a LoRA update to one linear layer take its product for all of them at once; merged, they cannot.
    """

    def __init__(self, modules: Sequence[nn.Module], shares: Shares) -> None:
        super().__init__()
        self.of_members, self.shares = nn.ModuleList(modules), shares
        self.layers = {i: m for i, m in enumerate(modules) if isinstance(m, LoRALinear) and _is_plain(m)}
        bases = {layer.base for layer in self.layers.values()}
        others = {m for i, m in enumerate(modules) if i not in self.layers}
        self.is_one_product = len(bases) == 1 and others <= bases

    def forward(self, x: Tensor) -> Tensor:
        """x [1, T, ...] or [n, ...], as the modules take it -> what they give, in the same order."""
        stretches = self.shares.split(x)
        updates, start = [], 0
        for i, part in stretches if self.is_one_product else ():
            rows = slice(start, start + part.numel() // part.shape[-1])
            start = rows.stop
            if i in self.layers:
                updates.append(self.layers[i].stretch(rows))
        if updates and not any(layer.merged for layer in self.layers.values()):
            layer = next(iter(self.layers.values()))
            if has_plain_data(x, layer.weight):
                return lora_linear_of_stretches(x, (layer.weight, layer.bias), updates)
        return self.shares.join([self.of_members[i](part) for i, part in stretches], x)


class Members:
    """What each member of a family has of its own in one net, by the names of the modules that it replaces."""

    def __init__(self, net: nn.Module, backbone: nn.Module) -> None:
        """`backbone` is the module that is called with a `packed_row`, or a `layout`, of several members."""
        self.net, self.shares = net, Shares()
        self.draws = MemberDraws(self.shares)
        draw_from(net, self.draws)
        self._base: dict[str, nn.Module] = dict(net.named_modules())
        self._parameters = {module: dict(module._parameters) for module in self._base.values()}
        self._parents = {name: _parents(net, module) for name, module in self._base.items()}
        self._own: list[dict[str, nn.Module]] = []
        self._shared: dict[str, nn.Module] | None = None
        self._in_place: dict[str, nn.Module] = {}
        backbone.register_forward_pre_hook(partial(_note_shares, self.shares), with_kwargs=True)

    def __len__(self) -> int:
        return len(self._own)

    def add(self, draws: Draws) -> int:
        """Take over the modules that were put into the net, and copies of those others of which something trains.

        Returns the member's number; the net is the bare base again, and nothing of it trains.
        """
        now = dict(self.net.named_modules())
        own: dict[str, nn.Module] = {}
        for name, module in self._base.items():
            if now.get(name) is not module and not _inside(name, own):
                own[name] = now[name]
            elif any(p.requires_grad for p in module.parameters(recurse=False)):
                own[name] = copy.copy(module)
        of_base = {
            p for parameters in self._parameters.values() for p in parameters.values() if p is not None
        }
        copies: dict[nn.Parameter, nn.Parameter] = {}
        for module in itertools.chain.from_iterable(top.modules() for top in own.values()):
            vars(module)["draws"] = draws
            if module not in self._parameters:
                _own_parameters(module, of_base, copies)
        self._own.append(own)
        self.draws.members.append(draws)
        self._shared = None
        self._in_place = {name: now[name] for name in own}
        self._put({})
        for module, parameters in self._parameters.items():
            module._parameters.update(parameters)  # untied ones are the member's
        self.net.requires_grad_(False)
        return len(self._own) - 1

    @contextmanager
    def alone(self, member: int) -> Iterator[None]:
        """Inside the block the net is that of this member, as if it were alone."""
        before, self.draws.alone = (self._in_place, self.draws.alone), member
        self._put(self._own[member])
        try:
            yield
        finally:
            self._put(before[0])
            self.draws.alone = before[1]

    @contextmanager
    def together(self, members: Sequence[int] | None = None) -> Iterator[None]:
        """Inside the block the net takes rows with stretches of all members, or of these alone, in their order."""
        if members is not None:
            shared = self._shared_by([self._own[i] for i in members])
        elif self._shared is None:
            shared = self._shared = self._shared_by(self._own)
        else:
            shared = self._shared
        before = self._in_place
        self._put(shared)
        try:
            yield
        finally:
            self._put(before)

    def _shared_by(self, members: Sequence[Mapping[str, nn.Module]]) -> dict[str, nn.Module]:
        """A place for every module that one of them replaces."""
        names = dict.fromkeys(itertools.chain.from_iterable(members))
        modules = {name: [own.get(name, self._base[name]) for own in members] for name in names}
        return {name: SharedPlace(each, self.shares) for name, each in modules.items()}

    def _put(self, modules: Mapping[str, nn.Module]) -> None:
        """Let these stand at their places, and the base's own at all others."""
        for name in self._in_place.keys() | modules.keys():
            for parent, child in self._parents[name]:
                parent._modules[child] = modules.get(name, self._base[name])
        self._in_place = dict(modules)


def _is_plain(layer: LoRALinear) -> bool:
    """Whether it is W x and an update, as its class has it: a layer derived from it may compute something else."""
    return type(layer) in (Linear, MergedLinear) and layer.has_adapter


def _own_parameters(
    module: nn.Module, of_base: Set[nn.Parameter], copies: dict[nn.Parameter, nn.Parameter]
) -> None:
    """Let a module of one member have copies of the base's parameters that train, and of all vectors beside them: those
    of a norm stay in one format. Frozen matrices are shared; `copies` are those made so far, for tied parameters."""
    given = [p for p in module._parameters.values() if p is not None and p in of_base]
    if any(p.requires_grad for p in given):
        for p in given:
            if p not in copies and (p.requires_grad or p.ndim < 2):
                copies[p] = nn.Parameter(p.detach().clone(), p.requires_grad)
    module._parameters = {n: p if p is None else copies.get(p, p) for n, p in module._parameters.items()}


def _parents(net: nn.Module, module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Everywhere that the net holds the module."""
    return [(p, name) for p in net.modules() for name, child in p._modules.items() if child is module]


def _inside(name: str, places: Mapping[str, nn.Module]) -> bool:
    return any(name.startswith(f"{place}.") for place in places)


def _note_shares(shares: Shares, _net: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
    row = kwargs.get("layout", kwargs.get("packed_row"))
    if row is not None and row.counts:
        shares.examples, shares.tokens = row.counts, row.token_counts
