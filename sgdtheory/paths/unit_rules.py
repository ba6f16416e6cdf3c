"""Which rule is which operation's.

A rule is given the labels, the outcome and the operation's own arguments, by their names; it says
the label of the outcome, or None where the operation is used in a way that is not known.
"""

from sgdtheory.paths import unit_rules_product as product
from sgdtheory.paths import unit_rules_shape as shape
from sgdtheory.paths import unit_rules_sum as sums
from sgdtheory.paths.unit_label import Rule

SAME = "clone detach alias contiguous to_copy lift_fresh neg positive dropout"
REDUCTIONS = "amax amin max min var std prod any all logsumexp"
POOLS = """max_pool{}d max_pool{}d_with_indices avg_pool{}d adaptive_avg_pool{}d
adaptive_max_pool{}d upsample_nearest{}d upsample_linear{}d upsample_bilinear{}d
upsample_bicubic{}d upsample_trilinear{}d reflection_pad{}d replication_pad{}d"""
UNTAGGED = """log_sigmoid_forward prelu_kernel hardswish hardsigmoid hardtanh relu6 elu celu selu
leaky_relu softplus mish silu threshold hardshrink softshrink rrelu_with_noise"""
LAYOUT: dict[str, Rule] = {
    **dict.fromkeys(SAME.split(), shape.same),
    **dict.fromkeys(("view", "unsafe_view", "reshape_alias", "unsqueeze", "squeeze"), shape.view),
    **dict.fromkeys(("transpose", "t"), shape.transpose),
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split"), shape.split_),
    "as_strided": shape.restride,
    "permute": shape.permute,
    "expand": shape.expand,
    "repeat": shape.repeat,
    "select": shape.select,
    "unbind": shape.unbind,
    "slice": shape.slice_,
}
CONTRACTIONS: dict[str, Rule] = {
    "mm": product.mm,
    "bmm": product.bmm,
    "mv": product.mv,
    "dot": product.dot,
    "addmm": product.addmm,
    "baddbmm": product.baddbmm,
}
SCALINGS: dict[str, Rule] = {"mul": product.multiply}
SUMS: dict[str, Rule] = {"sum": sums.sum_, "mean": sums.sum_}
RULES: dict[str, Rule] = {
    **LAYOUT,
    **CONTRACTIONS,
    **SCALINGS,
    **SUMS,
    **dict.fromkeys(REDUCTIONS.split(), sums.reduce),
    **dict.fromkeys(("linalg_vector_norm", "norm"), sums.length),
    **dict.fromkeys(("softmax", "log_softmax"), sums.spread),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp"), sums.in_order),
    **dict.fromkeys(("tril", "triu"), sums.triangle),
    **dict.fromkeys(POOLS.format(*"1" * 12).split(), sums.pool(1)),
    **dict.fromkeys(POOLS.format(*"2" * 12).split(), sums.pool(2)),
    **dict.fromkeys(POOLS.format(*"3" * 12).split(), sums.pool(3)),
    "native_batch_norm": sums.batch_norm,
    "native_layer_norm": sums.layer_norm,
    "native_group_norm": sums.group_norm,
    "glu": sums.halves,
    **dict.fromkeys(UNTAGGED.split(), product.pointwise),
    "add": product.add,
    "sub": product.add,
    "div": product.divide,
    "pow": product.power,
    "square": product.square,
    "convolution": product.convolution,
    "embedding": product.embedding,
    "scaled_dot_product_flash_attention_for_cpu": product.attention,
    "flip": shape.flip,
    "roll": shape.roll,
    "cat": shape.cat,
    "stack": shape.stack,
    "index": shape.index_,
    "index_select": shape.index_select,
    "constant_pad_nd": shape.pad,
}
POINTWISE: Rule = product.pointwise  # of every operation that torch tags as such
