/* Max pooling of a convolution's sums while they are in the cache, and its way back.
 *
 * The tile leaves a strip of sums in scratch; here each window's maximum is taken, activated and written,
 * with its place in the window, one byte a cell, which is all that the backward pass needs. The first of
 * equals wins; a NaN wins over all, and stays. Channels are the vector dimension in both directions. Where the
 * tile can do so by itself (conv_in_windows), there are no sums to look at. */
#include "kernels/conv.h"
#include "kernels/conv_window.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS vf load(const float *p, bool full, int n) {
    return full ? v_load(p) : v_load_n(p, n);
}

ALWAYS void store(float *p, vf v, bool full, int n) {
    full ? v_store(p, v) : v_store_n(p, v, n);
}

/* The maximum of one window of one vector of channels, and where it is. */
ALWAYS vf window(int pool_h, int pool_w, const float *sums, ptrdiff_t row, ptrdiff_t pixel, vi *place) {
    vf best = v_load(sums);
    vi at = {0};
    for (int i = 0; i < pool_h; i++)
        for (int j = i == 0; j < pool_w; j++)
            conv_window_take(v_load(sums + i * row + j * pixel), i * pool_w + j, &best, &at);
    *place = at;
    return best;
}

/* One vector of one window; full or not is known where it is inlined. */
ALWAYS void pool_vector(const conv_pooling *p, int pool_h, int pool_w, bool full, int channels,
                        const float *sums, float *y, uint8_t *index) {
    vi place;
    vf best = window(pool_h, pool_w, sums, (ptrdiff_t)p->out_w * CONV_LANES, CONV_LANES, &place);
    conv_window_store(best, place, p->relu, full, channels, y, index);
}

ALWAYS void pool_rows(const conv_pooling *p, int pool_h, int pool_w, int rows, int columns, int channels,
                      const float *sums, float *y, uint8_t *index) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) {
            const float *from = sums + ((ptrdiff_t)r * pool_h * p->out_w + c * pool_w) * CONV_LANES;
            ptrdiff_t to = r * p->y_row + (ptrdiff_t)c * p->out_c;
            int v = 0;
            for (; v + CNN_LANES <= channels; v += CNN_LANES)
                pool_vector(p, pool_h, pool_w, true, CNN_LANES, from + v, y + to + v,
                            index ? index + to + v : NULL);
            if (v < channels)
                pool_vector(p, pool_h, pool_w, false, channels - v, from + v, y + to + v,
                            index ? index + to + v : NULL);
        }
}

void conv_pool_block(const conv_pooling *p, int rows, int columns, int channels, const float *sums, float *y,
                     uint8_t *index) {
    conv_pooling q = *p; /* a copy that no store can be taken to change */
    if (q.pool_h == 2 && q.pool_w == 2)
        pool_rows(&q, 2, 2, rows, columns, channels, sums, y, index);
    else
        pool_rows(&q, q.pool_h, q.pool_w, rows, columns, channels, sums, y, index);
}

/* One vector of one window of dy: dpooled where its index says, else 0. */
ALWAYS void unpool_vector(int pool_h, int pool_w, bool full, int left, ptrdiff_t row, int pixel,
                          const float *dpooled, const uint8_t *index, float *dy) {
    vi place = conv_window_places(index, full, left);
    vf gradient = load(dpooled, full, left);
    for (int i = 0; i < pool_h; i++)
        for (int j = 0; j < pool_w; j++)
            store(dy + i * row + j * pixel, (vf)((vi)gradient & (place == i * pool_w + j)), full, left);
}

ALWAYS void unpool_row(int pool_h, int pool_w, int columns, ptrdiff_t row, int channels, const float *dpooled,
                       const uint8_t *index, float *dy) {
    for (int w = 0; w < columns; w++, dpooled += channels, index += channels, dy += pool_w * channels) {
        int c = 0;
        for (; c + CNN_LANES <= channels; c += CNN_LANES)
            unpool_vector(pool_h, pool_w, true, CNN_LANES, row, channels, dpooled + c, index + c, dy + c);
        if (c < channels)
            unpool_vector(pool_h, pool_w, false, channels - c, row, channels, dpooled + c, index + c, dy + c);
    }
}

static void unpool_sample(const cnn_conv *c, int pool_h, int pool_w, const float *dpooled,
                          const uint8_t *index, float *dy) {
    int rows = c->out_h / pool_h, columns = c->out_w / pool_w, channels = c->out_c;
    ptrdiff_t row = (ptrdiff_t)c->out_w * channels;
    for (int r = 0; r < rows; r++, dy += pool_h * row) {
        ptrdiff_t from = (ptrdiff_t)r * columns * channels;
        if (pool_h == 2 && pool_w == 2)
            unpool_row(2, 2, columns, row, channels, dpooled + from, index + from, dy);
        else
            unpool_row(pool_h, pool_w, columns, row, channels, dpooled + from, index + from, dy);
    }
}

void CNN_KERNEL(conv_unpool)(const cnn_conv *c, int n, int pool_h, int pool_w, const float *dpooled,
                             const uint8_t *index, float *dy) {
    pool_h = pool_h > 1 ? pool_h : 1;
    pool_w = pool_w > 1 ? pool_w : 1;
    ptrdiff_t pooled = (ptrdiff_t)(c->out_h / pool_h) * (c->out_w / pool_w) * c->out_c;
    ptrdiff_t sample = (ptrdiff_t)c->out_h * c->out_w * c->out_c;
    for (int s = 0; s < n; s++)
        unpool_sample(c, pool_h, pool_w, dpooled + s * pooled, index + s * pooled, dy + s * sample);
}
