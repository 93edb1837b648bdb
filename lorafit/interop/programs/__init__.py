"""Programs that serve adapters, one file each. To add one: write its file, and its value into PROGRAMS."""

from lorafit.interop.programs.base import Program
from lorafit.interop.programs.llama_cpp import LlamaCpp
from lorafit.interop.programs.peft import Peft
from lorafit.interop.programs.transformers import Transformers
from lorafit.interop.programs.vllm import Vllm

PROGRAMS: dict[str, Program] = {
    program.name: program for program in (Vllm(), LlamaCpp(), Peft(), Transformers())
}

__all__ = ["PROGRAMS", "Program"]
