/* Pooling, channels last: the channels are the vector dimension, the window is walked cell by cell. Cells
 * outside the picture take no part. */
#include "kernels/nn.h"
#include "kernels/math.h"

#define ALWAYS static inline __attribute__((always_inline))

typedef uint8_t vb __attribute__((vector_size(CNN_LANES)));

/* One window: its cells inside the picture, as ranges of its own rows and columns. */
typedef struct window {
    int row_from, row_to, column_from, column_to;
    ptrdiff_t origin; /* of the window's cell (0, 0), in floats from the picture's; may lie outside */
} window;

static window window_at(const cnn_pool *p, int row, int column) {
    int top = row * p->stride_h - p->pad_top, left = column * p->stride_w - p->pad_left;
    return (window){.row_from = top < 0 ? -top : 0,
                    .row_to = top + p->pool_h > p->in_h ? p->in_h - top : p->pool_h,
                    .column_from = left < 0 ? -left : 0,
                    .column_to = left + p->pool_w > p->in_w ? p->in_w - left : p->pool_w,
                    .origin = ((ptrdiff_t)top * p->in_w + left) * p->channels};
}

static inline ptrdiff_t cell(const cnn_pool *p, const window *w, int row, int column) {
    return w->origin + ((ptrdiff_t)row * p->in_w + column) * p->channels;
}

/* Fewer bytes than a vector has lanes, in at most four moves. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, int64_t n) {
    int64_t done = 0;
    if (CNN_LANES > 8 && n & 8) memcpy(to, from, 8), done = 8;
    if (CNN_LANES > 4 && n & 4) memcpy(to + done, from + done, 4), done += 4;
    if (n & 2) memcpy(to + done, from + done, 2), done += 2;
    if (n & 1) to[done] = from[done];
}

/* Lanes of a cell's channels from k on. A cell has seldom as many as fill a vector; with `roomy` the rest of the vector
 * may be what lies behind: reads go past the cell, writes too, where cells are written in order and what was spilt into
 * the next is overwritten with it. Masks would cost more than the rest of the work. */
static inline vf load_lanes(const float *p, int64_t left, bool roomy) {
    return roomy ? v_load(p) : v_load_some(p, left);
}

static inline void store_lanes(float *p, vf v, int64_t left, bool roomy) {
    if (roomy)
        v_store(p, v);
    else
        v_store_some(p, v, left);
}

static inline vi load_index(const void *index, int size, ptrdiff_t at, int64_t n, bool roomy) {
    if (size == 4) return (vi)load_lanes((const float *)index + at, n, roomy);
    vb bytes = {0};
    const uint8_t *from = (const uint8_t *)index + at;
    if (roomy || n >= CNN_LANES)
        memcpy(&bytes, from, sizeof bytes);
    else
        copy_bytes((uint8_t *)&bytes, from, n);
    return __builtin_convertvector(bytes, vi);
}

static inline void store_index(void *index, int size, ptrdiff_t at, vi value, int64_t n, bool roomy) {
    if (size == 4) {
        store_lanes((float *)index + at, (vf)value, n, roomy);
        return;
    }
    vb bytes = __builtin_convertvector(value, vb);
    uint8_t *to = (uint8_t *)index + at;
    if (roomy || n >= CNN_LANES)
        memcpy(to, &bytes, sizeof bytes);
    else
        copy_bytes(to, (const uint8_t *)&bytes, n);
}

/* ---- the maximum --------------------------------------------------------------------------------------- */

/* The maximum of one vector of channels, and where it is: the first of equals. */
ALWAYS vf window_max(const cnn_pool *p, const window *w, const float *x, int64_t n, bool roomy, vi *place) {
    vf best = load_lanes(x + cell(p, w, w->row_from, w->column_from), n, roomy);
    vi at = v_set1_i(w->row_from * p->pool_w + w->column_from);
    for (int i = w->row_from; i < w->row_to; i++)
        for (int j = w->column_from; j < w->column_to; j++) {
            vf value = load_lanes(x + cell(p, w, i, j), n, roomy);
            vi take = (value > best) | (value != value);
            best = v_select(take, value, best);
            at = (vi)v_select(take, (vf)v_set1_i(i * p->pool_w + j), (vf)at);
        }
    *place = at;
    return best;
}

