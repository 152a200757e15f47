/* Depthwise convolution by sliding: every channel by itself, channels the lanes.
 *
 * An output takes one multiply-add a tap, so loads are what counts, and the tile of conv_tile.c loads a
 * vector of x for each. Here some neighbouring outputs of a row are computed together: a vector of x is
 * loaded once and goes to all whose windows hold it, a row of the kernel's taps stays in registers for all of
 * them. 3 taps over 8 outputs: 10 loads of x for 24 multiply-adds. The gradient to the weights slides too,
 * over four outputs and up to three rows of the kernel, whose sums stay in registers for a whole column.
 *
 * Nothing is copied. Rows of taps outside the picture are left out; in place of columns outside, zeros are
 * loaded. A stretch of outputs is followed down the picture, all channels in each row (for the weights, all
 * rows for each vector of channels), so that rows which neighbours share are still in the nearest cache. Each
 * output is added up in the order of its taps, whatever its neighbours. Kernels that have no case here
 * (slide_some) take the tile's way. */
#include "kernels/conv.h"
#include "kernels/simd.h"

#define ALWAYS static inline __attribute__((always_inline))

enum { WIDE = 8, MOST_COLUMNS = 5 }; /* outputs at once, or half of it, or one; taps of a row */

bool conv_slides(const conv_walk *w) {
    if (!w->lanes || w->repeat > 1 || w->split > 1 || w->dilation_w > 1) return false;
    bool odd = w->kernel_w == 3 || w->kernel_w == 5;
    return w->stride_w == 1 ? odd || w->kernel_w <= 2 : w->stride_w == 2 && odd;
}

static const float zeros[CNN_LANES];

/* One vector of channels of the picture, where columns from … to-1 are, counted from the pointer in hand. */
typedef struct source {
    ptrdiff_t row, pixel; /* distances, in floats */
    int from, to, channels;
} source;

/* Column c, which lies at p. */
ALWAYS vf load_column(bool border, bool full, const source *s, const float *p, int c) {
    if (border && (c < s->from || c >= s->to)) p = zeros;
    return full ? v_load(p) : v_load_n(p, s->channels);
}

ALWAYS void store(bool full, float *p, vf v, int channels) {
    full ? v_store(p, v) : v_store_n(p, v, channels);
}

/* ---- forward, and the gradient to the input ------------------------------------------------------------ */

/* What a few outputs need beside x: `rows` of the taps, w_row and w_tap apart, and how far apart outputs are. */
typedef struct window {
    source x;
    int rows, columns;
    ptrdiff_t w_row, w_tap, y_pixel;
    bool relu;
} window;

/* `outputs` neighbours: one vector of channels. */
ALWAYS void slide(int outputs, int columns, int stride, bool border, bool full, const window *given,
                  const float *x, const float *w, const float *bias, float *y) {
    window s = *given; /* a copy that no store can be taken to change */
    vf sum[WIDE], tap[MOST_COLUMNS];
#pragma GCC unroll 8
    for (int o = 0; o < outputs; o++) sum[o] = v_load(bias);
    for (int i = 0; i < s.rows; i++, x += s.x.row, w += s.w_row) {
#pragma GCC unroll 5
        for (int j = 0; j < columns; j++) tap[j] = v_load(w + j * s.w_tap);
        const float *from = x;
#pragma GCC unroll 20
        for (int c = 0; c < (outputs - 1) * stride + columns; c++, from += s.x.pixel) {
            vf value = load_column(border, full, &s.x, from, c);
#pragma GCC unroll 8
            for (int o = 0; o < outputs; o++)
                if (c >= o * stride && c < o * stride + columns)
                    sum[o] = v_fma(value, tap[c - o * stride], sum[o]);
        }
    }
    if (s.relu)
#pragma GCC unroll 8
        for (int o = 0; o < outputs; o++) sum[o] = v_max((vf){0}, sum[o]);
#pragma GCC unroll 8
    for (int o = 0; o < outputs; o++, y += s.y_pixel) store(full, y, sum[o], s.x.channels);
}

