/* The transforms of Winograd's convolution F(4×4, 3×3), which conv_winograd.c explains, along one axis.
 *
 * The points are 0, a, -a, b, -b and infinity. With the usual a = 1, b = 2 errors are up to six times those of a
 * direct sum; a = 5/8, b = 3/2 keep the matrices' entries nearer to 1, and the largest error within one to two times
 * the direct sum's (over 32 to 256 channels), as a quarter as many products are rounded. All constants but the three
 * reciprocals are exact.
 *
 * A has the rows (1, p, p², p³), (0, 0, 0, 1) for infinity; G the rows (1, p, p²) / s, (0, 0, 1), where s is the
 * product of p's differences to the other points; row p of Bᵀ holds the coefficients of the polynomial that has all
 * points but p as its zeros. As points come in pairs, the even and the odd terms of a pair are computed once. */
#ifndef CNN_KERNELS_CONV_WINOGRAD_H
#define CNN_KERNELS_CONV_WINOGRAD_H

#include "kernels/conv.h"
#include "kernels/simd.h"

enum {
    WINOGRAD_OUT = 4,               /* a tile's outputs along an axis */
    WINOGRAD_IN = WINOGRAD_OUT + 2, /* its inputs, and the points */
    WINOGRAD_POINTS = WINOGRAD_IN * WINOGRAD_IN
};

#define WINOGRAD_A 0.625f
#define WINOGRAD_B 1.5f
#define WINOGRAD_A2 (WINOGRAD_A * WINOGRAD_A)
#define WINOGRAD_B2 (WINOGRAD_B * WINOGRAD_B)
#define WINOGRAD_SUM (WINOGRAD_A2 + WINOGRAD_B2)
#define WINOGRAD_PRODUCT (WINOGRAD_A2 * WINOGRAD_B2)
/* G's factors at 0, at ±a and at ±b */
#define WINOGRAD_G_0 (1 / WINOGRAD_PRODUCT)
#define WINOGRAD_G_A (1 / (2 * WINOGRAD_A2 * (WINOGRAD_A2 - WINOGRAD_B2)))
#define WINOGRAD_G_B (1 / (2 * WINOGRAD_B2 * (WINOGRAD_B2 - WINOGRAD_A2)))

#define WINOGRAD_ALWAYS static inline __attribute__((always_inline))

/* Bᵀd, in place: six numbers of x. */
WINOGRAD_ALWAYS void winograd_bt(vf d[WINOGRAD_IN]) {
    const vf a = v_set1(WINOGRAD_A), b = v_set1(WINOGRAD_B);
    const vf a2 = v_set1(WINOGRAD_A2), b2 = v_set1(WINOGRAD_B2);
    const vf sum = v_set1(WINOGRAD_SUM), product = v_set1(WINOGRAD_PRODUCT);
    vf even_a = v_fma(-b2, d[2], d[4]), odd_a = a * v_fma(-b2, d[1], d[3]);
    vf even_b = v_fma(-a2, d[2], d[4]), odd_b = b * v_fma(-a2, d[1], d[3]);
    d[0] = v_fma(product, d[0], v_fma(-sum, d[2], d[4]));
    d[5] = v_fma(product, d[1], v_fma(-sum, d[3], d[5]));
    d[1] = even_a + odd_a;
    d[2] = even_a - odd_a;
    d[3] = even_b + odd_b;
    d[4] = even_b - odd_b;
}

/* Bm, in place: six numbers for dx. */
WINOGRAD_ALWAYS void winograd_b(vf m[WINOGRAD_IN]) {
    const vf a2 = v_set1(WINOGRAD_A2), b2 = v_set1(WINOGRAD_B2);
    const vf sum = v_set1(WINOGRAD_SUM), product = v_set1(WINOGRAD_PRODUCT);
    vf even_a = m[1] + m[2], odd_a = v_set1(WINOGRAD_A) * (m[1] - m[2]);
    vf even_b = m[3] + m[4], odd_b = v_set1(WINOGRAD_B) * (m[3] - m[4]);
    m[1] = v_fma(product, m[5], v_fma(-b2, odd_a, -a2 * odd_b));
    m[2] = v_fma(-sum, m[0], v_fma(-b2, even_a, -a2 * even_b));
    m[3] = v_fma(-sum, m[5], odd_a + odd_b);
    m[4] = m[0] + (even_a + even_b);
    m[0] = product * m[0];
}

/* Ay, in place: four numbers of dy. */
WINOGRAD_ALWAYS void winograd_a(vf y[WINOGRAD_IN]) {
    const vf a2 = v_set1(WINOGRAD_A2), b2 = v_set1(WINOGRAD_B2);
    vf even_a = v_fma(a2, y[2], y[0]), odd_a = v_set1(WINOGRAD_A) * v_fma(a2, y[3], y[1]);
    vf even_b = v_fma(b2, y[2], y[0]), odd_b = v_set1(WINOGRAD_B) * v_fma(b2, y[3], y[1]);
    y[5] = y[3];
    y[1] = even_a + odd_a;
    y[2] = even_a - odd_a;
    y[3] = even_b + odd_b;
    y[4] = even_b - odd_b;
}

