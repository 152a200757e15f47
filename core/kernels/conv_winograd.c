/* 3×3 convolution with a quarter of the multiplications: Winograd's F(4×4, 3×3), forward and to the input.
 *
 * Four neighbouring outputs of a correlation with three taps need 12 products; but they are sums of coefficients of a
 * product of polynomials, which six of its values determine, and a value of the product is one product of values. So
 * 4×4 outputs of a 3×3 kernel take 36 products instead of 144:
 *     y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A,     x: a 6×6 window, y: its 4×4 outputs, ⊙: at each of 36 points
 * with the matrices of conv_winograd.h. The transforms are linear, so the sum over input channels is done at the
 * points: there a layer is 36 small matrix products [tiles, in_c]·[in_c, out_c]. Being linear in x and in w, the
 * formula turned over gives both gradients, with the same matrices:
 *     dx = B [ (G w Gᵀ) ⊙ (A dy Aᵀ) ] Bᵀ,    dw = Gᵀ [ (Bᵀ x B) ⊙ (A dy Aᵀ) ] G,
 * where the windows of dx overlap and are added up. dw is conv_winograd_weights.c's.
 *
 * Blocking: a strip of some 16 to 48 tiles (some rows of tiles, or several small samples) is transformed, all its
 * channels, to `points` [tile, point, channel]. Then for each block of two vectors of output channels the tile of
 * conv_tile.c, up to 12 tiles × 2 vectors in registers, multiplies it point by point with the packed weights into
 * `sums` [tile, point, 2 vectors], and these are transformed back. Strip and sums stay within the L2 cache; weights
 * stream through once a strip. Channels are the vectors of all transforms, which spend on a vector of a tile some 140
 * multiply-adds, 72 loads and 72 stores; the products, 36 multiply-adds for each channel at the other side: with many
 * channels the transforms are the lesser part (conv_way.c). Windows that stand out of the picture read zeros there, and
 * are written in part.
 *
 * A tile's outputs do not depend on the others of its strip, so a sample's result is the same in any company. What is
 * not a number, or infinite, spreads to its tile's 16 outputs. */
#include "kernels/conv_winograd.h"
#include "kernels/nn.h"

#define ALWAYS WINOGRAD_ALWAYS

enum { IN = WINOGRAD_IN, OUT = WINOGRAD_OUT, POINTS = WINOGRAD_POINTS };

/* ---- weights --------------------------------------------------------------------------------------------- */

/* One vector of kernels, whose taps are `tap` floats apart, to its points. */
ALWAYS void pack_vector(const float *weights, ptrdiff_t tap, int lanes, float *packed, ptrdiff_t apart) {
    vf t[IN][IN];
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++) {
        vf w[IN];
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            const float *from = weights + (3 * i + j) * tap;
            w[i] = lanes == CNN_LANES ? v_load(from) : v_load_n(from, lanes);
        }
        winograd_g(w);
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) t[i][j] = w[i];
    }
#pragma GCC unroll 1
    for (int i = 0; i < IN; i++, packed += IN * apart) {
        winograd_g(t[i]);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) v_store(packed + j * apart, t[i][j]);
    }
}

size_t conv_winograd_packed_size(int steps, int out) {
    size_t size = 0;
    for (int block, first = 0; first < out; first += block) {
        block = conv_block(false, out - first);
        size += (size_t)(POINTS * winograd_panel_size(steps, winograd_round_up(block)));
    }
    return size;
}

/* Lanes beyond the channels are 0. */
void conv_winograd_pack(const cnn_conv *c, const float *weights, float *packed) {
    int steps = c->in_c, out = c->out_c;
    for (int block, first = 0; first < out; first += block) {
        block = conv_block(false, out - first);
        int lanes = winograd_round_up(block);
        for (int s = 0; s < steps; s++)
            for (int v = 0; v < block; v += CNN_LANES)
                pack_vector(weights + (ptrdiff_t)s * out + first + v, (ptrdiff_t)steps * out,
                            winograd_least(block - v, CNN_LANES), packed + s * lanes + v,
                            winograd_panel_size(steps, lanes));
        packed += POINTS * winograd_panel_size(steps, lanes);
    }
}

