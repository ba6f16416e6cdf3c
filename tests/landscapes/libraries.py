"""Networks of timm, transformers and torchvision, as small as they can be configured: nothing is
downloaded.

Each is a factory with its examples: pictures 3×16×16 in three classes, or sequences of codes, each
with its class or at each place with the code that comes next.
"""

import importlib
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdtheory.data.examples import Examples
from sgdtheory.data.images import Images
from sgdtheory.rng import stream
from tests.landscapes.strangers import Factory

CODES = 11  # of a vocabulary
LENGTH = 7  # of a sequence
SIZE = 16  # of a picture
Settings: TypeAlias = dict[str, Any]


@cache
def pictures() -> Images:
    """Random pictures in three classes."""
    drawn = torch.randint(256, (40, 3, SIZE, SIZE), generator=stream(0, "pictures"))
    pixels, classes = drawn.to(torch.uint8), torch.arange(40) % 3
    return Images(pixels[:28], classes[:28], pixels[28:], classes[28:], 3, "pictures")


@cache
def codes(next_ones: bool) -> Examples:
    drawn = torch.randint(CODES, (40, LENGTH + 1), generator=stream(0, "codes"))
    inputs = drawn[:, :-1].to(torch.uint8)
    targets = drawn[:, 1:].contiguous() if next_ones else torch.arange(40) % 3
    outputs = CODES if next_ones else 3
    return Examples(inputs[:28], targets[:28], inputs[28:], targets[28:], outputs, "codes")


class Case(NamedTuple):
    factory: Factory
    data: Examples


def of_timm(name: str, **settings: Any) -> Case:
    """A model by its name."""

    def build(classes: int) -> nn.Module:
        import timm

        made: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, **settings)
        return made

    return Case(build, pictures())


def of_class(module: str, name: str, **settings: Any) -> Case:
    """A model by its class."""

    def build(classes: int) -> nn.Module:
        kind = getattr(importlib.import_module(module), name)
        made: nn.Module = kind(num_classes=classes, **settings)
        return made

    return Case(build, pictures())


def of_stages(name: str, stages: list[list[str]], act: type[nn.Module]) -> Case:
    """A mobile network of timm from the strings that such are described by."""

    def build(classes: int) -> nn.Module:
        from timm import models
        from timm.models._efficientnet_builder import decode_arch_def

        kind = getattr(models, name)
        made: nn.Module = kind(
            decode_arch_def(stages), num_classes=classes, num_features=24, stem_size=8,
            act_layer=act, drop_rate=0.2, drop_path_rate=0.2,
        )  # fmt: skip
        return made

    return Case(build, pictures())


def of_transformers(model: str, data: Examples, settings: Settings, **more: Any) -> Case:
    """A model by the names of its class; its configuration has that of the family."""

    def build() -> nn.Module:
        import transformers

        kind = getattr(transformers, model)
        made: nn.Module = kind(kind.config_class(**settings, **more))
        return made

    return Case(build, data)


