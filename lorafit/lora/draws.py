"""Random numbers that belong to one run: none of them comes from torch's global generators."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lorafit.lora.dropout import Dropout, keep_mask
from lorafit.lora.graph_draws import keep_mask_in_graph


class Draws:
    """Every random number that a run draws, from its seed alone.

    Two streams. `init()`: the values that training begins with, the same in every process. All others: what is drawn
    while training (dropout, random depth), a stream of its own for each `rank` (process) and each kind of device.
    """

    handle: Tensor | None = None  # stands for these in compiled graphs, where there are some

    def __init__(self, seed: int, rank: int = 0) -> None:
        self.seed, self.rank = seed, rank
        self._generators: dict[str, torch.Generator] = {}

    def init(self) -> torch.Generator:
        """A generator for initial values, at its start; on the CPU, so that values do not depend on the device."""
        return torch.Generator().manual_seed(self.seed)

    def generator(self, device: torch.device) -> torch.Generator:
        """The generator of what is drawn on this device while training, made when first asked for."""
        if device.type not in self._generators:
            digest = hashlib.sha256(f"training {self.seed} {self.rank}".encode()).digest()
            seed = int.from_bytes(digest[:4], "little")  # torch's generator for CPUs takes 32 bits
            self._generators[device.type] = torch.Generator(device).manual_seed(seed)
        return self._generators[device.type]

    def keep_mask(self, x: Tensor, p: float) -> Tensor:
        """Which elements of x dropout keeps (see DropoutSource)."""
        if torch.compiler.is_compiling() and self.handle is not None:
            mask: Tensor = keep_mask_in_graph(self.handle, x.shape, p, x.device)
            return mask
        return keep_mask(x, p, self.generator(x.device))

    def of_member(self, _member: int) -> Draws:
        """These: a run alone has one member."""
        return self

    def integer(self, low: int, high: int) -> int:
        """A number from low .. high - 1, each as likely."""
        return int(torch.randint(low, high, (), generator=self.generator(torch.device("cpu"))))

    def state(self) -> dict[str, Tensor]:
        """Where each generator is, by kind of device."""
        return {kind: generator.get_state() for kind, generator in self._generators.items()}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Put every generator where `state()` found it; those of devices that are not here are left out."""
        here = {kind: s for kind, s in state.items() if torch.get_device_module(kind).is_available()}
        # One that `state` does not know had not been made then: it begins anew.
        self._generators = {kind: g for kind, g in self._generators.items() if kind in here}
        for kind, position in here.items():
            self.generator(torch.device(kind)).set_state(position)


def draw_from(net: nn.Module, draws: Draws) -> None:
    """Let everything in `net` that draws while training draw from `draws`, as its attribute of that name.

    Every nn.Dropout becomes a Dropout. Every module is told, since it cannot be seen from outside which of them draw:
    an attention module has its dropout inside a function.
    """
    for module in list(net.modules()):
        for name, child in list(module._modules.items()):
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
    for module in net.modules():
        vars(module)["draws"] = draws  # nn.Module would have a tensor or a module here
