/* Affine warps: the picture, thought to go on for ever by the fill rule, seen at points along the lines of the
 * output.
 *
 * A row of the output is a straight line through the input. The part of it whose points have all their neighbours
 * within the picture is found once a row; there a pixel is one offset and two weights, BLOCK of them made at a time.
 * What is left of the row goes by way of the fill rule, applied to each neighbour's row and column. Where the fill
 * is constant, pixels that see nothing else are only filled.
 *
 * Sums are rounded as they are written here, so all instruction sets give the same bits. */
#include "kernels/nn.h"
#include "kernels/simd.h"
#include "kernels/warp.h"

#include <math.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

enum { BLOCK = 16 };

/* ---- geometry ------------------------------------------------------------------------------------------ */

typedef struct span {
    int64_t from, to; /* none where to <= from */
} span;

/* The i in [0, count) for which low <= start + step·i <= high. */
static span between(double start, double step, double low, double high, int64_t count) {
    if (!isfinite(step)) return (span){0, 0};
    if (step == 0) return (span){0, start >= low && start <= high ? count : 0};
    double a = (low - start) / step, b = (high - start) / step;
    double first = ceil(a < b ? a : b), last = floor(a < b ? b : a), most = (double)(count - 1);
    if (!(first <= most && last >= 0)) return (span){0, 0};
    return (span){first > 0 ? (int64_t)first : 0, last < most ? (int64_t)last + 1 : count};
}

static span meet(span a, span b) {
    span both = {a.from > b.from ? a.from : b.from, a.to < b.to ? a.to : b.to};
    return both.from < both.to ? both : (span){0, 0};
}

/* Whether every pixel of the output falls on one of the endless input. */
static bool is_whole(const cnn_warp *w) {
    double most = (double)(w->out_width > w->out_height ? w->out_width : w->out_height);
    const double places[] = {w->at.x0, w->at.y0}, steps[] = {w->at.xx, w->at.xy, w->at.yx, w->at.yy};
    for (int i = 0; i < 2; i++)
        if (!(fabs(places[i] - nearbyint(places[i])) < 0x1p-25)) return false;
    for (int i = 0; i < 4; i++)
        if (!(fabs(steps[i] - nearbyint(steps[i])) * most < 0x1p-25)) return false;
    return true;
}

/* One row of the output, on its way through the input. */
typedef struct line {
    double x, y, dx, dy; /* the point at its first pixel, and the step to the next */
} line;

static line line_of(const cnn_affine *at, int64_t y) {
    return (line){at->xy * (double)y + at->x0, at->yy * (double)y + at->y0, at->xx, at->yx};
}

/* Whole numbers next below start + step·i, as differences to a whole base, and what is left over. Places before low are
 * taken for low, those after high for high, and no number is above high - 1. */
