/* The register tile: all arithmetic of all convolutions.
 *
 * Up to CONV_ROWS rows times one or two vectors of sums live in registers. A step multiplies one number of
 * each row, broadcast, with one or two vectors of the panel: with 12 rows and 2 vectors that is 24
 * multiply-adds, independent of each other (enough to hide their latency), for 14 loads. Two vectors rather
 * than four: the panel, which streams from the L2 cache, is then read half as often.
 *
 * Rows and steps are lists of offsets into x, so one loop without inner structure serves every shape and
 * every pass. Forward, a row is an output pixel, a step a tap and input channel, the panel the weights; for
 * the gradient to the weights a row is a tap and input channel, a step an output pixel, the panel dy. A sum
 * is added step by step, whatever the number of rows: results do not depend on how a range was cut.
 *
 * Where panels come from beyond the L2 cache, one after another and for few rows each, as in Winograd's convolution,
 * they are asked for some way ahead, past their own end.
 *
 * Depthwise convolution (lanes) reads a vector of x where the others broadcast one number. Where there are but
 * few output channels, lanes are input channels (dots): both x and panel are vectors, each of the panel's
 * another output channel, and a sum goes across its lanes at the end. For their gradient to the weights a vector of
 * x meets one number of the panel (turned).
 * `tile` is inlined with its first arguments constant, once per case; the loops over them disappear. */
#include "kernels/conv.h"
#include "kernels/conv_window.h"

#include <math.h>

#define ALWAYS static inline __attribute__((always_inline))

/* x is read as: one number for all lanes; the same, with the panel fetched ahead; full vectors; a vector of fewer
 * channels than lanes; the same vector for all vectors of the panel; vectors again, of which the panel has one number
 * for all. */
enum { BROADCAST, AHEAD, LANES, LANES_TAIL, DOTS, TURNED, TURNED_TAIL };

enum { FAR = 2048 }; /* floats ahead */

ALWAYS vf read_x(int kind, const float *x, int v, int channels) {
    if (kind == BROADCAST || kind == AHEAD) return v_set1(*x);
    if (kind == LANES || kind == TURNED) return v_load(x + v * CNN_LANES);
    if (kind == DOTS) return v_load(x);
    return v_load_n(x, channels);
}

/* Writes the sums; of the last vector only its channels where it is not full. */
ALWAYS void finish(int rows, int vectors, bool full, bool add, vf sum[][CONV_VECTORS], const conv_tile *t) {
    int tail = t->channels - (vectors - 1) * CNN_LANES;
    float *base = t->y;
    const int32_t *at = t->y_at;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            float *y = base + at[r] + v * CNN_LANES;
            if (full || v < vectors - 1)
                v_store(y, add ? v_load(y) + sum[r][v] : sum[r][v]);
            else
                v_store_n(y, add ? v_load_n(y, tail) + sum[r][v] : sum[r][v], tail);
        }
    }
}

/* The last steps of dots, which read a part of a vector. */
ALWAYS void dots_tails(int rows, int vectors, const float *const *x, const float *panel,
                       vf sum[][CONV_VECTORS], const conv_tile *t) {
    const int32_t *step = t->step + t->steps;
    for (int s = 0; s < t->tails; s++, panel += vectors * CNN_LANES)
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            vf value = v_load_n(x[r] + step[s], t->tail);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sum[r][v] = v_fma(value, v_load(panel + v * CNN_LANES), sum[r][v]);
        }
}

ALWAYS void finish_dots(int rows, int vectors, vf sum[][CONV_VECTORS], const conv_tile *t) {
    const float least = t->relu ? 0 : -INFINITY;
    const int32_t *at = t->y_at;
    const float *bias = t->bias;
    float *y = t->y;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            float value = v_sum(sum[r][v]) + bias[v];
            y[at[r] + v] = value < least ? least : value;
        }
    }
}

/* Maxima of the sums of each window. */
ALWAYS void finish_windows(int rows, int vectors, vf sum[][CONV_VECTORS], const conv_tile *t) {
    int channels = t->channels, tail = channels - (vectors - 1) * CNN_LANES;
    bool relu = t->relu, full = channels == vectors * CNN_LANES;
    float *y = t->y;
    uint8_t *index = t->index;
    const int32_t *at = t->y_at;
#pragma GCC unroll 3
    for (int r = 0; r + 4 <= rows; r += 4, at++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            vf best = sum[r][v];
            vi place = {0};
#pragma GCC unroll 3
            for (int i = 1; i < 4; i++) conv_window_take(sum[r + i][v], i, &best, &place);
            ptrdiff_t to = *at + v * CNN_LANES;
            conv_window_store(best, place, relu, full || v < vectors - 1, tail, y + to,
                              index ? index + to : NULL);
        }
    }
}

