/* The gradient to the input, spread tap by tap: for each tap k, dx[o·stride + k·dilation - pad] += w[k] ·
 * dy[o].
 *
 * The tile's rows are output pixels, its steps the channels of dy, its panel one tap's weights [out_c, in_c],
 * and what it adds to are the pixels of dx this tap came from: no two outputs share one, so they can be any
 * rows. For a whole tap the same few kilobytes of weights serve, from the L1 cache. Unlike the walk over dy
 * with a border of zeros (conv.c), this multiplies no zeros, which for small pictures would be most of what
 * there is (3x3 of dy seen from 5x5 of dx through 3x3 taps: 225 products, 81 of them wanted), and knows no
 * padding (an output whose tap lies outside is left out) and no phases of strides. But every sum goes through
 * memory once a tap, so it wants many channels. conv_spreads decides, by counting. */
#include "kernels/conv.h"
#include "kernels/simd.h"

enum { POSITIONS = 256 }; /* outputs of a strip, about */

/* Reading and writing a tile's sums takes as long as this many of its steps. */
enum { MEMORY_STEPS = 5 };

bool conv_spreads(const cnn_conv *c) {
    if (conv_is_depthwise(c)) return false;
    int64_t steps = c->out_c / c->groups;
    int64_t walk = (int64_t)c->in_h * c->in_w * steps;
    int64_t spread = (int64_t)c->out_h * c->out_w * c->stride_h * c->stride_w * (steps + MEMORY_STEPS);
    return spread < walk;
}

void conv_pack_spread(const cnn_conv *c, const float *weights, float *packed) {
    int in = c->in_c / c->groups, out = c->out_c / c->groups, taps = c->kernel_h * c->kernel_w;
    for (int g = 0; g < c->groups; g++)
        for (int block, first = 0; first < in; first += block) {
            block = conv_block(false, in - first);
            for (int t = 0; t < taps; t++)
                packed = conv_pack_tap(weights + (ptrdiff_t)t * in * c->out_c, c->out_c, first, block,
                                       g * out, out, packed);
        }
}

typedef struct work {
    conv_strip strip;
    int32_t *step, *x_at, *y_at; /* for conv_tile; the last two of a whole strip */
    float *zeros;
} work;

static size_t prepare(work *k, const cnn_conv *c, void *scratch) {
    size_t used = 0;
    conv_walk w = conv_forward_walk(c);
    k->strip = conv_strip_of(&w, POSITIONS, 1);
    size_t positions = (size_t)k->strip.samples * (size_t)k->strip.rows * (size_t)c->out_w;
    k->step = (int32_t *)(void *)conv_carve(scratch, &used, (size_t)(c->out_c / c->groups));
    k->x_at = (int32_t *)(void *)conv_carve(scratch, &used, positions);
    k->y_at = (int32_t *)(void *)conv_carve(scratch, &used, positions);
    k->zeros = conv_carve(scratch, &used, CONV_LANES);
    return used;
}

size_t conv_spread_scratch(const cnn_conv *c) {
    work k;
    return prepare(&k, c, NULL);
}

/* The outputs from … to-1 of first … last-1 whose tap at `offset` lies in the picture. */
static void clip(int in, int stride, int offset, int first, int last, int *from, int *to) {
    *from = offset < 0 ? (-offset + stride - 1) / stride : 0;
    *to = in - 1 - offset >= 0 ? (in - 1 - offset) / stride + 1 : 0;
    if (*from < first) *from = first;
    if (*to > last) *to = last;
}

/* One tap's panels: every group, every block of channels. dy and dx are at the tap's first output and its
 * pixel. */
static void run_tap(const cnn_conv *c, conv_tile t, int positions, const float *dy, const float *packed,
                    int tap, float *dx) {
    int in = c->in_c / c->groups, out = c->out_c / c->groups, taps = c->kernel_h * c->kernel_w;
    for (int g = 0; g < c->groups; g++)
        for (int block, first = 0; first < in; first += block) {
            block = conv_block(false, in - first);
            t.channels = block;
            t.vectors = (block + CNN_LANES - 1) / CNN_LANES;
            ptrdiff_t panel = (ptrdiff_t)out * t.vectors * CNN_LANES;
            t.panel = packed + tap * panel;
            t.x = dy + g * out;
            t.y = dx + g * in + first;
            conv_run_rows(t, positions);
            packed += taps * panel;
        }
}

/* A strip of `samples` samples, output rows first … last-1. */
static void run_strip(const work *k, const cnn_conv *c, int samples, int first, int last, const float *dy,
                      const float *packed, float *dx) {
    conv_tile t = {
        .add = true, .steps = c->out_c / c->groups, .step = k->step, .x_at = k->x_at, .y_at = k->y_at};
    t.bias = k->zeros;
    ptrdiff_t dy_row = (ptrdiff_t)c->out_w * c->out_c, dx_row = (ptrdiff_t)c->in_w * c->in_c;
    int rows = -1, columns = -1; /* of the grid that x_at and y_at hold */
    for (int tap = 0; tap < c->kernel_h * c->kernel_w; tap++) {
        int row = tap / c->kernel_w * c->dilation_h - c->pad_top;
        int column = tap % c->kernel_w * c->dilation_w - c->pad_left;
        int top, bottom, left, right;
        clip(c->in_h, c->stride_h, row, first, last, &top, &bottom);
        clip(c->in_w, c->stride_w, column, 0, c->out_w, &left, &right);
        if (top >= bottom || left >= right) continue;
        if (rows != bottom - top || columns != right - left) {
            rows = bottom - top;
            columns = right - left;
            conv_grid(samples, rows, columns, c->out_h * dy_row, dy_row, c->out_c, k->x_at);
            conv_grid(samples, rows, columns, c->in_h * dx_row, c->stride_h * dx_row,
                      (ptrdiff_t)c->stride_w * c->in_c, k->y_at);
        }
        run_tap(c, t, samples * rows * columns, dy + top * dy_row + (ptrdiff_t)left * c->out_c, packed, tap,
                dx + (top * c->stride_h + row) * dx_row + (ptrdiff_t)(left * c->stride_w + column) * c->in_c);
    }
}

void conv_spread(const cnn_conv *c, int n, const float *dy, const float *packed, float *dx, void *scratch) {
    work k;
    prepare(&k, c, scratch);
    conv_grid(1, 1, c->out_c / c->groups, 0, 0, 1, k.step);
    memset(k.zeros, 0, CONV_LANES * sizeof(float));
    ptrdiff_t dy_sample = (ptrdiff_t)c->out_h * c->out_w * c->out_c,
              dx_sample = (ptrdiff_t)c->in_h * c->in_w * c->in_c;
    for (int s = 0; s < n; s += k.strip.samples) {
        int samples = n - s < k.strip.samples ? n - s : k.strip.samples;
        memset(dx + s * dx_sample, 0, (size_t)(samples * dx_sample) * sizeof(float));
        for (int r = 0; r < c->out_h; r += k.strip.rows) {
            int last = c->out_h - r < k.strip.rows ? c->out_h : r + k.strip.rows;
            run_strip(&k, c, samples, r, last, dy + s * dy_sample, packed, dx + s * dx_sample);
        }
    }
}
