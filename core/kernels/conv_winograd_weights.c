/* The gradient to the weights of a 3×3 convolution by Winograd's F(4×4, 3×3): dw = Gᵀ [ (Bᵀ x B) ⊙ (A dy Aᵀ) ] G; see
 * conv_winograd.c.
 *
 * At each point it is a product of matrices again, [in_c, tiles]·[tiles, out_c]: the tile of conv_tile.c with input
 * channels as its rows, a strip's tiles as its steps, and as panel one or two vectors of dy's channels. A strip's x is
 * transformed once, its dy block after block. A block's sums, [point, input channel, 2 vectors], go back through Gᵀ,
 * which makes 9 numbers of 36, and are added to dw; some input channels at a time, so that they stay in the L2 cache.
 * As that is done once a strip, strips are as long as the caches let them be.
 *
 * A long sum is one of short sums, one a strip, in the order of strips and samples. */
#include "kernels/conv_winograd.h"

#define ALWAYS WINOGRAD_ALWAYS

/* CHUNK: input channels whose sums are worked on at a time, four tiles of the widest. */
enum { IN = WINOGRAD_IN, OUT = WINOGRAD_OUT, POINTS = WINOGRAD_POINTS, CHUNK = 48 };

typedef struct work {
    winograd_windows x, dy;
    int high;        /* rows of tiles of a sample */
    int first, last; /* output channels to do */
    winograd_strip strip;
    int32_t *tile;             /* [tiles of a strip]: where each lies in x_points */
    int32_t *channel, *sum_at; /* [CHUNK]: where each lies in x_points, and in a point's sums */
    float *zeros;
    float *x_points;  /* [tiles, points, in_c] */
    float *dy_points; /* [points, tiles, 2 vectors] */
    float *sums;      /* [points, CHUNK, 2 vectors] */
} work;

static size_t prepare(work *k, const cnn_conv *c, void *scratch) {
    enum { FLOATS = 128 << 10, LEAST = 32, MOST = 64 };
    size_t used = 0;
    k->x = winograd_of_x(c);
    k->dy = winograd_of_y(c);
    k->high = winograd_quotient(c->out_h, OUT);
    int most = FLOATS / (POINTS * winograd_round_up(c->in_c));
    k->strip = winograd_strip_of(c->out_h, c->out_w, most < LEAST ? LEAST : winograd_least(most, MOST), 1);
    size_t tiles = (size_t)(k->strip.samples * k->strip.rows * k->strip.wide);
    k->tile = (int32_t *)(void *)conv_carve(scratch, &used, tiles);
    k->channel = (int32_t *)(void *)conv_carve(scratch, &used, CHUNK);
    k->sum_at = (int32_t *)(void *)conv_carve(scratch, &used, CHUNK);
    k->zeros = conv_carve(scratch, &used, CONV_LANES);
    k->x_points = conv_carve(scratch, &used, tiles * (size_t)winograd_tile_size(c->in_c));
    k->dy_points = conv_carve(scratch, &used, POINTS * (size_t)winograd_panel_size((int)tiles, CONV_LANES));
    k->sums = conv_carve(scratch, &used, POINTS * (size_t)winograd_panel_size(CHUNK, CONV_LANES));
    return used;
}

size_t conv_winograd_weights_scratch(const cnn_conv *c) {
    work k;
    return prepare(&k, c, NULL);
}

/* One vector of kernels: its sums, `apart` floats between points, to its taps, added to dw, `tap` floats apart. */
ALWAYS void add_vector(const float *sums, ptrdiff_t apart, int lanes, float *dw, ptrdiff_t tap) {
    vf t[3][IN];
#pragma GCC unroll 1
    for (int j = 0; j < IN; j++, sums += apart) {
        vf m[IN];
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) m[i] = v_load(sums + i * IN * apart);
        winograd_gt(m);
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) t[i][j] = m[i];
    }
