"""Transformer parts: decomposed as torch writes them, fused as onnxruntime's optimiser and the newest opsets write them."""

import numpy as np
from onnx import TensorProto as T

from making.graph import Graph
from making.hand_nets import shaped
from making.kit import Made
from making.kit import case
from making.rows import floats

LENGTH, WIDTH, HEADS = 5, 8, 2
HEAD = WIDTH // HEADS


def linear(g, x, a, b, bias=True):
    y = g.op("MatMul", [x, g.weight(a, b, scale=0.3)])
    return g.op("Add", [g.weight(b), y]) if bias else y


def norm_by_hand(g, x):
    """LayerNormalization as torch wrote it before opset 17."""
    centred = g.op("Sub", [x, g.op("ReduceMean", [x], axes=[-1])])
    square = g.op("ReduceMean", [g.op("Pow", [centred, g.const(np.float32(2))])], axes=[-1])
    y = g.op("Div", [centred, g.op("Sqrt", [g.op("Add", [square, g.const(np.float32(1e-5))])])])
    return g.op("Add", [g.op("Mul", [y, g.weight(WIDTH)]), g.weight(WIDTH)])


def norm(g, x, out=1):
    return g.op("LayerNormalization", [x, g.weight(WIDTH), g.weight(WIDTH)], out, axis=-1, epsilon=1e-5)


def gelu_by_hand(g, x):
    y = g.op("Erf", [g.op("Div", [x, g.const(np.float32(2**0.5))])])
    y = g.op("Mul", [x, g.op("Add", [y, g.const(np.float32(1))])])
    return g.op("Mul", [y, g.const(np.float32(0.5))])


def heads(g, x, perm=(0, 2, 1, 3)):
    """[n, length, width] -> [n, heads, length, head], the shape computed from the input's as torch traces it."""
    shape = g.op("Shape", [x])
    n = g.op("Unsqueeze", [g.op("Gather", [shape, g.const(np.int64(0))]), g.ints(0)])
    length = g.op("Unsqueeze", [g.op("Gather", [shape, g.const(np.int64(1))]), g.ints(0)])
    y = g.op("Reshape", [x, g.op("Concat", [n, length, g.ints(HEADS), g.ints(HEAD)], axis=0)])
    return g.op("Transpose", [y], perm=list(perm))


def attention(g, x, mask=None):
    q, k, v = (linear(g, x, WIDTH, WIDTH) for _ in range(3))
    scores = g.op("MatMul", [heads(g, q), heads(g, k, (0, 2, 3, 1))])
    scores = g.op("Div", [scores, g.const(np.float32(HEAD**0.5))])
    if mask:
        scores = g.op("Where", [mask, g.const(np.float32(np.finfo(np.float32).min)), scores])
    y = g.op("MatMul", [g.op("Softmax", [scores], axis=-1), heads(g, v)])
    y = g.op("Reshape", [g.op("Transpose", [y], perm=[0, 2, 1, 3]), g.ints(0, 0, WIDTH)])
    return linear(g, y, WIDTH, WIDTH)


def block(g, x, norm=norm, gelu=gelu_by_hand, mask=None):
    x = norm(g, g.op("Add", [attention(g, x, mask), x]))
    y = linear(g, gelu(g, linear(g, x, WIDTH, 2 * WIDTH)), 2 * WIDTH, WIDTH)
    return norm(g, g.op("Add", [y, x]))


@case("attention_decomposed", "transformer block, decomposed", "opset 14, LayerNormalization and Gelu in pieces, shapes computed")
def decomposed():
    g = Graph(30)
    g.op("ReduceMean", [block(g, "x", norm_by_hand)], ["y"], axes=[1], keepdims=0)
    return Made(g.model("block", ["x:f:n,5,8"], ["y:f:n,8"], 14), shaped("x", LENGTH, WIDTH))


@case("attention_bert", "BERT encoder", "ids, mask, token types; opset 17; last_hidden_state and pooler_output; dynamic sequence length")
def bert():
    g = Graph(31)
    g.weight(30, WIDTH, name="embeddings.word_embeddings.weight")
    length = g.op("Slice", [g.op("Shape", ["input_ids"]), g.ints(1), g.ints(2)])
    positions = g.op("Slice", [g.const(np.arange(16)[None]), g.ints(0), length, g.ints(1)])
    x = g.op("Gather", ["embeddings.word_embeddings.weight", "input_ids"])
    x = g.op("Add", [x, g.op("Gather", [g.weight(2, WIDTH), "token_type_ids"])])
    x = norm(g, g.op("Add", [x, g.op("Gather", [g.weight(16, WIDTH), positions])]))
    mask = g.op("Unsqueeze", ["attention_mask", g.ints(1, 2)])
    mask = g.op("Equal", [mask, g.const(np.int64(0))])
    for _ in range(2):
        x = block(g, x, mask=mask)
    g.op("Identity", [x], ["last_hidden_state"])
    first = g.op("Gather", [x, g.const(np.int64(0))], axis=1)
    g.op("Tanh", [g.op("Gemm", [first, g.weight(WIDTH, WIDTH), g.weight(WIDTH)], transB=1)], ["pooler_output"])

    def rows(n, rng):
        mask = (np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (n, 1))).astype(np.int64)
        return {"input_ids": rng.integers(0, 30, (n, LENGTH)), "attention_mask": mask, "token_type_ids": rng.integers(0, 2, (n, LENGTH))}

    ins = [f"{k}:i:batch_size,sequence_length" for k in ("input_ids", "attention_mask", "token_type_ids")]
    outs = ["last_hidden_state:f:batch_size,sequence_length,8", "pooler_output:f:batch_size,8"]
    return Made(g.model("bert", ins, outs, 17), rows)


