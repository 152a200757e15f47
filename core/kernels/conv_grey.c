/* 3×3 convolution of pictures of one channel, as in first layers, where a sum has nine terms only and the general tile
 * would spend as long on fetching and setting up as on adding.
 *
 * Outputs are made in squares of 2×2, which see 4×4 pixels: each is broadcast once for the up to four outputs that want
 * it, and meets the nine weights of one or two vectors of channels, which stay in registers (where there are 32) for a
 * whole row of squares. A square's outputs are written, or, with pooling, only the largest.
 *
 * An output's sum begins with the bias and goes through the taps in order, as everywhere: bits are those of the tile. */
#include "kernels/conv.h"
#include "kernels/conv_window.h"
#include "kernels/simd.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { TAPS = 3, SIDE = 2, SEEN = SIDE + TAPS - 1, OUTPUTS = SIDE * SIDE };

bool conv_is_grey(const conv_walk *w, int pool_h, int pool_w) {
    bool plain = w->stride_h == 1 && w->stride_w == 1 && w->dilation_h == 1 && w->dilation_w == 1;
    bool squares = (pool_h == 1 && pool_w == 1) || (pool_h == SIDE && pool_w == SIDE);
    return w->in_c == 1 && w->kernel_h == TAPS && w->kernel_w == TAPS && plain && squares && !w->lanes &&
           !w->dots && w->out_h % SIDE == 0 && w->out_w % SIDE == 0;
}

ALWAYS void add_square(int vectors, const float *x, ptrdiff_t row, vf weights[][CONV_VECTORS],
                       vf sum[][CONV_VECTORS]) {
#pragma GCC unroll 4
    for (int a = 0; a < SEEN; a++)
#pragma GCC unroll 4
        for (int b = 0; b < SEEN; b++) {
            vf value = v_set1(x[a * row + b]);
#pragma GCC unroll 4
            for (int o = 0; o < OUTPUTS; o++) {
                int i = a - o / SIDE, j = b - o % SIDE;
                if (i < 0 || i >= TAPS || j < 0 || j >= TAPS) continue;
#pragma GCC unroll 2
                for (int v = 0; v < vectors; v++)
                    sum[o][v] = v_fma(value, weights[i * TAPS + j][v], sum[o][v]);
            }
        }
}

ALWAYS void write_largest(vf sum[][CONV_VECTORS], int v, bool relu, bool full, int channels, float *y,
                          uint8_t *index) {
    vf best = sum[0][v];
    vi place = {0};
#pragma GCC unroll 3
    for (int o = 1; o < OUTPUTS; o++) conv_window_take(sum[o][v], o, &best, &place);
    conv_window_store(best, place, relu, full, channels, y, index);
}

ALWAYS void write_all(vf sum[][CONV_VECTORS], int v, bool relu, bool full, int channels, float *y,
                      ptrdiff_t row, ptrdiff_t pixel) {
#pragma GCC unroll 4
    for (int o = 0; o < OUTPUTS; o++) {
        vf value = relu ? v_max((vf){0}, sum[o][v]) : sum[o][v]; /* lets NaN through */
        float *to = y + o / SIDE * row + o % SIDE * pixel;
        full ? v_store(to, value) : v_store_n(to, value, channels);
    }
}

/* A row of squares, and a block of channels. */
ALWAYS void row_of(int vectors, bool pooled, const conv_grey *g, const float *x, const float *panel,
                   const float *bias, int channels, float *y, uint8_t *index) {
    vf weights[TAPS * TAPS][CONV_VECTORS], sum[OUTPUTS][CONV_VECTORS];
    ptrdiff_t row = g->row, y_row = g->y_row, pixel = g->pixel;
    int last = channels - (vectors - 1) * CNN_LANES;
    bool relu = g->relu;
#pragma GCC unroll 9
    for (int t = 0; t < TAPS * TAPS; t++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) weights[t][v] = v_load(panel + (t * vectors + v) * CNN_LANES);
    for (int q = g->squares; q > 0; q--, x += SIDE) {
#pragma GCC unroll 4
        for (int o = 0; o < OUTPUTS; o++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[o][v] = v_load(bias + v * CNN_LANES);
        add_square(vectors, x, row, weights, sum);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            bool full = v < vectors - 1 || last == CNN_LANES;
            if (pooled)
                write_largest(sum, v, relu, full, last, y + v * CNN_LANES,
                              index ? index + v * CNN_LANES : NULL);
            else
                write_all(sum, v, relu, full, last, y + v * CNN_LANES, y_row, pixel);
        }
        y += pooled ? pixel : SIDE * pixel;
        if (index) index += pixel;
    }
}

void conv_grey_rows(const conv_grey *g, const float *x, int rows, const float *packed, const float *bias,
                    int out_c, float *y, uint8_t *index) {
    for (int r = 0; r < rows; r += SIDE, x += SIDE * g->row) {
        const float *panel = packed;
        for (int block, first = 0; first < out_c; first += block) {
            block = conv_block(false, out_c - first);
            int vectors = (block + CNN_LANES - 1) / CNN_LANES;
            uint8_t *to_index = index ? index + first : NULL;
            if (g->pooled)
                vectors == 2 ? row_of(2, true, g, x, panel, bias + first, block, y + first, to_index)
                             : row_of(1, true, g, x, panel, bias + first, block, y + first, to_index);
            else
                vectors == 2 ? row_of(2, false, g, x, panel, bias + first, block, y + first, NULL)
                             : row_of(1, false, g, x, panel, bias + first, block, y + first, NULL);
            panel += TAPS * TAPS * vectors * CNN_LANES;
        }
        y += g->pooled ? g->y_row : SIDE * g->y_row;
        if (index) index += g->y_row;
    }
}