ALWAYS void cells(double start, double step, double base, double low, double high, int32_t *cell,
                  float *rest) {
    static const float numbers[BLOCK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf first = v_set1((float)(start - base)), by = v_set1((float)step);
    vf least = v_set1((float)(low - base)), most = v_set1((float)(high - base));
    for (int i = 0; i < BLOCK; i += CNN_LANES) {
        vf t = v_min(v_max(first + v_load(numbers + i) * by, least), most);
        vi c = __builtin_convertvector(t, vi);
        c += __builtin_convertvector(c, vf) > t;
        c += __builtin_convertvector(c, vf) >= most;
        memcpy(cell + i, &c, sizeof c);
        v_store(rest + i, t - __builtin_convertvector(c, vf));
    }
}

/* ---- neighbours within the picture --------------------------------------------------------------------- */

/* Of BLOCK pixels: the offset of the upper left neighbour and the weights of those at the right and below. */
typedef struct inner {
    int32_t at[BLOCK];
    float right[BLOCK], below[BLOCK];
} inner;

/* The offsets count from the one returned. Whatever rounding does, and in lanes beyond the span, neighbours are within
 * the picture. rows may be fewer than the picture has. */
ALWAYS ptrdiff_t find_inner(const cnn_warp *w, const line *l, int64_t x, int64_t rows, bool nearest,
                            inner *b) {
    int32_t across[BLOCK], down[BLOCK];
    double half = nearest ? 0.5 : 0, last = nearest ? 0 : 1;
    double from_x = l->x + l->dx * (double)x + half, from_y = l->y + l->dy * (double)x + half;
    double left = floor(from_x), top = floor(from_y);
    cells(from_x, l->dx, left, 0, (double)w->in_width - last, across, b->right);
    cells(from_y, l->dy, top, 0, (double)rows - last, down, b->below);
    vi row = (int32_t)(w->in_width * w->channels) - (vi){0}, channels = (int32_t)w->channels - (vi){0};
    for (int i = 0; i < BLOCK; i += CNN_LANES) {
        vi a, d;
        memcpy(&a, across + i, sizeof a);
        memcpy(&d, down + i, sizeof d);
        a = d * row + a * channels;
        memcpy(b->at + i, &a, sizeof a);
    }
    return ((int64_t)top * w->in_width + (int64_t)left) * w->channels;
}

/* ---- neighbours by the fill rule ------------------------------------------------------------------------- */

/* Of BLOCK pixels: two columns and two rows, or BEYOND where a constant fills. */
typedef struct outer {
    int32_t column[2][BLOCK], row[2][BLOCK];
    float right[BLOCK], below[BLOCK];
} outer;

enum { BEYOND = -1 };

ALWAYS vi either(vi mask, vi a, vi b) {
    return (mask & a) | (~mask & b);
}

/* Which of n pixels is seen at places at, of the line that goes on for ever, not further away than n. */
ALWAYS vi folded(vi at, vi n, cnn_fill fill) {
    if (fill == CNN_FILL_CONSTANT) return either((at < 0) | (at >= n), (vi){0} + BEYOND, at);
    if (fill == CNN_FILL_NEAREST) return either(at < 0, (vi){0}, either(at >= n, n - 1, at));
    if (fill == CNN_FILL_REFLECT) return either(at < 0, -1 - at, either(at >= n, 2 * n - 1 - at, at));
    return either(at < 0, at + n, either(at >= n, at - n, at));
}

/* The same of one place, as near as if it were one or two periods away. */
static int32_t brought_near(int32_t at, int32_t n, cnn_fill fill) {
    if (fill != CNN_FILL_REFLECT && fill != CNN_FILL_WRAP) return at;
    int32_t period = fill == CNN_FILL_WRAP ? n : 2 * n, m = at % period;
    return m < 0 ? m + period : m;
}

static void fold(int32_t *places, int64_t size, cnn_fill fill) {
    vi n = (int32_t)size - (vi){0};
    int32_t first = places[0], last = places[BLOCK - 1];
    if (first < -size || last < -size || first >= 2 * size || last >= 2 * size)
        for (int i = 0; i < BLOCK; i++) places[i] = brought_near(places[i], (int32_t)size, fill);
    for (int i = 0; i < BLOCK; i += CNN_LANES) {
        vi at;
        memcpy(&at, places + i, sizeof at);
        if (fill == CNN_FILL_CONSTANT)
            at = folded(at, n, CNN_FILL_CONSTANT);
        else if (fill == CNN_FILL_NEAREST)
            at = folded(at, n, CNN_FILL_NEAREST);
        else if (fill == CNN_FILL_REFLECT)
            at = folded(at, n, CNN_FILL_REFLECT);
        else
            at = folded(at, n, CNN_FILL_WRAP);
        memcpy(places + i, &at, sizeof at);
    }
}

static void find_axis(double start, double step, int64_t n, cnn_fill fill, int32_t places[2][BLOCK],
                      float *rest) {
    const double most = 0x1p29;
    start = start > -most ? start : -most; /* so is what is not a number */
    start = start < most ? start : most;
    double base = floor(start);
    cells(start, step, base, base - most, base + most, places[0], rest);
    for (int i = 0; i < BLOCK; i++) {
        places[0][i] += (int32_t)base;
        places[1][i] = places[0][i] + 1;
    }
    fold(places[0], n, fill);
    fold(places[1], n, fill);
}

static void find_outer(const cnn_warp *w, const line *l, int64_t x, bool nearest, outer *b) {
    double half = nearest ? 0.5 : 0;
    find_axis(l->x + l->dx * (double)x + half, l->dx, w->in_width, w->options.fill, b->column, b->right);
    find_axis(l->y + l->dy * (double)x + half, l->dy, w->in_height, w->options.fill, b->row, b->below);
}

/* ---- pixels ---------------------------------------------------------------------------------------------- */

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef uint8_t v8b __attribute__((vector_size(8)));
typedef float v4 __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));
typedef uint8_t v4b __attribute__((vector_size(4)));

