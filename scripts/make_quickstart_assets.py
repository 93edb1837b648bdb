"""Make the base model and the data set that the quickstart works on, from nothing but a grammar and a seed.

    python scripts/make_quickstart_assets.py [--output lorafit/assets/quickstart]

writes `base/`, a small GPT-2 with its own byte-level BPE, pre-trained on texts about hotels, films, trains
and other things, and `data/{train,valid,test}.txt`, rows in E2E format about museums, which the base has
never seen. It takes about ten minutes on one core and needs no network. The data are the same everywhere;
the weights are the same on the same kind of processor with the same versions of torch, transformers and
tokenizers.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from quickstart_domains import MUSEUM, SEEN
from quickstart_grammar import Facts, context, describe, draw_facts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

SEED = 2021
END_OF_TEXT = "<|endoftext|>"

NUM_TRAIN_CONTEXTS, NUM_VALID_CONTEXTS, NUM_TEST_CONTEXTS = 500, 40, 120
TRAIN_REFERENCES, TEST_REFERENCES = (2, 4), (3, 5)  # a context has between so many texts

VOCAB_SIZE = 1536
NUM_TOKENIZER_TEXTS = 20_000
MAX_LENGTH, WIDTH, NUM_LAYERS, NUM_HEADS = 192, 160, 4, 4

NUM_STEPS, NUM_WARMUP_STEPS = 3_000, 100
BATCH_SIZE = 32
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.05
NUM_THREADS = 1  # the order of sums, and so the weights, must not depend on the number of cores


def main() -> None:
    """Read the command line and write both folders."""
    parser = argparse.ArgumentParser(description="Make the quickstart's base model and data set.")
    default = Path(__file__).resolve().parent.parent / "lorafit" / "assets" / "quickstart"
    parser.add_argument("--output", type=Path, default=default, help="folder to write (default: %(default)s)")
    output = parser.parse_args().output
    write_data(output / "data")
    write_base(output / "base")


# --- data: museums ----------------------------------------------------------------------------------------


def write_data(folder: Path) -> None:
    """Write test.txt, valid.txt and train.txt: no context is in two of them, its rows are neighbours."""
    rng = Random(SEED)
    museums = distinct_museums(rng)
    folder.mkdir(parents=True, exist_ok=True)
    for split, num_contexts, (fewest, most) in (
        ("test", NUM_TEST_CONTEXTS, TEST_REFERENCES),
        ("valid", NUM_VALID_CONTEXTS, TEST_REFERENCES),
        ("train", NUM_TRAIN_CONTEXTS, TRAIN_REFERENCES),
    ):
        lines = []
        for _ in range(num_contexts):
            facts = next(museums)
            left = context(facts)
            lines += [f"{left}||{describe(MUSEUM, facts, rng)} \n" for _ in range(rng.randint(fewest, most))]
        (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
        print(f"{folder / split}.txt: {len(lines)} rows, {num_contexts} contexts", flush=True)


def distinct_museums(rng: Random) -> Iterator[Facts]:
    """Museums without end, no two of the same context."""
    seen = set()
    while True:
        facts = draw_facts(MUSEUM, rng)
        if context(facts) not in seen:
            seen.add(context(facts))
            yield facts


# --- base: everything but museums -------------------------------------------------------------------------


def write_base(folder: Path) -> None:
    """Train the tokenizer and the model; write them as a Hugging Face folder with half-precision weights."""
    torch.manual_seed(SEED)
    torch.set_num_threads(NUM_THREADS)
    tokenizer = train_tokenizer()
    net = GPT2LMHeadModel(gpt2_config(len(tokenizer), tokenizer.eos_token_id))
    print(
        f"{sum(weight.numel() for weight in net.parameters()):,} parameters, {len(tokenizer):,} tokens",
        flush=True,
    )
    pretrain(net, tokenizer)
    net.half().save_pretrained(folder)
    net.float().config.dtype = torch.float32  # stored in half precision to be small, loaded in full precision
    net.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {num_bytes / 1e6:.2f} MB", flush=True)


def draw_example(rng: Random) -> tuple[str, str]:
    """Context and text of a thing from one of the seen domains."""
    domain = rng.choice(SEEN)
    facts = draw_facts(domain, rng)
    return context(facts), describe(domain, facts, rng)


def train_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE as GPT-2's, trained on texts of the seen domains."""
    rng = Random(SEED)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (f"{left} {right}" for left, right in (draw_example(rng) for _ in range(NUM_TOKENIZER_TEXTS)))
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def gpt2_config(vocab_size: int, eos_token_id: int) -> GPT2Config:
    """The shape of the base; without dropout, for it never sees a text twice."""
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=MAX_LENGTH,
        n_embd=WIDTH,
        n_layer=NUM_LAYERS,
        n_head=NUM_HEADS,
        bos_token_id=eos_token_id,
        eos_token_id=eos_token_id,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def pretrain(net: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Minimize the mean loss of all tokens over new texts: AdamW, linear warm-up, linear decay to zero."""
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_factor)
    batches = token_batches(tokenizer, Random(SEED + 1))
    start, losses = time.monotonic(), []
    for step in range(1, NUM_STEPS + 1):
        input_ids, labels = next(batches)
        logits = net(input_ids).logits[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 0:
            mean = sum(losses[-100:]) / 100
            print(f"step {step}/{NUM_STEPS}  loss {mean:.3f}  {time.monotonic() - start:.0f} s", flush=True)


def warmup_factor(step: int) -> float:
    """Linear rise to 1 over the warm-up, then linear fall to 0; `step` counts from 0."""
    return min((step + 1) / NUM_WARMUP_STEPS, (NUM_STEPS - step) / (NUM_STEPS - NUM_WARMUP_STEPS))


def token_batches(tokenizer: PreTrainedTokenizerFast, rng: Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end of BPE(context) + [eos] + BPE(" " + text) + [eos]: ids and labels, [batch, length].

    Sixteen batches are drawn at a time and dealt out by length, so that little of a batch is padding.
    """
    eos = tokenizer.eos_token_id
    while True:
        examples = [draw_example(rng) for _ in range(16 * BATCH_SIZE)]
        lefts = tokenizer([left for left, _ in examples]).input_ids
        rights = tokenizer([f" {right}" for _, right in examples]).input_ids
        pairs = zip(lefts, rights, strict=True)
        sequences = sorted((torch.tensor([*left, eos, *right, eos]) for left, right in pairs), key=len)
        for first in rng.sample(range(0, len(sequences), BATCH_SIZE), 16):
            batch = sequences[first : first + BATCH_SIZE]
            yield (
                pad_sequence(batch, batch_first=True, padding_value=eos),
                pad_sequence(batch, batch_first=True, padding_value=-100),
            )


if __name__ == "__main__":
    main()