ALWAYS void slide_vector(int outputs, int columns, int stride, const window *s, const float *x,
                         const float *w, const float *bias, float *y) {
    bool border = s->x.from > 0 || s->x.to < (outputs - 1) * stride + columns;
    if (s->x.channels < CNN_LANES)
        slide(outputs, columns, stride, true, false, s, x, w, bias, y);
    else if (border)
        slide(outputs, columns, stride, true, true, s, x, w, bias, y);
    else
        slide(outputs, columns, stride, false, true, s, x, w, bias, y);
}

ALWAYS void slide_columns(int outputs, int stride, const window *s, const float *x, const float *w,
                          const float *bias, float *y) {
    /* clang-format off */
    switch (s->columns) {
    case 1: if (stride == 1) slide_vector(outputs, 1, 1, s, x, w, bias, y); break;
    case 2: if (stride == 1) slide_vector(outputs, 2, 1, s, x, w, bias, y); break;
    case 3: slide_vector(outputs, 3, stride, s, x, w, bias, y); break;
    case 5: slide_vector(outputs, 5, stride, s, x, w, bias, y); break;
    default: break;
    }
    /* clang-format on */
}

static void slide_some(int outputs, int stride, const window *s, const float *x, const float *w,
                       const float *bias, float *y) {
    /* clang-format off */
    switch (outputs * stride) {
    case 1: slide_columns(1, 1, s, x, w, bias, y); break;
    case 2: slide_columns(1, 2, s, x, w, bias, y); break;
    case WIDE / 2: slide_columns(WIDE / 2, 1, s, x, w, bias, y); break;
    case WIDE: outputs == WIDE ? slide_columns(WIDE, 1, s, x, w, bias, y)
                               : slide_columns(WIDE / 2, 2, s, x, w, bias, y); break;
    default: slide_columns(WIDE, 2, s, x, w, bias, y); break;
    }
    /* clang-format on */
}

/* Some outputs, all channels. x and y are theirs, packed the first row of taps in use. */
static void all_channels(const conv_walk *w, int outputs, window s, int first_row, const float *x,
                         const float *packed, const float *bias, float *y) {
    for (int block, first = 0; first < w->group_out; first += block) {
        block = conv_block(true, w->group_out - first);
        s.w_tap = (block + CNN_LANES - 1) / CNN_LANES * CNN_LANES;
        s.w_row = w->kernel_w * s.w_tap;
        const float *panel = packed + first_row * s.w_row - first;
        for (int c = first; c < first + block; c += CNN_LANES) {
            s.x.channels = first + block - c < CNN_LANES ? first + block - c : CNN_LANES;
            slide_some(outputs, w->stride_w, &s, x + c, panel + c, bias + c, y + c);
        }
        packed += w->kernel_h * s.w_row;
    }
}

/* Of the kernel's rows, the first of which lies at row `at` of the picture, those from … to-1 lie in it. */
static void clip_rows(const conv_walk *w, int at, int *from, int *to) {
    *from = at < 0 ? (-at + w->dilation_h - 1) / w->dilation_h : 0;
    *to = at < w->in_h ? (w->in_h - 1 - at) / w->dilation_h + 1 : 0;
    if (*to > w->kernel_h) *to = w->kernel_h;
    if (*from > *to) *from = *to;
}

/* Outputs first … last-1 of row r. Where fewer than WIDE are left at the row's end, some are done again rather than these
 * one by one. */