def microsoft_norm(g, x, skip=None):
    if skip is None:
        return norm(g, x)
    return g.ms("SkipLayerNormalization", [x, skip, g.weight(WIDTH), g.weight(WIDTH), g.weight(WIDTH)], epsilon=1e-5)


@case("attention_microsoft", "Attention (com.microsoft)", "as onnxruntime's optimiser leaves it: Attention with mask_index, SkipLayerNormalization, BiasGelu, FusedMatMul")
def microsoft():
    g = Graph(32)
    y = g.ms("Attention", ["x", g.weight(WIDTH, 3 * WIDTH, scale=0.3), g.weight(3 * WIDTH), "mask"], num_heads=HEADS)
    x = microsoft_norm(g, "x", g.op("MatMul", [y, g.weight(WIDTH, WIDTH)]))
    y = g.ms("BiasGelu", [g.op("MatMul", [x, g.weight(WIDTH, 16)]), g.weight(16)])
    x = microsoft_norm(g, g.op("MatMul", [y, g.weight(16, WIDTH)]), x)
    x = g.ms("Gelu", [x])
    x = g.ms("FastGelu", [x, g.weight(WIDTH)])
    g.ms("FusedMatMul", [x, g.weight(3, WIDTH)], ["y"], transB=1, alpha=0.5)

    def rows(n, rng):
        feed = shaped("x", LENGTH, WIDTH)(n, rng)
        feed["mask"] = (np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (n, 1))).astype(np.int32)
        return feed

    return Made(g.model("fused", ["x:f:n,5,8", "mask:j:n,5"], ["y:f:n,5,3"], 17, ms=1), rows)


@case("attention_embed", "EmbedLayerNormalization (com.microsoft)")
def embed():
    g = Graph(33)
    tables = [g.weight(30, WIDTH), g.weight(16, WIDTH), g.weight(2, WIDTH), g.weight(WIDTH), g.weight(WIDTH)]
    x, _ = g.ms("EmbedLayerNormalization", ["ids", "types", *tables], 2, epsilon=1e-12)
    g.op("ReduceMean", [x], ["y"], axes=[1], keepdims=0)

    def rows(n, rng):
        return {"ids": rng.integers(0, 30, (n, LENGTH)).astype(np.int32), "types": rng.integers(0, 2, (n, LENGTH)).astype(np.int32)}

    return Made(g.model("embed", ["ids:j:n,5", "types:j:n,5"], ["y:f:n,8"], 17, ms=1), rows)


@case("attention_multihead", "MultiHeadAttention (com.microsoft)")
def multihead():
    g = Graph(34)
    q, k, v = (linear(g, "x", WIDTH, WIDTH, False) for _ in range(3))
    g.ms("MultiHeadAttention", [q, k, v, g.weight(3 * WIDTH)], ["y"], num_heads=HEADS)
    return Made(g.model("mha", ["x:f:n,5,8"], ["y:f:n,5,8"], 17, ms=1), shaped("x", LENGTH, WIDTH))


@case("attention_opset23", "Attention (opset 23)", "causal, grouped heads, RotaryEmbedding and RMSNormalization beside it")
def opset23():
    g = Graph(35)
    x = g.op("RMSNormalization", ["x", g.weight(WIDTH)], axis=-1)
    q, k, v = linear(g, x, WIDTH, 16, False), linear(g, x, WIDTH, 8, False), linear(g, x, WIDTH, 8, False)
    angle = np.arange(LENGTH)[:, None] / 10.0 ** np.arange(2)
    table = [g.const(f(angle).astype(np.float32)) for f in (np.cos, np.sin)]
    place = g.op("Mul", [g.const(np.arange(LENGTH)[None]), g.op("ConstantOfShape", [g.op("Concat", [g.op("Slice", [g.op("Shape", ["x"]), g.ints(0), g.ints(1)]), g.ints(LENGTH)], axis=0)], value=one())])
    q, k = g.op("RotaryEmbedding", [q, *table, place], num_heads=4), g.op("RotaryEmbedding", [k, *table, place], num_heads=2)
    y = g.op("Attention", [q, k, v], is_causal=1, q_num_heads=4, kv_num_heads=2)
    g.op("MatMul", [y, g.weight(16, 3)], ["y"])
    return Made(g.model("attention", ["x:f:n,5,8"], ["y:f:n,5,3"], 23, ir=10), shaped("x", LENGTH, WIDTH))