/* Aᵀm, in place: four numbers of y. */
WINOGRAD_ALWAYS void winograd_at(vf m[WINOGRAD_IN]) {
    const vf a2 = v_set1(WINOGRAD_A2), b2 = v_set1(WINOGRAD_B2);
    vf even_a = m[1] + m[2], odd_a = v_set1(WINOGRAD_A) * (m[1] - m[2]);
    vf even_b = m[3] + m[4], odd_b = v_set1(WINOGRAD_B) * (m[3] - m[4]);
    m[0] = m[0] + (even_a + even_b);
    m[1] = odd_a + odd_b;
    m[2] = v_fma(a2, even_a, b2 * even_b);
    m[3] = v_fma(a2, odd_a, v_fma(b2, odd_b, m[5]));
}

/* Gw, in place: three weights. */
WINOGRAD_ALWAYS void winograd_g(vf w[WINOGRAD_IN]) {
    const vf a2 = v_set1(WINOGRAD_A2), b2 = v_set1(WINOGRAD_B2);
    vf even_a = v_set1(WINOGRAD_G_A) * v_fma(a2, w[2], w[0]);
    vf even_b = v_set1(WINOGRAD_G_B) * v_fma(b2, w[2], w[0]);
    vf odd_a = v_set1(WINOGRAD_G_A * WINOGRAD_A) * w[1], odd_b = v_set1(WINOGRAD_G_B * WINOGRAD_B) * w[1];
    w[0] = v_set1(WINOGRAD_G_0) * w[0];
    w[5] = w[2];
    w[1] = even_a + odd_a;
    w[2] = even_a - odd_a;
    w[3] = even_b + odd_b;
    w[4] = even_b - odd_b;
}

/* Gᵀm, in place: three numbers for dw. */
WINOGRAD_ALWAYS void winograd_gt(vf m[WINOGRAD_IN]) {
    const vf a2 = v_set1(WINOGRAD_A2), b2 = v_set1(WINOGRAD_B2);
    vf even_a = v_set1(WINOGRAD_G_A) * (m[1] + m[2]), even_b = v_set1(WINOGRAD_G_B) * (m[3] + m[4]);
    vf odd_a = v_set1(WINOGRAD_G_A * WINOGRAD_A) * (m[1] - m[2]);
    vf odd_b = v_set1(WINOGRAD_G_B * WINOGRAD_B) * (m[3] - m[4]);
    m[0] = v_fma(v_set1(WINOGRAD_G_0), m[0], even_a + even_b);
    m[1] = odd_a + odd_b;
    m[2] = v_fma(a2, even_a, v_fma(b2, even_b, m[5]));
}

/* ---- between the files ----------------------------------------------------------------------------------- */

#define winograd_read CNN_KERNEL(winograd_read)
#define winograd_tile_size CNN_KERNEL(winograd_tile_size)
#define winograd_strip_of CNN_KERNEL(winograd_strip_of)

static inline int winograd_round_up(int channels) {
    return (channels + CNN_LANES - 1) / CNN_LANES * CNN_LANES;
}

static inline int winograd_least(int a, int b) {
    return a < b ? a : b;
}

static inline int winograd_quotient(int a, int b) {
    return (a + b - 1) / b;
}

/* A picture cut into square windows: the one of tile (r, q) is at row OUT·r - top, column OUT·q - left. Those of 6
 * pixels overlap by two (x and dx), those of 4 do not (y and dy). */
typedef struct winograd_windows {
    int h, w, channels;
    int size; /* WINOGRAD_IN or WINOGRAD_OUT */
    int top, left;
} winograd_windows;

static inline winograd_windows winograd_of_x(const cnn_conv *c) {
    return (winograd_windows){c->in_h, c->in_w, c->in_c, WINOGRAD_IN, c->pad_top, c->pad_left};
}

static inline winograd_windows winograd_of_y(const cnn_conv *c) {
    return (winograd_windows){c->out_h, c->out_w, c->out_c, WINOGRAD_OUT, 0, 0};
}

/* Some samples, and of each `rows` rows of tiles from `first` on, with `wide` tiles in each. */
typedef struct winograd_strip {
    int samples, first, rows, wide;
} winograd_strip;

/* The first strip of h·w outputs a sample: about `most` tiles, in several samples where these are small. Strips are as
 * equal as can be, and end with a window of pool_h rows of the pooling. */
winograd_strip winograd_strip_of(int h, int w, int most, int pool_h);

/* Channels first … first+count-1 of a strip's windows, 0 where they lie outside the picture, to their points: point p
 * of channel c of tile t goes to points + t·tile + p·apart + c; whole vectors are written. */
void winograd_read(const winograd_windows *from, winograd_strip s, const float *picture, int first, int count,
                   float *points, ptrdiff_t tile, ptrdiff_t apart);

/* Floats from point to point where each has an array [rows, lanes]: no multiple of a page, as transforms go through all
 * points in turn, whose lines would want the same places in the nearest cache. */
static inline ptrdiff_t winograd_panel_size(int rows, int lanes) {
    return (ptrdiff_t)rows * lanes + 16;
}

/* Floats between the points of neighbouring tiles, all points of `channels` channels, whole vectors: no multiple of a
 * page either. */
ptrdiff_t winograd_tile_size(int channels);

#endif
