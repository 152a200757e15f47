/* The gradient to the weights: dw[tap, i, o] += Σ over output pixels of x[pixel + tap, i] · dy[pixel, o].
 *
 * The tile of conv_tile.c turned over: its rows are taps and input channels (up to 12 at a time, each with
 * its own pointer into x), its steps the output pixels of a strip, its panel one or two vectors of dy's
 * channels. A strip is small enough for its panel to stay in the L1 cache while all rows pass over it; dy is
 * gathered into the panel once for all of them (unless it has the shape of one), which also fills its last
 * vector with zeros; db is its sum. Sums stay in registers for a whole strip (of several samples where these
 * are small) and are then added to dw, so a long sum is one of short sums, in the order of strips and
 * samples.
 *
 * Few output channels would leave most lanes of dy's vectors empty. Then the lanes are input channels, the
 * rows taps, and each output channel has a turn (turned). */
#include "kernels/conv.h"
#include "kernels/nn.h"
#include "kernels/simd.h"

enum { POSITIONS = 256 }; /* outputs of a strip, about: the panel's steps */

typedef struct work {
    conv_walk walk;
    conv_strip strip;
    int32_t *pixel; /* [pixels of a strip]: where each reads x */
    int32_t *tap;   /* [rows of dw]: where each row reads x, relative to the pixel */
    int32_t *row;   /* [rows of dw]: where each lies in dw */
    float *zeros, *copy, *panel;
    bool turned;
    int first, last; /* the rows of dw in hand */
} work;

/* By the count of multiply-adds; these load more. */
static bool turns(const cnn_conv *c) {
    int64_t out_blocks = (c->out_c + CNN_LANES - 1) / CNN_LANES,
            in_blocks = (c->in_c + CNN_LANES - 1) / CNN_LANES;
    return c->groups == 1 && 2 * c->out_c * in_blocks < c->in_c * out_blocks;
}

static size_t prepare(work *k, const cnn_conv *c, void *scratch) {
    size_t used = 0;
    k->walk = conv_forward_walk(c);
    k->turned = turns(c);
    k->strip = conv_strip_of(&k->walk, POSITIONS, 1);
    if (k->turned) k->walk.group_in = 1; /* a row for each tap, not each channel */
    size_t samples = (size_t)k->strip.samples;
    size_t pixels = samples * (size_t)k->strip.rows * (size_t)c->out_w;
    k->pixel = (int32_t *)(void *)conv_carve(scratch, &used, pixels);
    k->tap = (int32_t *)(void *)conv_carve(scratch, &used, (size_t)conv_steps(&k->walk));
    k->row = (int32_t *)(void *)conv_carve(scratch, &used, (size_t)conv_steps(&k->walk));
    k->zeros = conv_carve(scratch, &used, CONV_LANES);
    k->copy = conv_carve(scratch, &used, samples * conv_view_size(&k->walk, k->strip.rows));
    k->panel = conv_carve(scratch, &used, CONV_LANES * (k->turned ? (size_t)conv_steps(&k->walk) : pixels));
    return used;
}

size_t conv_weights_scratch(const cnn_conv *c) {
    work k;
    size_t bytes = prepare(&k, c, NULL);
    if (conv_way_weights(c) != CONV_WINOGRAD) return bytes;
    size_t winograd = conv_winograd_weights_scratch(c);
    return winograd > bytes ? winograd : bytes;
}

/* One vector of dy's channels at every pixel of the strip, into the panel. */
static void gather(const float *dy, int pixels, int out_c, int channels, float *panel, int lanes) {
    if (channels >= CNN_LANES)
        for (int p = 0; p < pixels; p++) v_store(panel + p * lanes, v_load(dy + (ptrdiff_t)p * out_c));
    else
        for (int p = 0; p < pixels; p++)
            v_store(panel + p * lanes, v_load_n(dy + (ptrdiff_t)p * out_c, channels));
}

/* The panel's sum, added to db: four chains, as one would wait for each addition. */
static void sum_panel(const float *panel, int pixels, int lanes, int channels, float *db) {
    vf sum[4] = {{0}, {0}, {0}, {0}};
    int p = 0;
    for (; p + 4 <= pixels; p += 4)
        for (int i = 0; i < 4; i++) sum[i] += v_load(panel + (p + i) * lanes);
    for (; p < pixels; p++) sum[0] += v_load(panel + p * lanes);
    vf total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    if (channels >= CNN_LANES)
        v_store(db, v_load(db) + total);
    else
        v_store_n(db, v_load_n(db, channels) + total, channels);
}

