/* Weights as the tile reads them: for each group and each block of one or two vectors of output channels, one
 * panel [steps, lanes], steps in the order of the walk's offsets, so that the hot loop reads memory in one
 * stream. Lanes beyond the channels are 0.
 *
 * For the gradient to the input the roles of input and output channels change and the taps are reversed, as
 * in dx[i] = Σ_k dy[(i + pad - k·dilation) / stride] · w[k] over the k that divide. With a stride, the
 * positions i of one phase, (i + pad) mod stride, all use the same taps, those with k·dilation ≡ phase: each
 * phase is a correlation of its own with stride 1, and its panels follow one another here. No multiplication
 * with an inserted zero is done. */
#include "kernels/conv.h"
#include "kernels/nn.h"
#include "kernels/simd.h"

static size_t round_up(int channels) {
    return (size_t)(channels + CNN_LANES - 1) / CNN_LANES * CNN_LANES;
}

/* The panels of dots: an output channel's weights in the order of the rows that it reads, each filled up to whole
 * vectors. */
static size_t dots_size(int rows, int columns, int in, int out) {
    return (size_t)rows * (size_t)out * round_up(columns * in);
}

size_t CNN_KERNEL(conv_packed_size)(const cnn_conv *c) {
    if (conv_forward_dots(c)) return dots_size(c->kernel_h, c->kernel_w, c->in_c, c->out_c);
    size_t taps = (size_t)c->kernel_h * (size_t)c->kernel_w;
    if (conv_way_forward(c) == CONV_WINOGRAD) return conv_winograd_packed_size(c->in_c, c->out_c);
    if (conv_in_lanes(c, c->out_c)) return taps * (size_t)(c->in_c / c->groups) * round_up(c->out_c);
    return taps * (size_t)c->in_c * round_up(c->out_c / c->groups);
}

static size_t grad_size(const cnn_conv *c, size_t taps) {
    if (conv_in_lanes(c, c->in_c)) return taps * (size_t)(c->out_c / c->groups) * round_up(c->in_c);
    return taps * (size_t)c->out_c * round_up(c->in_c / c->groups);
}

size_t conv_phase_size(const cnn_conv *c, const conv_phase *h, const conv_phase *w) {
    if (conv_phase_dots(c, h, w)) return dots_size(h->taps, w->taps, c->out_c, c->in_c);
    return grad_size(c, (size_t)h->taps * (size_t)w->taps);
}

static void phase_of(const cnn_conv *c, int row, int column, conv_phase *h, conv_phase *w) {
    *h = conv_phase_of(row, c->in_h, c->kernel_h, c->stride_h, c->dilation_h, c->pad_top);
    *w = conv_phase_of(column, c->in_w, c->kernel_w, c->stride_w, c->dilation_w, c->pad_left);
}

size_t CNN_KERNEL(conv_packed_grad_size)(const cnn_conv *c) {
    size_t size = 0;
    conv_way way = conv_way_input(c);
    if (way == CONV_WINOGRAD) return conv_winograd_packed_size(c->out_c, c->in_c);
    if (way == CONV_SPREAD) return grad_size(c, (size_t)c->kernel_h * (size_t)c->kernel_w);
    for (int i = 0; i < c->stride_h; i++)
        for (int j = 0; j < c->stride_w; j++) {
            conv_phase h, w;
            phase_of(c, i, j, &h, &w);
            size += conv_phase_size(c, &h, &w);
        }
    return size;
}

/* Weights of row i, column j, input channel c, output channel o lie at first + i·row + j·column + c·in + o·out. */
typedef struct weights_at {
    const float *first;
    ptrdiff_t row, column, in, out;
} weights_at;

/* Floats from … of each row's run, a vector of each of two channels, or of the last. */
static float *pack_dots_run(const weights_at *w, int in, int run, int from, int channel, int block,
                            float *packed) {
    for (int v = 0; v < block; v++)
        for (int e = from; e < from + CNN_LANES; e++)
            *packed++ = e < run ? w->first[e / in * w->column + e % in * w->in + (channel + v) * w->out] : 0;
    return packed;
}

/* As conv_offsets has the steps. */
static float *pack_dots(weights_at w, int rows, int columns, int in, int out, float *packed) {
    int run = columns * in, whole = run / CNN_LANES * CNN_LANES;
    for (int block, channel = 0; channel < out; channel += block) {
        block = out - channel >= CONV_VECTORS ? CONV_VECTORS : out - channel;
        weights_at row = w;
        for (int i = 0; i < rows; i++, row.first += row.row)
            for (int e = 0; e < whole; e += CNN_LANES)
                packed = pack_dots_run(&row, in, run, e, channel, block, packed);
        row = w;
        for (int i = 0; whole < run && i < rows; i++, row.first += row.row)
            packed = pack_dots_run(&row, in, run, whole, channel, block, packed);
    }
    return packed;
}

static int lanes_of(int channels) {
    return (int)round_up(channels);
}

