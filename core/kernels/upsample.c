/* Pictures made larger by whole factors. Each axis alone is a sparse matrix: a row or column of the result is
 * (1-w)·in[low] + w·in[high], nearest neighbours having w = 0. Bilinear takes the centres of the cells for their
 * places: cell i of the result lies at (i + 1/2) / factor - 1/2, held within the picture. */
#include "kernels/nn.h"

#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

typedef struct source {
    int low, high;
    float weight; /* of high */
} source;

ALWAYS source source_of(int i, int factor, int size, bool bilinear) {
    if (!bilinear) return (source){i / factor, i / factor, 0};
    float at = ((float)i + 0.5f) / (float)factor - 0.5f;
    if (at < 0) at = 0;
    int low = (int)at;
    return (source){low, low + 1 < size ? low + 1 : low, at - (float)low};
}

static void blend(const float *a, const float *b, const float *c, const float *d, float x, float y, int n,
                  float *restrict out) {
    for (int i = 0; i < n; i++) {
        float upper = a[i] + x * (b[i] - a[i]), lower = c[i] + x * (d[i] - c[i]);
        out[i] = upper + y * (lower - upper);
    }
}

void CNN_KERNEL(upsample)(const cnn_upsample *u, int64_t n, const float *x, float *y) {
    int64_t row = (int64_t)u->w * u->channels;
    int height = u->h * u->factor_h, width = u->w * u->factor_w;
    for (int64_t s = 0; s < n; s++, x += u->h * row)
        for (int r = 0; r < height; r++) {
            source v = source_of(r, u->factor_h, u->h, u->bilinear);
            const float *upper = x + v.low * row, *lower = x + v.high * row;
            for (int c = 0; c < width; c++, y += u->channels) {
                source h = source_of(c, u->factor_w, u->w, u->bilinear);
                int64_t left = (int64_t)h.low * u->channels, right = (int64_t)h.high * u->channels;
                if (u->bilinear)
                    blend(upper + left, upper + right, lower + left, lower + right, h.weight, v.weight,
                          u->channels, y);
                else
                    memcpy(y, upper + left, (size_t)u->channels * sizeof *y);
            }
        }
}

static void add_scaled(float *restrict out, const float *restrict in, float scale, int n) {
    for (int i = 0; i < n; i++) out[i] += scale * in[i];
}

void CNN_KERNEL(upsample_grad)(const cnn_upsample *u, int64_t n, const float *dy, float *dx) {
    int64_t row = (int64_t)u->w * u->channels;
    int height = u->h * u->factor_h, width = u->w * u->factor_w;
    memset(dx, 0, (size_t)(n * u->h * row) * sizeof *dx);
    for (int64_t s = 0; s < n; s++, dx += u->h * row)
        for (int r = 0; r < height; r++) {
            source v = source_of(r, u->factor_h, u->h, u->bilinear);
            float *upper = dx + v.low * row, *lower = dx + v.high * row;
            for (int c = 0; c < width; c++, dy += u->channels) {
                source h = source_of(c, u->factor_w, u->w, u->bilinear);
                int64_t left = (int64_t)h.low * u->channels, right = (int64_t)h.high * u->channels;
                float top = 1 - v.weight;
                add_scaled(upper + left, dy, top * (1 - h.weight), u->channels);
                if (!u->bilinear) continue;
                add_scaled(upper + right, dy, top * h.weight, u->channels);
                add_scaled(lower + left, dy, v.weight * (1 - h.weight), u->channels);
                add_scaled(lower + right, dy, v.weight * h.weight, u->channels);
            }
        }
}