/* One strip: every group, every block of channels. */
static void run_strip(const work *k, const float *x, int pixels, const float *dy, int out_c, float *dw,
                      float *db) {
    const conv_walk *w = &k->walk;
    conv_tile t = {.lanes = w->lanes,
                   .add = true,
                   .steps = pixels,
                   .step = k->pixel,
                   .x_at = k->tap + k->first,
                   .y_at = k->row + k->first};
    t.bias = k->zeros;
    for (int g = 0; g < w->groups; g++)
        for (int block, first = 0; first < w->group_out; first += block) {
            block = conv_block(w->lanes, w->group_out - first);
            int channel = g * w->group_out + first;
            t.channels = block;
            t.vectors = (block + CNN_LANES - 1) / CNN_LANES;
            int lanes = t.vectors * CNN_LANES;
            bool gathered = block == out_c && block == lanes;
            t.panel = gathered ? dy : k->panel;
            for (int v = 0; v < block; v += CNN_LANES) {
                if (!gathered) gather(dy + channel + v, pixels, out_c, block - v, k->panel + v, lanes);
                if (db) sum_panel(t.panel + v, pixels, lanes, block - v, db + channel + v);
            }
            t.x = x + (w->lanes ? first : g * w->group_in);
            t.y = dw ? dw + channel : NULL;
            if (dw) conv_run_rows(&t, k->last - k->first);
        }
}

/* Sums of all taps [taps, lanes] of input channels first … and one output channel: added to dw, at that channel. */
static void add_turned(const float *sums, int taps, int channels, int in_c, int out_c, float *dw) {
    for (int t = 0; t < taps; t++)
        for (int i = 0; i < channels; i++) dw[((ptrdiff_t)t * in_c + i) * out_c] += sums[t * CONV_LANES + i];
}

/* One strip: every output channel, every block of input channels. */
static void run_strip_turned(const work *k, const float *x, int pixels, const float *dy, int out_c, float *dw,
                             float *db) {
    int in_c = k->walk.in_c, taps = k->last - k->first;
    conv_tile t = {.pixel = out_c,
                   .steps = pixels,
                   .step = k->pixel,
                   .x_at = k->tap + k->first,
                   .y_at = k->row,
                   .y = k->panel};
    t.bias = k->zeros;
    if (db) CNN_KERNEL(sum_rows)(dy, pixels, out_c, out_c, db);
    for (int o = 0; dw && o < out_c; o++)
        for (int first = 0; first < in_c; first += t.channels) {
            t.channels = conv_block(true, in_c - first);
            t.vectors = (t.channels + CNN_LANES - 1) / CNN_LANES;
            t.panel = dy + o;
            t.x = x + first;
            conv_run_rows(&t, taps);
            add_turned(k->panel, taps, t.channels, in_c, out_c,
                       dw + ((ptrdiff_t)k->first * in_c + first) * out_c + o);
        }
}

/* Where steps and rows read and write: the same for every strip, a smaller one having the first part of it.
 */
static void place(const work *k, const conv_view *x) {
    const conv_walk *w = &k->walk;
    conv_offsets(w, x, k->tap);
    conv_grid(1, 1, conv_steps(w), 0, 0, k->turned ? CONV_LANES : w->groups * w->group_out, k->row);
    conv_grid(k->strip.samples, k->strip.rows, w->out_w, x->sample, w->stride_h * x->row,
              w->stride_w * x->pixel, k->pixel);
}

void CNN_KERNEL(conv_grad_weights)(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                   float *db, void *scratch) {
    CNN_KERNEL(conv_grad_weights_part)(c, n, x, dy, dw, db, 0, 1, scratch);
}

/* A part is some of dw's rows, or, on Winograd's way, which has these all at once, of its columns. */
void CNN_KERNEL(conv_grad_weights_part)(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                        float *db, int part, int parts, void *scratch) {
    if (dw && conv_way_weights(c) == CONV_WINOGRAD) {
        conv_winograd_grad_weights(c, n, x, dy, dw, part, parts, scratch);
        dw = NULL;
        if (part > 0 || !db) return;
    }
    work k;
    prepare(&k, c, scratch);
    if (part > 0) db = NULL;
    k.first = (int)((int64_t)conv_steps(&k.walk) * part / parts);
    k.last = (int)((int64_t)conv_steps(&k.walk) * (part + 1) / parts);
    memset(k.zeros, 0, CONV_LANES * sizeof(float));
    const conv_walk *w = &k.walk;
    if (conv_slides(w)) {
        int64_t pixels = (int64_t)n * c->out_h * c->out_w;
        if (dw) conv_slide_weights(w, n, x, dy, dw, part, parts);
        if (db) CNN_KERNEL(sum_rows)(dy, pixels, c->out_c, c->out_c, db);
        return;
    }
    ptrdiff_t x_sample = (ptrdiff_t)c->in_h * c->in_w * c->in_c, dy_row = (ptrdiff_t)c->out_w * c->out_c;
    for (int s = 0; s < n; s += k.strip.samples)
        for (int r = 0; r < c->out_h; r += k.strip.rows) {
            int samples = n - s < k.strip.samples ? n - s : k.strip.samples;
            int rows = c->out_h - r < k.strip.rows ? c->out_h - r : k.strip.rows;
            conv_view view = conv_view_open(w, x + s * x_sample, samples, r, rows, k.copy);
            if (s == 0 && r == 0) place(&k, &view);
            const float *from = dy + ((ptrdiff_t)s * c->out_h + r) * dy_row;
            (k.turned ? run_strip_turned : run_strip)(&k, view.origin, samples * rows * c->out_w, from,
                                                      c->out_c, dw, db);
        }
}