ALWAYS void tile(int rows, int vectors, int kind, const conv_tile *t) {
    vf sum[CONV_ROWS][CONV_VECTORS];
    const float *x[CONV_ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        x[r] = t->x + t->x_at[r];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[r][v] = kind == DOTS ? (vf){0} : v_load(t->bias + v * CNN_LANES);
    }
    const float *panel = t->panel;
    int channels = t->channels;
    for (const int32_t *step = t->step, *end = step + t->steps; step < end; step++) {
        ptrdiff_t at = *step;
        vf w[CONV_VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            w[v] = kind >= TURNED ? v_set1(*panel) : v_load(panel + v * CNN_LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sum[r][v] = v_fma(read_x(kind, x[r] + at, v, channels), w[v], sum[r][v]);
        }
#pragma GCC unroll 2
        for (int v = 0; kind == AHEAD && v < vectors; v++) __builtin_prefetch(panel + FAR + v * CNN_LANES);
        panel += kind >= TURNED ? t->pixel : vectors * CNN_LANES;
    }
    if (kind == DOTS) {
        dots_tails(rows, vectors, x, panel, sum, t);
        finish_dots(rows, vectors, sum, t);
        return;
    }
    if (kind == BROADCAST && rows % 4 == 0 && t->windows) {
        finish_windows(rows, vectors, sum, t);
        return;
    }
    if (t->relu) {
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[r][v] = v_max((vf){0}, sum[r][v]); /* lets NaN through */
        }
    }
    bool full = channels == vectors * CNN_LANES;
    if (t->add)
        full ? finish(rows, vectors, true, true, sum, t) : finish(rows, vectors, false, true, sum, t);
    else
        full ? finish(rows, vectors, true, false, sum, t) : finish(rows, vectors, false, false, sum, t);
}

ALWAYS void by_rows(int vectors, int kind, const conv_tile *t) {
    /* clang-format off */
    switch (t->rows) {
    case 1: tile(1, vectors, kind, t); break;
    case 2: tile(2, vectors, kind, t); break;
    case 3: tile(3, vectors, kind, t); break;
    case 4: tile(4, vectors, kind, t); break;
#if CONV_ROWS > 4
    case 5: tile(5, vectors, kind, t); break;
    case 6: tile(6, vectors, kind, t); break;
#endif
#if CONV_ROWS > 6
    case 7: tile(7, vectors, kind, t); break;
    case 8: tile(8, vectors, kind, t); break;
    case 9: tile(9, vectors, kind, t); break;
    case 10: tile(10, vectors, kind, t); break;
    case 11: tile(11, vectors, kind, t); break;
    case 12: tile(12, vectors, kind, t); break;
#endif
    default: break;
    }
    /* clang-format on */
}

static __attribute__((noinline)) void broadcast_1(const conv_tile *t) {
    by_rows(1, BROADCAST, t);
}

static __attribute__((noinline)) void broadcast_2(const conv_tile *t) {
    by_rows(2, BROADCAST, t);
}

static __attribute__((noinline)) void ahead_2(const conv_tile *t) {
    by_rows(2, AHEAD, t);
}

static __attribute__((noinline)) void lanes_1(const conv_tile *t) {
    by_rows(1, LANES, t);
}

static __attribute__((noinline)) void lanes_2(const conv_tile *t) {
    by_rows(2, LANES, t);
}

static __attribute__((noinline)) void lanes_tail(const conv_tile *t) {
    by_rows(1, LANES_TAIL, t);
}

static __attribute__((noinline)) void dots_1(const conv_tile *t) {
    by_rows(1, DOTS, t);
}

static __attribute__((noinline)) void dots_2(const conv_tile *t) {
    by_rows(2, DOTS, t);
}

static __attribute__((noinline)) void turned_1(const conv_tile *t) {
    by_rows(1, TURNED, t);
}

static __attribute__((noinline)) void turned_2(const conv_tile *t) {
    by_rows(2, TURNED, t);
}

static __attribute__((noinline)) void turned_tail(const conv_tile *t) {
    by_rows(1, TURNED_TAIL, t);
}

static void run_tile(const conv_tile *t) {
    if (t->pixel > 0) {
        (t->vectors == 2 ? turned_2 : t->channels == CNN_LANES ? turned_1 : turned_tail)(t);
        return;
    }
    if (t->dots)
        (t->vectors == 2 ? dots_2 : dots_1)(t);
    else if (!t->lanes)
        (t->vectors == 1 ? broadcast_1 : t->ahead ? ahead_2 : broadcast_2)(t);
    else if (t->vectors == 2)
        lanes_2(t);
    else
        (t->channels == CNN_LANES ? lanes_1 : lanes_tail)(t);
}

void conv_run_rows(conv_tile *t, int rows) {
    const int32_t *x_at = t->x_at, *y_at = t->y_at;
    int unit = t->windows ? 4 : 1, most = CONV_ROWS / unit, left = rows / unit;
    for (int tiles = (left + most - 1) / most; tiles > 0; tiles--) {
        int units = (left + tiles - 1) / tiles;
        t->rows = units * unit;
        run_tile(t);
        t->x_at += t->rows;
        t->y_at += units;
        left -= units;
    }
    t->x_at = x_at;
    t->y_at = y_at;
}

int conv_block(bool lanes, int left) {
    if (left >= 2 * CNN_LANES) return 2 * CNN_LANES;
    if (lanes && left > CNN_LANES) return CNN_LANES;
    return left;
}
