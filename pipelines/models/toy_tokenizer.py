"""A tokenizer small enough for toy models: real, fast, built in memory, no files and no network.

Byte-level BPE without a single merge: one id for each of the 256 bytes, so any text goes in and comes back unchanged,
and the chat format's special pieces. Ids are fixed for good (saved toy models and tests rely on them):

    0 <|pad|>   1 <|im_start|>   2 <|im_end|>   3 <|boi|>   4 <|look|>   5..260 the bytes, in the order of
    `tokenizers.pre_tokenizers.ByteLevel.alphabet()` sorted by character
"""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL_PIECES = ("<|pad|>", "<|im_start|>", "<|im_end|>", "<|boi|>", "<|look|>")
"""In the order of their ids."""

PAD_ID, START_ID, EOT_ID, BOI_ID, IMAGE_PLACEHOLDER_ID = range(len(SPECIAL_PIECES))

TOY_VOCAB = len(SPECIAL_PIECES) + 256
"""Ids of the toy tokenizer: also `text_vocab` of the toy models."""


def toy_tokenizer() -> PreTrainedTokenizerFast:
    """The toy tokenizer: 261 ids, padding on the right, `<|im_end|>` ends a turn."""
    pieces = [*SPECIAL_PIECES, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in SPECIAL_PIECES])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        extra_special_tokens=["<|boi|>", "<|look|>"],
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