/* `count` steps of a vector of lanes: squares of each tap, turned, and then as above. */
static void pack_turned(const float *weights, ptrdiff_t tap, ptrdiff_t lane, int channels, int count,
                        float *packed, int lanes, ptrdiff_t apart) {
    enum { SQUARE = CNN_LANES * CNN_LANES };
    float taps[9 * SQUARE] __attribute__((aligned(64)));
    for (int i = 0; i < 9; i++)
        CNN_KERNEL(transpose_lanes)(weights + i * tap, lane, channels, count, taps + i * SQUARE, CNN_LANES);
    for (int s = 0; s < count; s++)
        pack_vector(taps + s * CNN_LANES, SQUARE, CNN_LANES, packed + s * lanes, apart);
}

void conv_winograd_pack_grad(const cnn_conv *c, const float *weights, float *packed) {
    int steps = c->out_c, out = c->in_c;
    for (int block, first = 0; first < out; first += block) {
        block = conv_block(false, out - first);
        int lanes = winograd_round_up(block);
        for (int s = 0; s < steps; s += CNN_LANES)
            for (int v = 0; v < block; v += CNN_LANES)
                pack_turned(weights + (ptrdiff_t)(first + v) * steps + s, (ptrdiff_t)steps * out, steps,
                            winograd_least(block - v, CNN_LANES), winograd_least(steps - s, CNN_LANES),
                            packed + s * lanes + v, lanes, winograd_panel_size(steps, lanes));
        packed += POINTS * winograd_panel_size(steps, lanes);
    }
}

/* ---- pictures to points ---------------------------------------------------------------------------------- */

ALWAYS void to_points(int size, vf d[IN]) {
    size == IN ? winograd_bt(d) : winograd_a(d);
}

/* Rows i and columns j of a window that lie in its picture. */
typedef struct part {
    int first_row, last_row, first_column, last_column;
} part;

static part part_of(const winograd_windows *w, int top, int left) {
    return (part){top < 0 ? -top : 0, winograd_least(w->size, w->h - top), left < 0 ? -left : 0,
                  winograd_least(w->size, w->w - left)};
}

static bool is_whole(const winograd_windows *w, const part *p) {
    return p->last_row - p->first_row == w->size && p->last_column - p->first_column == w->size;
}

/* One vector of a window, of which only a part is there if `whole` is false. */
ALWAYS void read_vector(int size, bool whole, part p, const float *x, ptrdiff_t row, ptrdiff_t pixel,
                        int lanes, float *points, ptrdiff_t apart) {
    vf t[IN][IN];
#pragma GCC unroll 1
    for (int j = 0; j < size; j++, x += pixel) {
        vf d[IN] = {{0}};
        if (whole || (j >= p.first_column && j < p.last_column)) {
#pragma GCC unroll 6
            for (int i = 0; i < size; i++)
                if (whole || (i >= p.first_row && i < p.last_row))
                    d[i] = lanes == CNN_LANES ? v_load(x + i * row) : v_load_n(x + i * row, lanes);
            to_points(size, d);
        }
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) t[i][j] = d[i];
    }
#pragma GCC unroll 1
    for (int i = 0; i < IN; i++, points += IN * apart) {
        to_points(size, t[i]);
#pragma GCC unroll 6
        for (int j = 0; j < IN; j++) v_store(points + j * apart, t[i][j]);
    }
}

ALWAYS void read_vectors(int size, bool whole, part p, const float *x, ptrdiff_t row, ptrdiff_t pixel,
                         int count, float *points, ptrdiff_t apart) {
    int c = 0;
    for (; c + CNN_LANES <= count; c += CNN_LANES)
        read_vector(size, whole, p, x + c, row, pixel, CNN_LANES, points + c, apart);
    if (c < count) read_vector(size, false, p, x + c, row, pixel, count - c, points + c, apart);
}

/* The window of tile (r, q). */
static void read_window(const winograd_windows *from, const float *picture, int r, int q, int count,
                        float *points, ptrdiff_t apart) {
    int top = OUT * r - from->top, left = OUT * q - from->left;
    ptrdiff_t pixel = from->channels, row = pixel * from->w;
    const float *x = picture + top * row + left * pixel;
    part p = part_of(from, top, left);
    bool whole = is_whole(from, &p);
    if (from->size == IN)
        whole ? read_vectors(IN, true, p, x, row, pixel, count, points, apart)
              : read_vectors(IN, false, p, x, row, pixel, count, points, apart);
    else
        whole ? read_vectors(OUT, true, p, x, row, pixel, count, points, apart)
              : read_vectors(OUT, false, p, x, row, pixel, count, points, apart);
}