/* What the code is made for, known when it is compiled, but for other numbers of channels than 1, 3 and 4. */
typedef struct kind {
    bool bytes, nearest;
    int64_t channels;
} kind;

ALWAYS float value_at(kind k, const void *in, ptrdiff_t at) {
    return k.bytes ? (float)((const uint8_t *)in)[at] : ((const float *)in)[at];
}

ALWAYS void set_value(kind k, void *out, ptrdiff_t at, float value) {
    if (k.bytes)
        ((uint8_t *)out)[at] = (uint8_t)(value + 0.5f);
    else
        ((float *)out)[at] = value;
}

/* a and b are above c and d. */
ALWAYS float mix(float a, float b, float c, float d, float right, float below) {
    float l = a + below * (c - a), r = b + below * (d - b);
    return l + right * (r - l);
}

ALWAYS void load8(v8 *v, kind k, const void *in, ptrdiff_t at) {
    v8b b;
    if (k.bytes) {
        memcpy(&b, (const uint8_t *)in + at, sizeof b);
        *v = __builtin_convertvector(__builtin_convertvector(b, v8i), v8);
    } else {
        memcpy(v, (const float *)in + at, sizeof *v);
    }
}

ALWAYS void store_n(kind k, void *out, v4 v, int64_t n) {
    if (k.bytes) {
        v4b b = __builtin_convertvector(__builtin_convertvector(v + 0.5f, v4i), v4b);
        memcpy(out, &b, (size_t)n);
    } else {
        memcpy(out, &v, (size_t)n * sizeof(float));
    }
}

ALWAYS void *element(kind k, const void *base, ptrdiff_t at) {
    return (char *)base + (k.bytes ? at : at * (ptrdiff_t)sizeof(float));
}

/* The same of pixels of three or four channels, in vectors of a pixel and what is at its right. The first n elements
 * are written. */
ALWAYS void mix_pixels(kind k, const void *in, ptrdiff_t upper, ptrdiff_t lower, float right, float below,
                       void *out, int64_t n) {
    v8 a, c;
    load8(&a, k, in, upper);
    load8(&c, k, in, lower);
    v8 both = a + below * (c - a);
    v4 l = __builtin_shufflevector(both, both, 0, 1, 2, 3);
    v4 r = k.channels == 3 ? __builtin_shufflevector(both, both, 3, 4, 5, 6)
                           : __builtin_shufflevector(both, both, 4, 5, 6, 7);
    store_n(k, out, l + right * (r - l), n);
}

ALWAYS void copy_pixel(kind k, const void *in, ptrdiff_t at, void *out) {
    memcpy(out, element(k, in, at), (size_t)k.channels * (k.bytes ? 1 : sizeof(float)));
}

/* ---- runs of pixels ---------------------------------------------------------------------------------------- */

ALWAYS bool in_vectors(kind k) {
    return k.channels == 3 || k.channels == 4;
}

/* Vectors of three channels reach two elements further: into the row below, so theirs must not be the last. */
ALWAYS int64_t inner_rows(const cnn_warp *w, kind k) {
    return w->in_height - (k.channels == 3 && !k.nearest);
}

