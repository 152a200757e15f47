/* The gradient to the weights of a first layer with 2×2 pooling: of the four outputs of a window only the largest has a
 * gradient, and not even that one where relu clipped it. So each window takes, for every tap and input channel, one
 * product a channel instead of four; and the gradient before the pooling, four times as large as the one after it, is
 * never written.
 *
 * Which of the four it is differs from lane to lane. What a window's outputs read through one tap are four numbers, the
 * 2×2 square of the picture that begins there; so all such squares are laid out first, side by side, for some rows of
 * windows at a time (they fit the L1 cache). Then a lane's number is picked out of a square in a register:
 *     dw[tap, i] += pick(square[window + tap, i], place) · dpooled
 * for nine sums of one or two vectors, kept in registers for a row of windows: all taps of one input channel, or one row
 * of taps of two or three. */
#include "kernels/conv.h"
#include "kernels/conv_window.h"
#include "kernels/simd.h"

#define ALWAYS static inline __attribute__((always_inline))

/* Vectors of four lanes have no instruction to pick. */
enum { TAPS = 3, MOST_CHANNELS = CNN_LANES > 4 ? 3 : 1, SQUARE = 4 };

bool CNN_KERNEL(conv_grads_of_windows)(const cnn_conv *c, int pool_h, int pool_w) {
    bool plain = c->stride_h == 1 && c->stride_w == 1 && c->dilation_h == 1 && c->dilation_w == 1;
    return pool_h == 2 && pool_w == 2 && plain && c->kernel_h == TAPS && c->kernel_w == TAPS &&
           c->groups == 1 && c->in_c <= MOST_CHANNELS;
}

typedef struct work {
    conv_walk walk;
    int rows;         /* of windows at a time */
    ptrdiff_t across; /* squares of a row of the picture */
    float *copy, *squares;
} work;

static size_t prepare(work *k, const cnn_conv *c, void *scratch) {
    enum { FLOATS = 6 << 10 };
    size_t used = 0;
    k->walk = conv_forward_walk(c);
    k->across = ((ptrdiff_t)(c->out_w + TAPS - 2) * c->in_c + CNN_LANES - 1) / CNN_LANES * CNN_LANES;
    ptrdiff_t rows = (FLOATS / (SQUARE * k->across) - 1) / 2;
    k->rows = rows < 1 ? 1 : rows < c->out_h / 2 ? (int)rows : c->out_h / 2;
    k->copy = conv_carve(scratch, &used, conv_view_size(&k->walk, 2 * k->rows));
    k->squares = conv_carve(scratch, &used, (size_t)((2 * k->rows + 1) * k->across * SQUARE));
    return used;
}

size_t conv_windows_scratch(const cnn_conv *c) {
    work k;
    return prepare(&k, c, NULL);
}

/* `count` squares, whose corners are those of a vector of numbers, their right neighbours, and the same a row below. */
ALWAYS void squares(const float *x, ptrdiff_t pixel, ptrdiff_t row, int count, float *to) {
    bool full = count == CNN_LANES;
    vf a = full ? v_load(x) : v_load_n(x, count), b = full ? v_load(x + pixel) : v_load_n(x + pixel, count);
    x += row;
    vf c = full ? v_load(x) : v_load_n(x, count), d = full ? v_load(x + pixel) : v_load_n(x + pixel, count);
    vf ac = v_first_halves(a, c), bd = v_first_halves(b, d);
    v_store(to, v_first_halves(ac, bd));
    v_store(to + CNN_LANES, v_second_halves(ac, bd));
    ac = v_second_halves(a, c), bd = v_second_halves(b, d);
    v_store(to + 2 * CNN_LANES, v_first_halves(ac, bd));
    v_store(to + 3 * CNN_LANES, v_second_halves(ac, bd));
}

static void lay_out(const work *k, const conv_view *view, int rows) {
    int count = (k->walk.out_w + TAPS - 2) * k->walk.in_c;
    for (int r = 0; r < 2 * rows + 1; r++) {
        const float *x = view->origin + r * view->row;
        float *to = k->squares + r * k->across * SQUARE;
        int i = 0;
        for (; i + CNN_LANES <= count; i += CNN_LANES)
            squares(x + i, view->pixel, view->row, CNN_LANES, to + i * SQUARE);
        if (i < count) squares(x + i, view->pixel, view->row, count - i, to + i * SQUARE);
    }
}