class PaddingByHand(nn.Module):
    """A padding code given to the function: torch keeps its row for the first of several points."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.randn(CODES, 8)), nn.Linear(8, 3)

    def forward(self, codes: Tensor) -> Tensor:
        rows = F.embedding(codes, self.weight, padding_idx=0)
        return self.head(rows.mean(1).tanh())  # type: ignore[no-any-return]


VIT = {"img_size": SIZE, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
# transformers' names, which families share
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
TEXT = {"vocab_size": CODES, "intermediate_size": 24, "max_position_embeddings": 32} | SMALL
DECODER = TEXT | NO_ENDS | {"num_key_value_heads": 1}
READER = TEXT | {"num_labels": 3, "pad_token_id": 0}
GPT2 = {"vocab_size": CODES, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2} | NO_ENDS
T5 = {"vocab_size": CODES, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
SEEING = SMALL | {"intermediate_size": 24, "image_size": SIZE, "patch_size": 8, "num_labels": 3}
SWIN = {"patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2)}
STAGES = {"hidden_sizes": (8, 16), "depths": (1, 1), "num_labels": 3}
CLASSES, NEXT = codes(next_ones=False), codes(next_ones=True)

RIGHT: dict[str, Case] = {
    "timm_vit": of_timm("vit_tiny_patch16_224", **VIT),
    "timm_vit_dropping": of_timm(
        "vit_tiny_patch16_224", **VIT, drop_path_rate=0.2, proj_drop_rate=0.1
    ),
    "timm_deit": of_timm("deit_tiny_distilled_patch16_224", **VIT),
    "timm_eva": of_timm("eva02_tiny_patch14_224", **VIT),  # rotary
    "timm_beit": of_timm("beit_base_patch16_224", **VIT),  # relative positions
    "timm_cait": of_timm("cait_xxs24_224", **VIT),  # talking heads
    "timm_swin": of_timm("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN),
    "timm_mixer": of_class(
        "timm.models.mlp_mixer", "MlpMixer",
        img_size=SIZE, patch_size=8, embed_dim=16, num_blocks=2,
    ),
    "timm_convnext": of_class(
        "timm.models.convnext", "ConvNeXt", patch_size=1, depths=(1,) * 4, dims=(4, 4, 8, 8)
    ),
    "timm_convnext2": of_class(
        "timm.models.convnext", "ConvNeXt",
        patch_size=1, depths=(1,) * 4, dims=(4, 4, 8, 8), use_grn=True, conv_mlp=True,
    ),
    "timm_metaformer": of_class("timm.models.metaformer", "MetaFormer", depths=(1, 1), dims=(8, 16)),
    "timm_efficientnet": of_stages(
        "EfficientNet", [["ds_r1_k3_s1_e1_c8_se0.25"], ["ir_r1_k3_s2_e3_c12_se0.25"]], nn.SiLU
    ),
    "timm_mobilenet": of_stages(
        "MobileNetV3", [["ds_r1_k3_s2_e1_c8_se0.25_nre"], ["ir_r1_k5_s1_e3_c12"]], nn.Hardswish
    ),
    "torchvision_vit": of_class(
        "torchvision.models", "VisionTransformer", image_size=SIZE, patch_size=8, num_layers=2,
        num_heads=2, hidden_dim=16, mlp_dim=24, dropout=0.1, attention_dropout=0.1,
    ),
    "torchvision_swin": of_class(
        "torchvision.models", "SwinTransformer", patch_size=[2, 2], embed_dim=8, depths=[2, 2],
        num_heads=[1, 2], window_size=[4, 4],
    ),
    "torchvision_densenet": of_class(
        "torchvision.models", "DenseNet",
        growth_rate=4, block_config=(2, 2), num_init_features=8, drop_rate=0.1,
    ),
    "gpt2": of_transformers("GPT2LMHeadModel", NEXT, GPT2),
    "gpt2_untied": of_transformers("GPT2LMHeadModel", NEXT, GPT2, tie_word_embeddings=False),
    "gpt2_classes": of_transformers(
        "GPT2ForSequenceClassification", CLASSES, GPT2 | {"pad_token_id": 0}, num_labels=3
    ),
    "llama": of_transformers("LlamaForCausalLM", NEXT, DECODER),
    "llama_eager": of_transformers(
        "LlamaForCausalLM", NEXT, DECODER, attn_implementation="eager", attention_dropout=0.1
    ),
    "mistral": of_transformers("MistralForCausalLM", NEXT, DECODER, sliding_window=4),
    "qwen2_tied": of_transformers("Qwen2ForCausalLM", NEXT, DECODER, tie_word_embeddings=True),
    "gemma2": of_transformers("Gemma2ForCausalLM", NEXT, DECODER, head_dim=8),
    "neox": of_transformers("GPTNeoXForCausalLM", NEXT, TEXT | NO_ENDS),
    "bloom": of_transformers(  # positions by data
        "BloomForCausalLM", NEXT, NO_ENDS,
        vocab_size=CODES, hidden_size=16, n_layer=2, n_head=2,
    ),
    "mixtral": of_transformers(  # which expert is asked depends on the data
        "MixtralForCausalLM", NEXT, DECODER,
        num_local_experts=2, num_experts_per_tok=1, experts_implementation="eager",
    ),
    "mamba": of_transformers(  # logits in float32 always
        "MambaForCausalLM", NEXT, NO_ENDS,
        vocab_size=CODES, hidden_size=16, state_size=4, num_hidden_layers=2,
    ),
    "t5_encoder": of_transformers("T5ForTokenClassification", NEXT, T5, num_labels=CODES),
    "bert": of_transformers("BertForSequenceClassification", CLASSES, READER),
    "bert_masked": of_transformers("BertForMaskedLM", NEXT, READER),  # tied
    "albert": of_transformers(  # one layer, twice
        "AlbertForSequenceClassification", CLASSES, READER, embedding_size=8
    ),
    "deberta": of_transformers(
        "DebertaV2ForSequenceClassification", CLASSES, READER,
        relative_attention=True, pos_att_type=["p2c", "c2p"],
    ),
    "modernbert": of_transformers(
        "ModernBertForSequenceClassification", CLASSES, READER,
        bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    ),
    "hf_vit": of_transformers("ViTForImageClassification", pictures(), SEEING),
    "hf_swin": of_transformers(
        "SwinForImageClassification", pictures(), SWIN, image_size=SIZE, num_labels=3
    ),
    "hf_convnext": of_transformers(
        "ConvNextForImageClassification", pictures(), STAGES, num_stages=2, patch_size=2
    ),
    "hf_resnet": of_transformers(
        "ResNetForImageClassification", pictures(), STAGES, embedding_size=8, layer_type="basic"
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[Case, str]] = {
    "rwkv": (  # divides its weights in evaluation mode
        of_transformers(
            "RwkvForCausalLM", NEXT, NO_ENDS,
            vocab_size=CODES, hidden_size=16, num_hidden_layers=2, attention_hidden_size=16,
        ),
        "inplace",  # as torch has it: a view of θ that is written over
    ),
    "mixtral_grouped": (  # products that torch has in single precision alone
        of_transformers(
            "MixtralForCausalLM", NEXT, DECODER, num_local_experts=2, num_experts_per_tok=1
        ),
        r"MixtralForCausalLM fails in float64 .*in the dtype of its weights",
    ),
    "t5_classes": (  # wants one end in each sequence
        of_transformers(
            "T5ForSequenceClassification", CLASSES, T5,
            num_labels=3, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
        ),
        "same number of <eos> tokens",
    ),
    "t5_hidden": (
        of_transformers("T5EncoderModel", NEXT, T5),
        "return the logits .*or say landscape.entry=",
    ),
    "few_positions": (
        of_transformers("GPT2LMHeadModel", NEXT, GPT2 | {"n_positions": 4}),
        "does not take examples 7 of codes",
    ),
    "few_codes": (
        of_transformers("LlamaForCausalLM", NEXT, DECODER | {"vocab_size": 5}),
        "does not take examples 7 of codes",
    ),
    "padding_by_hand": (
        Case(PaddingByHand, CLASSES),
        "evaluated together differ by .*use landscape.rows=loop",
    ),
    "other_size": (
        of_timm("vit_tiny_patch16_224", **(VIT | {"img_size": 32})),
        "does not take examples 3×16×16 of pictures",
    ),
    "other_classes": (
        of_transformers("BertForSequenceClassification", CLASSES, READER | {"num_labels": 2}),
        "outputs \\[2, 2\\]",
    ),
}  # fmt: skip

if not hasattr(torch, "_grouped_mm"):  # then transformers takes plain products
    RIGHT["mixtral_grouped"], _ = REFUSED.pop("mixtral_grouped")