static void slide_row(const conv_walk *w, int r, int first, int last, window s, const float *x,
                      const float *packed, const float *bias, conv_output y) {
    int from, to, row = r * w->stride_h - w->top;
    clip_rows(w, row, &from, &to);
    s.rows = to - from;
    x += (row + from * w->dilation_h) * ((ptrdiff_t)w->in_w * w->in_c);
    for (int o = first, outputs; o < last; o += outputs) {
        int left = w->out_w - o;
        outputs = w->out_w >= WIDE && left > WIDE / 2 ? WIDE : w->out_w >= WIDE / 2 ? WIDE / 2 : 1;
        if (outputs > left) o = w->out_w - outputs;
        int at = o * w->stride_w - w->left;
        s.x.from = -at;
        s.x.to = w->in_w - at;
        all_channels(w, outputs, s, from, x + (ptrdiff_t)at * w->in_c, packed, bias,
                     y.y + r * y.row + o * y.pixel);
    }
}

/* As many outputs of a row as let the rows that they and those below them read stay in the first-level cache. */
static int stretch_of(const conv_walk *w) {
    enum { NEAR = 8192 };
    int64_t outputs = NEAR / ((int64_t)(w->kernel_h + 1) * w->stride_w * w->in_c) / WIDE * WIDE;
    return outputs < WIDE ? WIDE : outputs < w->out_w ? (int)outputs : w->out_w;
}

void conv_slide(const conv_walk *w, int n, const float *picture, const float *packed, const float *bias,
                bool relu, conv_output y) {
    window s = {.x = {.row = (ptrdiff_t)w->dilation_h * w->in_w * w->in_c, .pixel = w->in_c},
                .columns = w->kernel_w,
                .y_pixel = y.pixel,
                .relu = relu};
    int stretch = stretch_of(w);
    for (int i = 0; i < n; i++, picture += (ptrdiff_t)w->in_h * w->in_w * w->in_c, y.y += y.sample)
        for (int first = 0; first < w->out_w; first += stretch) {
            int last = w->out_w - first < stretch ? w->out_w : first + stretch;
            for (int r = 0; r < w->out_h; r++) slide_row(w, r, first, last, s, picture, packed, bias, y);
        }
}

/* ---- the gradient to the weights ----------------------------------------------------------------------- */

/* As many rows of taps at once as leave registers to spare, and outputs whose rows stay in the cache. */
enum { MOST_ROWS = 3, STRETCH = 16 };

/* A stretch of outputs, first … last-1 of every row, and one vector of channels. x and dy are row 0, column 0. */
typedef struct stretch {
    const conv_walk *w;
    source x;
    int first, last;
    const float *origin, *dy;
    ptrdiff_t dy_row;
} stretch;

/* sum[i][j] += Σ x[o·stride + j] · dy[o] over `outputs` neighbours, x and dy theirs, for some rows of taps. */
ALWAYS void slide_weights(int outputs, int rows, int columns, int stride, bool border, bool full,
                          const source *s, const float *const *x, const float *dy,
                          vf sum[MOST_ROWS][MOST_COLUMNS]) {
    vf gradient[4];
#pragma GCC unroll 4
    for (int o = 0; o < outputs; o++)
        gradient[o] = full ? v_load(dy + o * s->pixel) : v_load_n(dy + o * s->pixel, s->channels);
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++) {
        const float *from = x[i];
#pragma GCC unroll 12
        for (int c = 0; c < (outputs - 1) * stride + columns; c++, from += s->pixel) {
            vf value = load_column(border, full, s, from, c);
#pragma GCC unroll 4
            for (int o = 0; o < outputs; o++)
                if (c >= o * stride && c < o * stride + columns)
                    sum[i][c - o * stride] = v_fma(value, gradient[o], sum[i][c - o * stride]);
        }
    }
}