/* A row of windows: sums of `rows` rows of `run` taps and channels each, and of the gradients. */
ALWAYS void add_row(int rows, int run, int vectors, const float *square, ptrdiff_t across, int apart,
                    int windows, const float *dpooled, const uint8_t *index, int out_c, int last,
                    vf sum[][CONV_VECTORS], vf total[CONV_VECTORS]) {
    for (int w = 0; w < windows; w++, square += apart, dpooled += out_c, index += out_c) {
        vi place[CONV_VECTORS];
        vf gradient[CONV_VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            bool full = v < vectors - 1 || last == CNN_LANES;
            const float *from = dpooled + v * CNN_LANES;
            place[v] = conv_window_places(index + v * CNN_LANES, full, last);
            vf there = full ? v_load(from) : v_load_n(from, last);
            gradient[v] = (vf)((vi)there & (place[v] != CONV_CLIPPED));
            total[v] += gradient[v];
        }
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 9
            for (int j = 0; j < run; j++)
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++)
                    sum[i * run + j][v] = v_fma(v_pick(square + i * across + j * SQUARE, place[v]),
                                                gradient[v], sum[i * run + j][v]);
    }
}

/* What is left to say of one share of the sums: a block of output channels, and rows of taps from one on. */
typedef struct share {
    const float *square, *dpooled; /* of the first window */
    const uint8_t *index;
    int windows, rows, out_c, last; /* last: channels of the last vector */
    float *dw, *db;                 /* db only with the first taps; either may be NULL */
} share;

ALWAYS void add_vector(float *to, vf sum, int channels) {
    if (channels == CNN_LANES)
        v_store(to, v_load(to) + sum);
    else
        v_store_n(to, v_load_n(to, channels) + sum, channels);
}

ALWAYS void add_share(int rows, int run, int vectors, const work *k, share s) {
    vf sum[TAPS * TAPS][CONV_VECTORS], total[CONV_VECTORS];
#pragma GCC unroll 9
    for (int t = 0; t < rows * run; t++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[t][v] = total[v] = (vf){0};
    int apart = 2 * k->walk.in_c * SQUARE;
    ptrdiff_t across = k->across * SQUARE, row = (ptrdiff_t)s.windows * s.out_c;
    for (int r = 0; r < s.rows; r++)
        add_row(rows, run, vectors, s.square + 2 * r * across, across, apart, s.windows, s.dpooled + r * row,
                s.index + r * row, s.out_c, s.last, sum, total);
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
        int channels = v < vectors - 1 ? CNN_LANES : s.last;
        if (s.db) add_vector(s.db + v * CNN_LANES, total[v], channels);
#pragma GCC unroll 9
        for (int t = 0; t < rows * run; t++)
            if (s.dw) add_vector(s.dw + (ptrdiff_t)t * s.out_c + v * CNN_LANES, sum[t][v], channels);
    }
}

ALWAYS void by_vectors(int rows, int run, int vectors, const work *k, const share *s) {
    vectors == 2 ? add_share(rows, run, 2, k, *s) : add_share(rows, run, 1, k, *s);
}

static share share_from(share s, int channel) {
    s.dpooled += channel;
    s.index += channel;
    if (s.dw) s.dw += channel;
    if (s.db) s.db += channel;
    return s;
}

/* All taps of a block of channels. */
static void add_block(const work *k, share s, int block) {
    int vectors = (block + CNN_LANES - 1) / CNN_LANES;
    s.last = block - (vectors - 1) * CNN_LANES;
    if (k->walk.in_c == 1) {
        by_vectors(TAPS, TAPS, vectors, k, &s);
        return;
    }
    for (int i = 0; i < TAPS; i++) {
        if (k->walk.in_c == 2)
            by_vectors(1, 2 * TAPS, vectors, k, &s);
        else
            by_vectors(1, 3 * TAPS, vectors, k, &s);
        s.square += k->across * SQUARE;
        s.db = NULL;
        if (s.dw) s.dw += (ptrdiff_t)TAPS * k->walk.in_c * s.out_c;
    }
}

void CNN_KERNEL(conv_grad_windows)(const cnn_conv *c, int n, const float *x, const float *dpooled,
                                   const uint8_t *index, float *dw, float *db, void *scratch) {
    work k;
    prepare(&k, c, scratch);
    int high = c->out_h / 2, wide = c->out_w / 2;
    ptrdiff_t row = (ptrdiff_t)wide * c->out_c;
    for (int i = 0; i < n; i++, x += (ptrdiff_t)c->in_h * c->in_w * c->in_c)
        for (int rows, r = 0; r < high; r += rows, dpooled += rows * row, index += rows * row) {
            rows = high - r < k.rows ? high - r : k.rows;
            conv_view view = conv_view_open(&k.walk, x, 1, 2 * r, 2 * rows, k.copy);
            lay_out(&k, &view, rows);
            share s = {k.squares, dpooled, index, wide, rows, c->out_c, 0, dw, db};
            for (int block, first = 0; first < c->out_c; first += block) {
                block = conv_block(false, c->out_c - first);
                add_block(&k, share_from(s, first), block);
            }
        }
}