void winograd_read(const winograd_windows *from, winograd_strip s, const float *picture, int first, int count,
                   float *points, ptrdiff_t tile, ptrdiff_t apart) {
    picture += first;
    for (int i = 0; i < s.samples; i++, picture += (ptrdiff_t)from->h * from->w * from->channels)
        for (int r = s.first; r < s.first + s.rows; r++)
            for (int q = 0; q < s.wide; q++, points += tile)
                read_window(from, picture, r, q, count, points, apart);
}

ptrdiff_t winograd_tile_size(int channels) {
    return (ptrdiff_t)POINTS * winograd_round_up(channels) + 16;
}

/* ---- points to pictures ---------------------------------------------------------------------------------- */

/* Where a window is written. */
typedef struct target {
    float *y; /* the window's first pixel, even where that is outside */
    ptrdiff_t row, pixel;
    part part;
    bool whole, relu;
} target;

/* Windows of 4 are written, with the bias; those of 6 are added. */
ALWAYS void write_pixel(int size, bool relu, float *y, vf value, int lanes) {
    bool full = lanes == CNN_LANES;
    if (size == IN) value = value + (full ? v_load(y) : v_load_n(y, lanes));
    if (relu) value = v_max((vf){0}, value);
    full ? v_store(y, value) : v_store_n(y, value, lanes);
}

ALWAYS void write_vector(int size, bool whole, const float *sums, int lanes, const float *bias,
                         const target *to, float *y) {
    vf t[IN][IN], offset = v_load(bias);
    bool relu = size == OUT && to->relu;
    ptrdiff_t row = to->row, pixel = to->pixel;
    part p = whole ? (part){0, size, 0, size} : to->part;
#pragma GCC unroll 1
    for (int j = 0; j < IN; j++, sums += CONV_LANES) {
        vf m[IN];
#pragma GCC unroll 6
        for (int i = 0; i < IN; i++) m[i] = v_load(sums + i * IN * CONV_LANES);
        size == IN ? winograd_b(m) : winograd_at(m);
#pragma GCC unroll 6
        for (int i = 0; i < size; i++) t[i][j] = m[i];
    }
#pragma GCC unroll 1
    for (int i = p.first_row; i < p.last_row; i++) {
        size == IN ? winograd_b(t[i]) : winograd_at(t[i]);
#pragma GCC unroll 6
        for (int j = 0; j < size; j++)
            if (j >= p.first_column && j < p.last_column)
                write_pixel(size, relu, y + i * row + j * pixel, size == OUT ? t[i][j] + offset : t[i][j],
                            lanes);
    }
}

ALWAYS void write_vectors(int size, bool whole, const float *sums, int channels, const float *bias,
                          const target *to) {
    int c = 0;
    for (; c + CNN_LANES <= channels; c += CNN_LANES)
        write_vector(size, whole, sums + c, CNN_LANES, bias + c, to, to->y + c);
    if (c < channels) write_vector(size, false, sums + c, channels - c, bias + c, to, to->y + c);
}

static void write_4(const float *sums, int channels, const float *bias, const target *to) {
    to->whole ? write_vectors(OUT, true, sums, channels, bias, to)
              : write_vectors(OUT, false, sums, channels, bias, to);
}

static void write_6(const float *sums, int channels, const float *bias, const target *to) {
    to->whole ? write_vectors(IN, true, sums, channels, bias, to)
              : write_vectors(IN, false, sums, channels, bias, to);
}

/* ---- strips --------------------------------------------------------------------------------------------- */

winograd_strip winograd_strip_of(int h, int w, int most, int pool_h) {
    int high = winograd_quotient(h, OUT), wide = winograd_quotient(w, OUT), all = high * wide;
    int rows = winograd_quotient(high, winograd_quotient(all, most));
    while (rows < high && rows * OUT % pool_h) rows++;
    return (winograd_strip){all < most ? most / all : 1, 0, rows, wide};
}

typedef struct work {
    winograd_windows from, to;
    int high; /* rows of tiles of a sample */
    winograd_strip strip;
    int32_t *step, *x_at, *y_at; /* for conv_tile: channels, tiles, tiles */
    float *zeros, *bias;
    float *points, *sums; /* of a strip */
    float *pooled;        /* what is to be pooled of it */
} work;

/* What is read of a strip, and its sums, are half of a small L2 cache at most. */
static int tiles_of_strip(int channels) {
    enum { FLOATS = 80 << 10, LEAST = 16, MOST = 48 };
    int tiles = FLOATS / (POINTS * (winograd_round_up(channels) + CONV_LANES));
    return tiles < LEAST ? LEAST : winograd_least(tiles, MOST);
}