/* Cells of a window to come, in its first two rows: windows go through two rows at once, in steps too large to be seen as
 * a stream. */
static inline void fetch_ahead(const cnn_pool *p, const float *cell) {
    enum { AHEAD = 512 };
    ptrdiff_t row = (ptrdiff_t)p->in_w * p->channels;
    __builtin_prefetch(cell + AHEAD);
    __builtin_prefetch(cell + AHEAD + p->channels);
    __builtin_prefetch(cell + AHEAD + row);
    __builtin_prefetch(cell + AHEAD + row + p->channels);
}

/* One output: all its channels. */
ALWAYS void max_pool_window(const cnn_pool *p, const window *w, const float *x, float *y, void *index,
                            int size, ptrdiff_t at, bool roomy) {
    for (int k = 0; k < p->channels; k += CNN_LANES) {
        vi place;
        fetch_ahead(p, x + w->origin + k);
        vf best = window_max(p, w, x + k, p->channels - k, roomy, &place);
        store_lanes(y + k, best, p->channels - k, roomy);
        if (index) store_index(index, size, at + k, place, p->channels - k, roomy);
    }
}

/* Windows of 2x2, nearly all there are, have a loop without branches. */
ALWAYS void max_pool_sample(const cnn_pool *p, const float *x, float *y, void *index, int size, ptrdiff_t at,
                            bool roomy) {
    for (int r = 0; r < p->out_h; r++)
        for (int c = 0; c < p->out_w; c++, at += p->channels, y += p->channels) {
            window w = window_at(p, r, c);
            bool whole = w.row_from == 0 && w.row_to == 2 && w.column_from == 0 && w.column_to == 2;
            if (whole && p->pool_w == 2) {
                const window square = {0, 2, 0, 2, w.origin};
                cnn_pool two = *p;
                two.pool_w = 2;
                max_pool_window(&two, &square, x, y, index, size, at, roomy);
            } else {
                max_pool_window(p, &w, x, y, index, size, at, roomy);
            }
        }
}

/* Behind all samples but the last few there is room for a vector. */
static int64_t roomy_samples(int64_t n, ptrdiff_t in, ptrdiff_t out) {
    ptrdiff_t smaller = in < out ? in : out;
    int64_t tight = (CNN_LANES + smaller - 1) / smaller;
    return n > tight ? n - tight : 0;
}

void CNN_KERNEL(max_pool)(const cnn_pool *p, int64_t n, const float *x, float *y, void *index,
                          int index_size) {
    ptrdiff_t in = (ptrdiff_t)p->in_h * p->in_w * p->channels,
              out = (ptrdiff_t)p->out_h * p->out_w * p->channels;
    if (n == 0 || in == 0 || out == 0) return;
    int64_t roomy = roomy_samples(n, in, out), s = 0;
    for (; s < roomy; s++) max_pool_sample(p, x + s * in, y + s * out, index, index_size, s * out, true);
    for (; s < n; s++) max_pool_sample(p, x + s * in, y + s * out, index, index_size, s * out, false);
}

/* Every window beside the next: then each cell of dx belongs to one window at most. */
static bool tiles(const cnn_pool *p) {
    return p->stride_h == p->pool_h && p->stride_w == p->pool_w && p->pad_top == 0 && p->pad_left == 0;
}

/* What one vector of a window's channels gives its cells. apart: no other window adds to them. */
static inline void spread_maximum(const cnn_pool *p, const window *w, vi place, vf gradient, float *dx,
                                  int64_t left, bool apart, bool roomy) {
    for (int i = w->row_from; i < w->row_to; i++)
        for (int j = w->column_from; j < w->column_to; j++) {
            float *to = dx + cell(p, w, i, j);
            vf share = v_keep(place == i * p->pool_w + j, gradient);
            store_lanes(to, apart ? share : v_load_some(to, left) + share, left, roomy);
        }
}

/* dx is zeroed before, also where every cell is written: that brings it into the cache faster than the scattered writes
 * would. Behind the last window of a row lies another row. */