void CNN_KERNEL(conv_pack)(const cnn_conv *c, const float *weights, float *packed) {
    if (conv_way_forward(c) == CONV_WINOGRAD) {
        conv_winograd_pack(c, weights, packed);
        return;
    }
    bool in_lanes = conv_in_lanes(c, c->out_c);
    if (conv_forward_dots(c)) {
        ptrdiff_t column = (ptrdiff_t)c->in_c * c->out_c;
        weights_at w = {weights, c->kernel_w * column, column, c->out_c, 1};
        pack_dots(w, c->kernel_h, c->kernel_w, c->in_c, c->out_c, packed);
        return;
    }
    int groups = in_lanes ? 1 : c->groups, out = c->out_c / groups;
    int steps = c->kernel_h * c->kernel_w * (c->in_c / c->groups);
    for (int g = 0; g < groups; g++)
        for (int block, first = 0; first < out; first += block) {
            block = conv_block(in_lanes, out - first);
            int lanes = lanes_of(block);
            for (int s = 0; s < steps; s++, packed += lanes) {
                const float *from = weights + (ptrdiff_t)s * c->out_c + g * out + first;
                memcpy(packed, from, (size_t)block * sizeof(float));
                memset(packed + block, 0, (size_t)(lanes - block) * sizeof(float));
            }
        }
}

float *conv_pack_tap(const float *tap, int out_c, int first, int block, int first_step, int steps,
                     float *packed) {
    int lanes = lanes_of(block);
    const float *from = tap + (ptrdiff_t)first * out_c + first_step;
    for (int v = 0; v < block; v += CNN_LANES) {
        int count = block - v < CNN_LANES ? block - v : CNN_LANES;
        CNN_KERNEL(transpose_lanes)(from + (ptrdiff_t)v * out_c, out_c, count, steps, packed + v, lanes);
    }
    return packed + (ptrdiff_t)steps * lanes;
}

/* In lanes: the steps of a tap are the output channels of each input channel's group. */
static float *pack_tap_in_lanes(const cnn_conv *c, const float *tap, int first, int block, float *packed) {
    int lanes = lanes_of(block), in = c->in_c / c->groups, out = c->out_c / c->groups;
    for (int s = 0; s < out; s++, packed += lanes)
        for (int l = 0; l < lanes; l++) {
            int channel = first + l;
            packed[l] = l < block ? tap[channel % in * c->out_c + channel / in * out + s] : 0;
        }
    return packed;
}

static float *pack_phase(const cnn_conv *c, const float *weights, const conv_phase *h, const conv_phase *w,
                         float *packed) {
    bool in_lanes = conv_in_lanes(c, c->in_c);
    int groups = in_lanes ? 1 : c->groups, in = c->in_c / groups, out = c->out_c / c->groups;
    ptrdiff_t tap_size = (ptrdiff_t)(c->in_c / c->groups) * c->out_c;
    if (conv_phase_dots(c, h, w)) {
        int row = h->tap + (h->taps - 1) * h->step, column = w->tap + (w->taps - 1) * w->step;
        weights_at last = {weights + (row * c->kernel_w + column) * tap_size,
                           -h->step * c->kernel_w * tap_size, -w->step * tap_size, 1, c->out_c};
        return pack_dots(last, h->taps, w->taps, c->out_c, c->in_c, packed);
    }
    for (int g = 0; g < groups; g++)
        for (int block, first = 0; first < in; first += block) {
            block = conv_block(in_lanes, in - first);
            for (int i = h->taps - 1; i >= 0; i--)
                for (int j = w->taps - 1; j >= 0; j--) {
                    int row = h->tap + i * h->step, column = w->tap + j * w->step;
                    const float *tap = weights + (row * c->kernel_w + column) * tap_size;
                    packed = in_lanes ? pack_tap_in_lanes(c, tap, first, block, packed)
                                      : conv_pack_tap(tap, c->out_c, first, block, g * out, out, packed);
                }
        }
    return packed;
}

void CNN_KERNEL(conv_pack_grad)(const cnn_conv *c, const float *weights, float *packed) {
    conv_way way = conv_way_input(c);
    if (way == CONV_SPREAD) conv_pack_spread(c, weights, packed);
    if (way == CONV_WINOGRAD) conv_winograd_pack_grad(c, weights, packed);
    if (way != CONV_WALK) return;
    for (int i = 0; i < c->stride_h; i++)
        for (int j = 0; j < c->stride_w; j++) {
            conv_phase h, w;
            phase_of(c, i, j, &h, &w);
            packed = pack_phase(c, weights, &h, &w, packed);
        }
}

static int gcd(int a, int b) {
    while (b > 0) {
        int r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Position i of the phase is first + j·stride; output o reads it through tap k where o·stride + k·dilation =
 * i + pad. With the taps k = tap + t·step, o = j + shift - t·dilation/gcd, where shift = (first + pad -
 * tap·dilation)/stride: as t counts down, a correlation with that dilation, whose first tap lies `pad` before
 * the position. */
conv_phase conv_phase_of(int phase, int in, int kernel, int stride, int dilation, int pad) {
    int common = gcd(dilation, stride);
    conv_phase p = {.step = stride / common, .dilation = dilation / common};
    p.first = ((phase - pad) % stride + stride) % stride;
    p.count = p.first < in ? (in - 1 - p.first) / stride + 1 : 0;
    while (p.tap < kernel && p.tap * dilation % stride != phase) p.tap++;
    if (p.tap == kernel) return p;
    p.taps = (kernel - 1 - p.tap) / p.step + 1;
    int shift = (p.first + pad - p.tap * dilation) / stride;
    p.pad = (p.taps - 1) * p.dilation - shift;
    return p;
}