static size_t prepare(work *k, int h, int w, int pool_h, bool pooled, void *scratch) {
    size_t used = 0, channels = (size_t)k->from.channels;
    k->high = winograd_quotient(h, OUT);
    k->strip = winograd_strip_of(h, w, tiles_of_strip(k->from.channels), pool_h);
    size_t rows = (size_t)(k->strip.samples * k->strip.rows), tiles = rows * (size_t)k->strip.wide;
    k->step = (int32_t *)(void *)conv_carve(scratch, &used, channels);
    k->x_at = (int32_t *)(void *)conv_carve(scratch, &used, tiles);
    k->y_at = (int32_t *)(void *)conv_carve(scratch, &used, tiles);
    k->zeros = conv_carve(scratch, &used, CONV_LANES);
    k->bias = conv_carve(scratch, &used, (size_t)winograd_round_up(k->to.channels));
    k->points = conv_carve(scratch, &used, tiles * (size_t)winograd_tile_size(k->from.channels));
    k->sums = conv_carve(scratch, &used, tiles * POINTS * CONV_LANES);
    k->pooled = conv_carve(scratch, &used, pooled ? rows * OUT * (size_t)w * CONV_LANES : 0);
    return used;
}

static int tiles_of(winograd_strip s) {
    return s.samples * s.rows * s.wide;
}

/* What stays the same for all strips; the last, of fewer tiles, has the first part of it. */
static void fill(const work *k, const float *bias) {
    memset(k->zeros, 0, CONV_LANES * sizeof(float));
    memset(k->bias, 0, (size_t)winograd_round_up(k->to.channels) * sizeof(float));
    if (bias) memcpy(k->bias, bias, (size_t)k->to.channels * sizeof(float));
    conv_grid(1, 1, k->from.channels, 0, 0, 1, k->step);
    conv_grid(1, 1, tiles_of(k->strip), 0, 0, winograd_tile_size(k->from.channels), k->x_at);
    conv_grid(1, 1, tiles_of(k->strip), 0, 0, POINTS * CONV_LANES, k->y_at);
}

/* The strip of `samples` samples that begins with row `first` of tiles, which may be the last. */
static winograd_strip strip_at(const work *k, int samples, int first) {
    winograd_strip s = k->strip;
    s.samples = winograd_least(s.samples, samples);
    s.first = first;
    s.rows = winograd_least(s.rows, k->high - first);
    return s;
}

static void read_strip(const work *k, winograd_strip s, const float *picture) {
    int channels = k->from.channels;
    winograd_read(&k->from, s, picture, 0, channels, k->points, winograd_tile_size(channels),
                  winograd_round_up(channels));
}

static void sums_of_block(const work *k, int tiles, int block, const float *packed) {
    int steps = k->from.channels;
    conv_tile t = {.steps = steps, .step = k->step, .x_at = k->x_at, .y_at = k->y_at, .bias = k->zeros};
    t.ahead = true;
    t.vectors = winograd_quotient(block, CNN_LANES);
    t.channels = t.vectors * CNN_LANES;
    for (int p = 0; p < POINTS; p++) {
        t.panel = packed + p * winograd_panel_size(steps, t.channels);
        t.x = k->points + (ptrdiff_t)p * winograd_round_up(steps);
        t.y = k->sums + p * CONV_LANES;
        conv_run_rows(&t, tiles);
    }
}

/* One tile's sums of a block of channels → its window in a picture. */
static void write_tile(const winograd_windows *to, const float *sums, int r, int q, int block,
                       const float *bias, bool relu, float *picture) {
    int top = OUT * r - to->top, left = OUT * q - to->left;
    target t = {.pixel = to->channels, .row = (ptrdiff_t)to->w * to->channels, .relu = relu};
    t.y = picture + top * t.row + left * t.pixel;
    t.part = part_of(to, top, left);
    t.whole = is_whole(to, &t.part);
    (to->size == IN ? write_6 : write_4)(sums, block, bias, &t);
}

static void write_strip(const work *k, const winograd_windows *to, winograd_strip s, int block,
                        const float *bias, bool relu, float *picture) {
    const float *sums = k->sums;
    for (int i = 0; i < s.samples; i++, picture += (ptrdiff_t)to->h * to->w * to->channels)
        for (int r = s.first; r < s.first + s.rows; r++)
            for (int q = 0; q < s.wide; q++, sums += POINTS * CONV_LANES)
                write_tile(to, sums, r, q, block, bias, relu, picture);
}

/* ---- forward --------------------------------------------------------------------------------------------- */

