/* The gradient to the input, spread tap by tap: for each tap k, dx[o·stride + k·dilation - pad] += w[k] ·
 * dy[o].
 *
 * The tile's rows are output pixels, its steps the channels of dy, its panel one tap's weights [out_c, in_c],
 * and what it adds to are the pixels of dx this tap came from: no two outputs share one, so they can be any
 * rows. For a whole tap the same few kilobytes of weights serve, from the L1 cache. Unlike the walk over dy
 * with a border of zeros (conv.c), this multiplies no zeros, which for small pictures would be most of what
 * there is (3x3 of dy seen from 5x5 of dx through 3x3 taps: 225 products, 81 of them wanted), and knows no
 * padding (an output whose tap lies outside is left out) and no phases of strides. But every sum goes through
 * memory once a tap, so it wants many channels.
 *
 * With strides and very few channels of dx, all taps and channels together fill the lanes of one panel: an
 * output's products with all of them are summed over its channels at once, and then scattered, number by
 * number (conv_scatters). */
#include "kernels/conv.h"
#include "kernels/simd.h"

enum { POSITIONS = 256 }; /* outputs of a strip, about */

static int scattered_lanes(const cnn_conv *c) {
    return c->kernel_h * c->kernel_w * c->in_c;
}

bool conv_scatters(const cnn_conv *c) {
    return c->groups == 1 && c->stride_h * c->stride_w > 1 && c->out_c >= 8 &&
           (int64_t)c->kernel_h * c->kernel_w * c->in_c <= CONV_LANES;
}

/* weights [taps, in_c, out_c] → [out_c, lanes] */
static void pack_scatter(const cnn_conv *c, const float *weights, float *packed) {
    int used = scattered_lanes(c), lanes = (used + CNN_LANES - 1) / CNN_LANES * CNN_LANES;
    for (int o = 0; o < c->out_c; o++)
        for (int l = 0; l < lanes; l++) *packed++ = l < used ? weights[(ptrdiff_t)l * c->out_c + o] : 0;
}

void conv_pack_spread(const cnn_conv *c, const float *weights, float *packed) {
    if (conv_scatters(c)) {
        pack_scatter(c, weights, packed);
        return;
    }
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
    float *zeros, *sums;
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
    k->sums = conv_carve(scratch, &used, conv_scatters(c) ? positions * CONV_LANES : 0);
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
            conv_run_rows(&t, positions);
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

/* The sums of the output at (row, column) go to their places in the picture. */
static void scatter_output(const cnn_conv *c, int row, int column, const float *sums, float *dx) {
    int from, to, at = column * c->stride_w - c->pad_left;
    clip(c->in_w, c->dilation_w, at, 0, c->kernel_w, &from, &to);
    for (int i = 0; i < c->kernel_h; i++, sums += c->kernel_w * c->in_c) {
        int h = row * c->stride_h + i * c->dilation_h - c->pad_top;
        if (h < 0 || h >= c->in_h) continue;
        for (int j = from; j < to; j++) {
            float *to_pixel = dx + ((ptrdiff_t)h * c->in_w + at + j * c->dilation_w) * c->in_c;
            for (int k = 0; k < c->in_c; k++) to_pixel[k] += sums[j * c->in_c + k];
        }
    }
}

static void scatter_strip(const work *k, const cnn_conv *c, int samples, int first, int last, const float *dy,
                          const float *packed, float *dx) {
    int rows = last - first, used = scattered_lanes(c);
    conv_tile t = {.channels = used,
                   .vectors = (used + CNN_LANES - 1) / CNN_LANES,
                   .steps = c->out_c,
                   .step = k->step,
                   .x_at = k->x_at,
                   .y_at = k->y_at,
                   .panel = packed,
                   .bias = k->zeros,
                   .x = dy + (ptrdiff_t)first * c->out_w * c->out_c,
                   .y = k->sums};
    conv_grid(samples, rows, c->out_w, (ptrdiff_t)c->out_h * c->out_w * c->out_c,
              (ptrdiff_t)c->out_w * c->out_c, c->out_c, k->x_at);
    conv_grid(1, 1, samples * rows * c->out_w, 0, 0, CONV_LANES, k->y_at);
    conv_run_rows(&t, samples * rows * c->out_w);
    const float *sums = k->sums;
    for (int s = 0; s < samples; s++, dx += (ptrdiff_t)c->in_h * c->in_w * c->in_c)
        for (int r = first; r < last; r++)
            for (int o = 0; o < c->out_w; o++, sums += CONV_LANES) scatter_output(c, r, o, sums, dx);
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
            (conv_scatters(c) ? scatter_strip : run_strip)(&k, c, samples, r, last, dy + s * dy_sample,
                                                           packed, dx + s * dx_sample);
        }
    }
}