def one():
    from onnx import helper

    return helper.make_tensor("v", T.INT64, [1], [1])


@case("attention_opset23_mask", "Attention (opset 23)", "four dimensions, a boolean mask, softcap and scale")
def opset23_mask():
    g = Graph(36)
    q, k, v = (heads(g, linear(g, "x", WIDTH, WIDTH)) for _ in range(3))
    mask = g.op("Cast", [g.op("Unsqueeze", ["mask", g.ints(1, 2)])], to=T.BOOL)
    mask = g.op("Expand", [mask, g.ints(1, 1, LENGTH, LENGTH)])
    y = g.op("Attention", [q, k, v, mask], scale=0.4, softcap=2.0)
    y = g.op("Reshape", [g.op("Transpose", [y], perm=[0, 2, 1, 3]), g.ints(0, 0, WIDTH)])
    g.op("Identity", [y], ["y"])

    def rows(n, rng):
        feed = shaped("x", LENGTH, WIDTH)(n, rng)
        feed["mask"] = (np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (n, 1))).astype(np.int64)
        return feed

    return Made(g.model("attention", ["x:f:n,5,8", "mask:i:n,5"], ["y:f:n,5,8"], 23, ir=10), rows)


@case("norms_gelus", "LayerNormalization, GroupNormalization, Gelu", "opsets 17 to 21 in one graph")
def norms():
    g = Graph(37)
    x = norm(g, "x")
    x = g.op("Add", [g.op("Gelu", [x]), g.op("Gelu", [x], approximate="tanh")])
    x = g.op("GroupNormalization", [x, g.weight(5), g.weight(5)], num_groups=5, epsilon=1e-4)
    x = g.op("LpNormalization", [x], axis=-1, p=2)
    g.op("Identity", [x], ["y"])
    return Made(g.model("norms", ["x:f:n,5,8"], ["y:f:n,5,8"], 21, ir=10), shaped("x", LENGTH, WIDTH))


@case("attention_einsum", "Einsum attention", "products of ellipses and repeated indices")
def einsum():
    g = Graph(38)
    q = g.op("Einsum", ["x", g.weight(WIDTH, HEADS, HEAD)], equation="nlw,whd->nhld")
    k = g.op("Einsum", ["x", g.weight(WIDTH, HEADS, HEAD)], equation="nlw,whd->nhld")
    p = g.op("Softmax", [g.op("Einsum", [q, k], equation="nhld,nhmd->nhlm")], axis=-1)
    y = g.op("Einsum", [p, q], equation="nhlm,nhmd->nlhd")
    g.op("Einsum", [y], ["y"], equation="n...hd->n...")
    return Made(g.model("einsum", ["x:f:n,5,8"], ["y:f:n,5"], 13), shaped("x", LENGTH, WIDTH))


@case("numbers_around", "TopK, CumSum, Unique and other neighbours", "what skl2onnx and feature code put around models")
def around():
    g = Graph(39)
    c = g.op("CumSum", ["x", g.const(np.int64(1))], reverse=1)
    e = g.op("CumSum", ["x", g.const(np.int32(-1))], exclusive=1)
    best, which = g.op("TopK", [c, g.ints(2)], 2, axis=1, largest=0)
    last = g.op("GatherElements", [e, which], axis=1)
    hit = g.op("OneHot", [g.op("ArgMax", ["x"], axis=1, keepdims=0, select_last_index=1), g.ints(4), g.const(np.array([0.0, 1.0], np.float32))])
    rounded = g.op("Round", [g.op("Mul", ["x", g.const(np.float32(2))])])
    parts = g.op("Split", [rounded, g.ints(1, 3)], 2, axis=1)
    tile = g.op("Tile", [parts[0], g.ints(1, 2)])
    wrong = g.op("Cast", [g.op("IsNaN", [g.op("Log", ["x"])])], to=T.FLOAT)
    g.op("Concat", [best, last, hit, tile, parts[1], wrong], ["y"], axis=1)
    return Made(g.model("around", ["x:f:n,4"], ["y:f:n,17"], 13), floats(4, "x"))


@case("unique_rows", "Unique", "one row a run: the count of distinct values is data; padded to a fixed length")
def unique():
    g = Graph(40)
    values, _, _, counts = g.op("Unique", ["x"], 4, sorted=1)
    count = g.op("Shape", [values])
    rest = g.op("Sub", [g.ints(6), count])
    pads = g.op("Concat", [g.ints(0), rest], axis=0)
    y = g.op("Pad", [values, pads, g.const(np.float32(-1))])
    c = g.op("Pad", [counts, pads, g.const(np.int64(0))])
    g.op("Unsqueeze", [y, g.ints(0)], ["values"])
    g.op("Unsqueeze", [c, g.ints(0)], ["counts"])
    rows = lambda n, rng: {"x": rng.integers(0, 5, (n, 6)).astype(np.float32)}  # noqa: E731
    return Made(g.model("unique", ["x:f:1,6"], ["values:f:1,6", "counts:i:1,6"], 13), rows, batch=1)
