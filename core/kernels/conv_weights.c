/* The gradient to the weights: dw[tap, i, o] += Σ over output pixels of x[pixel + tap, i] · dy[pixel, o].
 *
 * The tile of conv_tile.c turned over: its rows are taps and input channels (up to 12 at a time, each with
 * its own pointer into x), its steps the output pixels of a strip, its panel one or two vectors of dy's
 * channels. A strip is small enough for its panel to stay in the L1 cache while all rows pass over it; dy is
 * gathered into the panel once for all of them (unless it has the shape of one), which also fills its last
 * vector with zeros; db is its sum. Sums stay in registers for a whole strip (of several samples where these
 * are small) and are then added to dw, so a long sum is one of short sums, in the order of strips and
 * samples. */
#include "kernels/conv.h"
#include "kernels/simd.h"

enum { POSITIONS = 256 }; /* outputs of a strip, about: the panel's steps */

typedef struct work {
    conv_walk walk;
    conv_strip strip;
    int32_t *pixel; /* [pixels of a strip]: where each reads x */
    int32_t *tap;   /* [rows of dw]: where each row reads x, relative to the pixel */
    int32_t *row;   /* [rows of dw]: where each lies in dw */
    float *zeros, *copy, *panel;
} work;

static size_t prepare(work *k, const cnn_conv *c, void *scratch) {
    size_t used = 0;
    k->walk = conv_forward_walk(c);
    k->strip = conv_strip_of(&k->walk, POSITIONS, 1);
    size_t samples = (size_t)k->strip.samples;
    size_t pixels = samples * (size_t)k->strip.rows * (size_t)c->out_w;
    k->pixel = (int32_t *)(void *)conv_carve(scratch, &used, pixels);
    k->tap = (int32_t *)(void *)conv_carve(scratch, &used, (size_t)conv_steps(&k->walk));
    k->row = (int32_t *)(void *)conv_carve(scratch, &used, (size_t)conv_steps(&k->walk));
    k->zeros = conv_carve(scratch, &used, CONV_LANES);
    k->copy = conv_carve(scratch, &used, samples * conv_view_size(&k->walk, k->strip.rows));
    k->panel = conv_carve(scratch, &used, pixels * CONV_LANES);
    return used;
}

size_t conv_weights_scratch(const cnn_conv *c) {
    work k;
    return prepare(&k, c, NULL);
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
    conv_tile t = {
        .lanes = w->lanes, .add = true, .steps = pixels, .step = k->pixel, .x_at = k->tap, .y_at = k->row};
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
            if (dw) conv_run_rows(t, conv_steps(w));
        }
}

/* Where steps and rows read and write: the same for every strip, a smaller one having the first part of it.
 */
static void place(const work *k, const conv_view *x) {
    const conv_walk *w = &k->walk;
    conv_offsets(w, x, k->tap);
    conv_grid(1, 1, conv_steps(w), 0, 0, w->groups * w->group_out, k->row);
    conv_grid(k->strip.samples, k->strip.rows, w->out_w, x->sample, w->stride_h * x->row,
              w->stride_w * x->pixel, k->pixel);
}

void CNN_KERNEL(conv_grad_weights)(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                   float *db, void *scratch) {
    work k;
    prepare(&k, c, scratch);
    memset(k.zeros, 0, CONV_LANES * sizeof(float));
    const conv_walk *w = &k.walk;
    ptrdiff_t x_sample = (ptrdiff_t)c->in_h * c->in_w * c->in_c, dy_row = (ptrdiff_t)c->out_w * c->out_c;
    for (int s = 0; s < n; s += k.strip.samples)
        for (int r = 0; r < c->out_h; r += k.strip.rows) {
            int samples = n - s < k.strip.samples ? n - s : k.strip.samples;
            int rows = c->out_h - r < k.strip.rows ? c->out_h - r : k.strip.rows;
            conv_view view = conv_view_open(w, x + s * x_sample, samples, r, rows, k.copy);
            if (s == 0 && r == 0) place(&k, &view);
            const float *from = dy + ((ptrdiff_t)s * c->out_h + r) * dy_row;
            run_strip(&k, view.origin, samples * rows * c->out_w, from, c->out_c, dw, db);
        }
}