ALWAYS void paint_inner(const cnn_warp *w, kind k, const line *l, const void *in, int64_t x, int64_t to,
                        void *out) {
    ptrdiff_t channels = k.channels, row = w->in_width * channels;
    for (; x < to; x += BLOCK) {
        inner b;
        const void *base = element(k, in, find_inner(w, l, x, inner_rows(w, k), k.nearest, &b));
        int count = to - x < BLOCK ? (int)(to - x) : BLOCK;
        for (int i = 0; i < count; i++) {
            ptrdiff_t at = b.at[i];
            void *pixel = element(k, out, (x + i) * channels);
            if (k.nearest) {
                copy_pixel(k, base, at, pixel);
            } else if (in_vectors(k)) {
                /* The fourth element of three is overwritten by the next pixel, if there is one. */
                mix_pixels(k, base, at, at + row, b.right[i], b.below[i], pixel,
                           i < count - 1 ? 4 : k.channels);
            } else {
                for (ptrdiff_t c = at; c < at + channels; c++)
                    set_value(k, pixel, c - at,
                              mix(value_at(k, base, c), value_at(k, base, c + channels),
                                  value_at(k, base, c + row), value_at(k, base, c + row + channels),
                                  b.right[i], b.below[i]));
            }
        }
    }
}

ALWAYS void fill_pixels(kind k, float value, void *out, int64_t from, int64_t to) {
    for (int64_t i = from * k.channels; i < to * k.channels; i++) set_value(k, out, i, value);
}

ALWAYS float fill_of(const cnn_warp *w, kind k) {
    float value = (float)w->options.value;
    return k.bytes && !(value > 0 && value < 255) ? (value > 0 ? 255.0f : 0.0f) : value;
}

/* Of a constant's border, where not all neighbours are within the picture. */
ALWAYS void border_pixel(const cnn_warp *w, kind k, const void *in, const outer *b, int i, void *out) {
    float fill = fill_of(w, k);
    for (int64_t c = 0; c < k.channels; c++) {
        float v[4];
        for (int n = 0; n < 4; n++) {
            int32_t row = b->row[n / 2][i], column = b->column[n % 2][i];
            bool beyond = row == BEYOND || column == BEYOND;
            v[n] = beyond ? fill : value_at(k, in, (row * w->in_width + column) * k.channels + c);
        }
        set_value(k, out, c, mix(v[0], v[1], v[2], v[3], b->right[i], b->below[i]));
    }
}

ALWAYS void outer_pixel(const cnn_warp *w, kind k, const void *in, const outer *b, int i, void *out) {
    int64_t left = b->column[0][i] * k.channels, right = b->column[1][i] * k.channels;
    int64_t row = w->in_width * k.channels, upper = b->row[0][i] * row, lower = b->row[1][i] * row;
    bool first = (b->column[0][i] | b->row[0][i]) >= 0, all = first && (b->column[1][i] | b->row[1][i]) >= 0;
    if (k.nearest) {
        if (first)
            copy_pixel(k, in, upper + left, out);
        else
            fill_pixels(k, fill_of(w, k), out, 0, 1);
    } else if (!all) {
        border_pixel(w, k, in, b, i, out);
    } else {
        for (int64_t c = 0; c < k.channels; c++)
            set_value(k, out, c,
                      mix(value_at(k, in, upper + left + c), value_at(k, in, upper + right + c),
                          value_at(k, in, lower + left + c), value_at(k, in, lower + right + c), b->right[i],
                          b->below[i]));
    }
}

ALWAYS void paint_outer(const cnn_warp *w, kind k, const line *l, const void *in, int64_t x, int64_t to,
                        void *out) {
    for (; x < to; x += BLOCK) {
        outer b;
        find_outer(w, l, x, k.nearest, &b);
        for (int i = 0; i < BLOCK && x + i < to; i++)
            outer_pixel(w, k, in, &b, i, element(k, out, (x + i) * k.channels));
    }
}

/* ---- pictures ---------------------------------------------------------------------------------------------- */

/* Pixels of the line whose neighbours lie within the picture, and whose offsets in 32 bits. */
ALWAYS span inner_span(const cnn_warp *w, kind k, const line *l) {
    int64_t rows = inner_rows(w, k), least = k.nearest ? 1 : 2;
    if (rows < least || w->in_width < least || w->in_height * w->in_width * w->channels > INT32_MAX)
        return (span){0, 0};
    double margin = k.nearest ? 0.5 : 0;
    return meet(between(l->x, l->dx, -margin, (double)(w->in_width - 1) + margin, w->out_width),
                between(l->y, l->dy, -margin, (double)(rows - 1) + margin, w->out_width));
}