/* Rows first … first+rows-1 of the taps over all rows of the stretch: added to dw, its first. */
ALWAYS void stretch_weights(int rows, int columns, int stride, bool full, const stretch *t, int first_row,
                            float *dw) {
    const conv_walk *w = t->w;
    source s = t->x;
    vf sum[MOST_ROWS][MOST_COLUMNS] = {{{0}}};
    for (int r = 0; r < w->out_h; r++) {
        int top = r * w->stride_h - w->top + first_row * w->dilation_h;
        int whole = top >= 0 && top + (rows - 1) * w->dilation_h < w->in_h;
        if (rows == 1 && !whole) continue;
        for (int o = t->first, outputs; o < t->last; o += outputs) {
            int at = o * stride - w->left;
            bool inside = at >= 0 && at + 3 * stride + columns <= w->in_w;
            outputs = inside && whole && o + 4 <= t->last ? 4 : 1;
            s.from = -at;
            s.to = w->in_w - at;
            const float *dy = t->dy + r * t->dy_row + o * s.pixel, *x[MOST_ROWS];
            for (int i = 0; i < rows; i++)
                x[i] = t->origin + (top + i * w->dilation_h) * s.row + at * s.pixel;
            if (outputs == 4) {
                slide_weights(4, rows, columns, stride, false, full, &s, x, dy, sum);
                continue;
            }
#pragma GCC unroll 3
            for (int i = 0; i < rows; i++) {
                int row = top + i * w->dilation_h;
                if (row >= 0 && row < w->in_h)
                    slide_weights(1, 1, columns, stride, true, full, &s, x + i, dy, sum + i);
            }
        }
    }
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 5
        for (int j = 0; j < columns; j++) {
            float *to = dw + (i * columns + j) * s.pixel;
            store(full, to, (full ? v_load(to) : v_load_n(to, s.channels)) + sum[i][j], s.channels);
        }
}

ALWAYS void weights_rows(int rows, int columns, int stride, const stretch *t, int first_row, float *dw) {
    if (t->x.channels == CNN_LANES)
        stretch_weights(rows, columns, stride, true, t, first_row, dw);
    else
        stretch_weights(rows, columns, stride, false, t, first_row, dw);
}

/* All rows of taps. */
ALWAYS void weights_columns(int columns, int stride, const stretch *t, float *dw) {
    int rows = CNN_LANES < 16 && columns > 3 ? 2 : MOST_ROWS, i = 0;
    for (; i + rows <= t->w->kernel_h; i += rows)
        weights_rows(rows, columns, stride, t, i, dw + i * columns * t->x.pixel);
    for (; i < t->w->kernel_h; i++) weights_rows(1, columns, stride, t, i, dw + i * columns * t->x.pixel);
}

static void weights_of_stretch(const stretch *t, float *dw) {
    /* clang-format off */
    switch (t->w->kernel_w * 2 + t->w->stride_w - 1) {
    case 2: weights_columns(1, 1, t, dw); break;
    case 4: weights_columns(2, 1, t, dw); break;
    case 6: weights_columns(3, 1, t, dw); break;
    case 7: weights_columns(3, 2, t, dw); break;
    case 10: weights_columns(5, 1, t, dw); break;
    case 11: weights_columns(5, 2, t, dw); break;
    default: break;
    }
    /* clang-format on */
}

/* A part is some of the channels. */
void conv_slide_weights(const conv_walk *w, int n, const float *x, const float *dy, float *dw, int part,
                        int parts) {
    int64_t vectors = (w->in_c + CNN_LANES - 1) / CNN_LANES;
    int from = (int)(vectors * part / parts) * CNN_LANES,
        to = (int)(vectors * (part + 1) / parts) * CNN_LANES;
    if (to > w->in_c) to = w->in_c;
    stretch t = {.w = w,
                 .x = {.row = (ptrdiff_t)w->in_w * w->in_c, .pixel = w->in_c},
                 .dy_row = (ptrdiff_t)w->out_w * w->in_c};
    for (int s = 0; s < n; s++, x += w->in_h * t.x.row, dy += w->out_h * t.dy_row)
        for (t.first = 0; t.first < w->out_w; t.first = t.last) {
            t.last = w->out_w - t.first < 2 * STRETCH ? w->out_w : t.first + STRETCH;
            for (int c = from; c < to; c += CNN_LANES) {
                t.x.channels = w->in_c - c < CNN_LANES ? w->in_c - c : CNN_LANES;
                t.origin = x + c;
                t.dy = dy + c;
                weights_of_stretch(&t, dw + c);
            }
        }
}
