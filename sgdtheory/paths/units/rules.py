"""Which rule is which operation's.

A rule is given the labels, the outcome and the operation's own arguments, by their names; it says
the label of the outcome, or None where the operation is used in a way that is not known.
"""

from sgdtheory.paths.units import indexing, layers, layout, lining_up, products, sums
from sgdtheory.paths.units.label import Rule

SAME = "clone detach alias contiguous to_copy lift_fresh neg positive dropout"
REDUCTIONS = "amax amin max min var std prod any all logsumexp"
POOLS = """max_pool{}d max_pool{}d_with_indices avg_pool{}d adaptive_avg_pool{}d
adaptive_max_pool{}d upsample_nearest{}d upsample_linear{}d upsample_bilinear{}d
upsample_bicubic{}d upsample_trilinear{}d reflection_pad{}d replication_pad{}d"""
UNTAGGED = """masked_fill log_sigmoid_forward prelu_kernel hardswish hardsigmoid hardtanh relu6
elu celu selu leaky_relu softplus mish silu threshold hardshrink softshrink rrelu_with_noise"""
LAYOUT: dict[str, Rule] = {
    **dict.fromkeys(SAME.split(), layout.same),
    **dict.fromkeys(("view", "unsafe_view", "reshape_alias", "unsqueeze", "squeeze"), layout.view),
    **dict.fromkeys(("transpose", "t"), layout.transpose),
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split"), indexing.split_),
    "as_strided": layout.restride,
    "permute": layout.permute,
    "expand": layout.expand,
    "repeat": layout.repeat,
    "select": indexing.select,
    "unbind": indexing.unbind,
    "slice": indexing.slice_,
}
CONTRACTIONS: dict[str, Rule] = {
    "mm": products.mm,
    "bmm": products.bmm,
    "mv": products.mv,
    "dot": products.dot,
    "addmm": products.addmm,
    "baddbmm": products.baddbmm,
}
SCALINGS: dict[str, Rule] = {"mul": products.multiply}
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
    **dict.fromkeys(POOLS.format(*"1" * 12).split(), layers.pool(1)),
    **dict.fromkeys(POOLS.format(*"2" * 12).split(), layers.pool(2)),
    **dict.fromkeys(POOLS.format(*"3" * 12).split(), layers.pool(3)),
    "native_batch_norm": layers.batch_norm,
    "native_layer_norm": layers.layer_norm,
    "native_group_norm": layers.group_norm,
    "glu": layers.halves,
    **dict.fromkeys(UNTAGGED.split(), products.pointwise),
    "add": products.add,
    "sub": products.add,
    "div": products.divide,
    "pow": products.power,
    "square": products.square,
    "convolution": layers.convolution,
    "embedding": layers.embedding,
    "scaled_dot_product_flash_attention_for_cpu": layers.attention,
    "flip": indexing.flip,
    "roll": indexing.roll,
    "cat": lining_up.cat,
    "stack": lining_up.stack,
    "index": indexing.index_,
    "index_select": indexing.index_select,
    "constant_pad_nd": lining_up.pad,
}
POINTWISE: Rule = products.pointwise  # of every operation that torch tags as such