static span seen_span(const cnn_warp *w, const line *l) {
    if (w->options.fill != CNN_FILL_CONSTANT) return (span){0, w->out_width};
    return meet(between(l->x, l->dx, -1, (double)w->in_width, w->out_width),
                between(l->y, l->dy, -1, (double)w->in_height, w->out_width));
}

ALWAYS void warp_kind(const cnn_warp *w, kind k, const void *in, void *out) {
    float fill = fill_of(w, k);
    for (int64_t y = 0; y < w->out_height; y++) {
        void *row = element(k, out, y * w->out_width * k.channels);
        line l = line_of(&w->at, y);
        span seen = seen_span(w, &l), within = meet(inner_span(w, k, &l), seen);
        if (within.to == 0) within = (span){seen.to, seen.to};
        fill_pixels(k, fill, row, 0, seen.from);
        paint_outer(w, k, &l, in, seen.from, within.from, row);
        paint_inner(w, k, &l, in, within.from, within.to, row);
        paint_outer(w, k, &l, in, within.to, seen.to, row);
        fill_pixels(k, fill, row, seen.to, w->out_width);
    }
}

ALWAYS void warp_channels(const cnn_warp *w, bool bytes, bool nearest, const void *in, void *out) {
    if (w->channels == 1)
        warp_kind(w, (kind){bytes, nearest, 1}, in, out);
    else if (w->channels == 3)
        warp_kind(w, (kind){bytes, nearest, 3}, in, out);
    else if (w->channels == 4)
        warp_kind(w, (kind){bytes, nearest, 4}, in, out);
    else
        warp_kind(w, (kind){bytes, nearest, w->channels}, in, out);
}

static bool takes_nearest(const cnn_warp *w) {
    return w->options.method == CNN_NEAREST || is_whole(w);
}

void CNN_KERNEL(warp)(const cnn_warp *w, const float *in, float *out) {
    if (takes_nearest(w))
        warp_channels(w, false, true, in, out);
    else
        warp_channels(w, false, false, in, out);
}

void CNN_KERNEL(warp_u8)(const cnn_warp *w, const uint8_t *in, uint8_t *out) {
    if (takes_nearest(w))
        warp_channels(w, true, true, in, out);
    else
        warp_channels(w, true, false, in, out);
}

/* ---- gradients --------------------------------------------------------------------------------------------- */

static void add_scaled(const cnn_warp *w, float *to, int32_t row, int32_t column, const float *from,
                       float scale) {
    if (row == BEYOND || column == BEYOND || scale == 0) return;
    to += (row * w->in_width + column) * w->channels;
    for (int64_t c = 0; c < w->channels; c++) to[c] += scale * from[c];
}

void CNN_KERNEL(warp_grad)(const cnn_warp *w, const float *grad_out, float *grad_in) {
    bool nearest = takes_nearest(w);
    int64_t n = w->channels;
    memset(grad_in, 0, (size_t)(w->in_height * w->in_width * n) * sizeof *grad_in);
    for (int64_t y = 0; y < w->out_height; y++) {
        line l = line_of(&w->at, y);
        span seen = seen_span(w, &l);
        const float *from = grad_out + (y * w->out_width + seen.from) * n;
        for (int64_t x = seen.from; x < seen.to; x += BLOCK) {
            outer b;
            find_outer(w, &l, x, nearest, &b);
            for (int i = 0; i < BLOCK && x + i < seen.to; i++, from += n) {
                float right = nearest ? 0 : b.right[i], below = nearest ? 0 : b.below[i];
                add_scaled(w, grad_in, b.row[0][i], b.column[0][i], from, (1 - right) * (1 - below));
                add_scaled(w, grad_in, b.row[0][i], b.column[1][i], from, right * (1 - below));
                add_scaled(w, grad_in, b.row[1][i], b.column[0][i], from, (1 - right) * below);
                add_scaled(w, grad_in, b.row[1][i], b.column[1][i], from, right * below);
            }
        }
    }
}