static int at_least_1(int size) {
    return size > 1 ? size : 1;
}

static bool has_pooling(const cnn_conv_epilogue *e) {
    return e && (e->pool_h > 1 || e->pool_w > 1);
}

static size_t prepare_forward(work *k, const cnn_conv *c, const cnn_conv_epilogue *e, void *scratch) {
    k->from = winograd_of_x(c);
    k->to = winograd_of_y(c);
    return prepare(k, c->out_h, c->out_w, e ? at_least_1(e->pool_h) : 1, has_pooling(e), scratch);
}

/* The maxima of the block's outputs, which are written to scratch as a picture of the strip alone. */
static void pool_strip(const work *k, winograd_strip s, int block, const float *bias, const conv_pooling *p,
                       float *y, uint8_t *index) {
    int rows = winograd_least(s.rows * OUT, k->to.h - s.first * OUT);
    winograd_windows all = {rows, k->to.w, CONV_LANES, OUT, s.first * OUT, 0};
    write_strip(k, &all, s, winograd_round_up(block), bias, false, k->pooled);
    conv_pool_block(p, s.samples * rows / p->pool_h, all.w / p->pool_w, block, k->pooled, y, index);
}

void conv_winograd_forward(const cnn_conv *c, int n, const float *x, const float *packed,
                           const cnn_conv_epilogue *e, float *y, uint8_t *index, void *scratch) {
    work k;
    prepare_forward(&k, c, e, scratch);
    fill(&k, e->bias);
    conv_pooling pooling = {at_least_1(e->pool_h), at_least_1(e->pool_w), k.to.w, c->out_c, 0, e->relu};
    ptrdiff_t row = (ptrdiff_t)(k.to.w / pooling.pool_w) * c->out_c, sample = k.to.h / pooling.pool_h * row;
    pooling.y_row = row;
    for (int i = 0; i < n; i += k.strip.samples)
        for (int r = 0; r < k.high; r += k.strip.rows) {
            winograd_strip s = strip_at(&k, n - i, r);
            read_strip(&k, s, x + (ptrdiff_t)i * c->in_h * c->in_w * c->in_c);
            ptrdiff_t at = i * sample, pooled_at = at + OUT * r / pooling.pool_h * row;
            const float *panel = packed;
            for (int block, first = 0; first < c->out_c; first += block) {
                block = conv_block(false, c->out_c - first);
                sums_of_block(&k, tiles_of(s), block, panel);
                panel += conv_winograd_packed_size(c->in_c, block);
                if (has_pooling(e))
                    pool_strip(&k, s, block, k.bias + first, &pooling, y + pooled_at + first,
                               index ? index + pooled_at + first : NULL);
                else
                    write_strip(&k, &k.to, s, block, k.bias + first, e->relu, y + at + first);
            }
        }
}

/* ---- gradient to the input ------------------------------------------------------------------------------- */

static size_t prepare_grad(work *k, const cnn_conv *c, void *scratch) {
    k->from = winograd_of_y(c);
    k->to = winograd_of_x(c);
    return prepare(k, c->out_h, c->out_w, 1, false, scratch);
}

void conv_winograd_grad_input(const cnn_conv *c, int n, const float *dy, const float *packed, float *dx,
                              void *scratch) {
    work k;
    prepare_grad(&k, c, scratch);
    fill(&k, NULL);
    ptrdiff_t dx_sample = (ptrdiff_t)c->in_h * c->in_w * c->in_c;
    ptrdiff_t dy_sample = (ptrdiff_t)c->out_h * c->out_w * c->out_c;
    memset(dx, 0, (size_t)n * (size_t)dx_sample * sizeof(float));
    for (int i = 0; i < n; i += k.strip.samples)
        for (int r = 0; r < k.high; r += k.strip.rows) {
            winograd_strip s = strip_at(&k, n - i, r);
            read_strip(&k, s, dy + i * dy_sample);
            const float *panel = packed;
            for (int block, first = 0; first < c->in_c; first += block) {
                block = conv_block(false, c->in_c - first);
                sums_of_block(&k, tiles_of(s), block, panel);
                panel += conv_winograd_packed_size(c->out_c, block);
                write_strip(&k, &k.to, s, block, k.bias + first, false, dx + i * dx_sample + first);
            }
        }
}

size_t conv_winograd_scratch(const cnn_conv *c, const cnn_conv_epilogue *e) {
    work k;
    size_t forward = prepare_forward(&k, c, e, NULL), grad = prepare_grad(&k, c, NULL);
    return forward > grad ? forward : grad;
}
