"""nano's tokenizer and processor: a small byte-level BPE learnt from scenes' texts."""

from collections.abc import Iterable

from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Idefics3ImageProcessor, Idefics3Processor, PreTrainedTokenizerFast

from nano.build import CONTEXT, IMAGE_TOKENS, MEAN, SIDE, STD

END = "<end_of_utterance>"
# The system message is left out: nano does one task and was trained on the image and the user's text alone.
CHAT_TEMPLATE = (
    "{%- for message in messages if message['role'] != 'system' -%}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '<image>' }}"
    "{%- elif part['type'] == 'text' -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{ '<end_of_utterance>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
_SPECIAL = ["<pad>", END, "<|user|>", "<|assistant|>", "<image>", "<fake_token_around_image>", "<global-img>"]


def train_tokenizer(texts: Iterable[str], vocabulary: int = 1536) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE: every text can be encoded, the scenes' words in few tokens.

    "true" and "false" become whole tokens, so that P(defective) is read off one step.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=_SPECIAL[0],
        eos_token=END,
        additional_special_tokens=_SPECIAL[2:],
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def new_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """The processor: pictures are squared to 128 × 128 pixels, texts follow nano's chat template."""
    images = Idefics3ImageProcessor(
        do_image_splitting=False,
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        resample=Image.Resampling.BILINEAR,
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return Idefics3Processor(images, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)