#pragma GCC unroll 1
    for (int i = 0; i < 3; i++) {
        winograd_gt(t[i]);
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++, dw += tap) {
            if (lanes == CNN_LANES)
                v_store(dw, v_load(dw) + t[i][j]);
            else
                v_store_n(dw, v_load_n(dw, lanes) + t[i][j], lanes);
        }
    }
}

/* The sums of `rows` input channels and a block of output channels. */
static void add_block(const work *k, int rows, int block, float *dw) {
    int lanes = winograd_round_up(block), out_c = k->dy.channels;
    ptrdiff_t apart = winograd_panel_size(rows, lanes), tap = (ptrdiff_t)k->x.channels * out_c;
    for (int i = 0; i < rows; i++, dw += out_c) {
        const float *sums = k->sums + i * lanes;
        int v = 0;
        for (; v + CNN_LANES <= block; v += CNN_LANES) add_vector(sums + v, apart, CNN_LANES, dw + v, tap);
        if (v < block) add_vector(sums + v, apart, block - v, dw + v, tap);
    }
}

/* A block of output channels, whose dy_points are there; dw is at its first. */
static void run_block(const work *k, conv_tile t, int block, float *dw) {
    int in_c = k->x.channels, depth = winograd_round_up(in_c), lanes = winograd_round_up(block);
    t.vectors = lanes / CNN_LANES;
    t.channels = lanes;
    conv_grid(1, 1, CHUNK, 0, 0, lanes, k->sum_at);
    for (int rows, i = 0; i < in_c; i += rows) {
        rows = winograd_least(CHUNK, in_c - i);
        for (int p = 0; p < POINTS; p++) {
            t.x = k->x_points + p * depth + i;
            t.panel = k->dy_points + p * winograd_panel_size(t.steps, lanes);
            t.y = k->sums + p * winograd_panel_size(rows, lanes);
            conv_run_rows(&t, rows);
        }
        add_block(k, rows, block, dw + (ptrdiff_t)i * k->dy.channels);
    }
}

static void run_strip(const work *k, winograd_strip s, const float *x, const float *dy, float *dw) {
    int in_c = k->x.channels;
    winograd_read(&k->x, s, x, 0, in_c, k->x_points, winograd_tile_size(in_c), winograd_round_up(in_c));
    conv_tile t = {.step = k->tile, .x_at = k->channel, .y_at = k->sum_at, .bias = k->zeros};
    t.steps = s.samples * s.rows * s.wide;
    for (int block, first = k->first; first < k->last; first += block) {
        block = conv_block(false, k->last - first);
        int lanes = winograd_round_up(block);
        winograd_read(&k->dy, s, dy, first, block, k->dy_points, lanes, winograd_panel_size(t.steps, lanes));
        run_block(k, t, block, dw + first);
    }
}

/* A part has some of the blocks of output channels. */
void conv_winograd_grad_weights(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                int part, int parts, void *scratch) {
    work k;
    prepare(&k, c, scratch);
    int blocks = winograd_quotient(c->out_c, CONV_LANES);
    k.first = (int)((int64_t)blocks * part / parts) * CONV_LANES;
    k.last = winograd_least((int)((int64_t)blocks * (part + 1) / parts) * CONV_LANES, c->out_c);
    if (k.first >= k.last) return;
    memset(k.zeros, 0, CONV_LANES * sizeof(float));
    winograd_strip s = k.strip;
    conv_grid(1, 1, s.samples * s.rows * s.wide, 0, 0, winograd_tile_size(c->in_c), k.tile);
    conv_grid(1, 1, CHUNK, 0, 0, 1, k.channel);
    for (int i = 0; i < n; i += k.strip.samples)
        for (s.first = 0; s.first < k.high; s.first += k.strip.rows) {
            s.samples = winograd_least(k.strip.samples, n - i);
            s.rows = winograd_least(k.strip.rows, k.high - s.first);
            run_strip(&k, s, x + (ptrdiff_t)i * c->in_h * c->in_w * c->in_c,
                      dy + (ptrdiff_t)i * c->out_h * c->out_w * c->out_c, dw);
        }
}