ALWAYS void max_pool_grad_sample(const cnn_pool *p, const float *dy, const void *index, int size,
                                 ptrdiff_t at, float *dx, bool apart, bool roomy) {
    for (int r = 0; r < p->out_h; r++)
        for (int c = 0; c < p->out_w; c++, at += p->channels, dy += p->channels) {
            window w = window_at(p, r, c);
            for (int k = 0; k < p->channels; k += CNN_LANES) {
                int64_t left = p->channels - k;
                vi place = load_index(index, size, at + k, left, roomy);
                vf gradient = load_lanes(dy + k, left, roomy);
                spread_maximum(p, &w, place, gradient, dx + k, left, apart,
                               roomy && apart && c + 1 < p->out_w);
            }
        }
}

void CNN_KERNEL(max_pool_grad)(const cnn_pool *p, int64_t n, const float *dy, const void *index,
                               int index_size, float *dx) {
    ptrdiff_t in = (ptrdiff_t)p->in_h * p->in_w * p->channels,
              out = (ptrdiff_t)p->out_h * p->out_w * p->channels;
    if (n == 0 || in == 0) return;
    bool apart = tiles(p);
    /* A second vector of channels would spill over the first one of the cell behind. */
    bool one_vector = p->channels <= CNN_LANES || p->channels % CNN_LANES == 0;
    int64_t roomy = apart && one_vector && out > 0 ? roomy_samples(n, in, out) : 0;
    for (int64_t s = 0; s < n; s++) {
        const float *from = dy + s * out;
        float *to = dx + s * in;
        memset(to, 0, (size_t)in * sizeof *dx);
        if (s < roomy)
            max_pool_grad_sample(p, from, index, index_size, s * out, to, true, true);
        else
            max_pool_grad_sample(p, from, index, index_size, s * out, to, apart, false);
    }
}

/* ---- the mean ------------------------------------------------------------------------------------------ */

static float cells(const window *w) {
    return (float)(w->row_to - w->row_from) * (float)(w->column_to - w->column_from);
}

/* Row by row, so that the sum over a whole picture does not lose digits. */
static inline vf window_sum(const cnn_pool *p, const window *w, const float *x, int64_t n) {
    vf total = {0};
    for (int i = w->row_from; i < w->row_to; i++) {
        vf row = {0};
        for (int j = w->column_from; j < w->column_to; j++) row += v_load_some(x + cell(p, w, i, j), n);
        total += row;
    }
    return total;
}

void CNN_KERNEL(avg_pool)(const cnn_pool *p, int64_t n, const float *x, float *y) {
    ptrdiff_t in = (ptrdiff_t)p->in_h * p->in_w * p->channels;
    for (int64_t s = 0; s < n; s++, x += in)
        for (int r = 0; r < p->out_h; r++)
            for (int c = 0; c < p->out_w; c++, y += p->channels) {
                window w = window_at(p, r, c);
                for (int k = 0; k < p->channels; k += CNN_LANES)
                    v_store_some(y + k, window_sum(p, &w, x + k, p->channels - k) / cells(&w),
                                 p->channels - k);
            }
}

static void spread(const cnn_pool *p, const window *w, const float *dy, float *dx) {
    for (int k = 0; k < p->channels; k += CNN_LANES) {
        int64_t left = p->channels - k;
        vf share = v_load_some(dy + k, left) / cells(w);
        for (int i = w->row_from; i < w->row_to; i++)
            for (int j = w->column_from; j < w->column_to; j++) {
                float *to = dx + cell(p, w, i, j) + k;
                v_store_some(to, v_load_some(to, left) + share, left);
            }
    }
}

void CNN_KERNEL(avg_pool_grad)(const cnn_pool *p, int64_t n, const float *dy, float *dx) {
    ptrdiff_t in = (ptrdiff_t)p->in_h * p->in_w * p->channels;
    for (int64_t s = 0; s < n; s++, dx += in) {
        memset(dx, 0, (size_t)in * sizeof *dx);
        for (int r = 0; r < p->out_h; r++)
            for (int c = 0; c < p->out_w; c++, dy += p->channels) {
                window w = window_at(p, r, c);
                spread(p, &w, dy, dx);
            }
    }
}
