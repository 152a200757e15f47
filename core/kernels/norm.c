/* The loops of batch and layer normalization.
 *
 * Batch normalization goes down the columns of [rows,channels]. Few channels would leave most of a vector empty, so
 * rows are folded: g rows of C channels are one of g·C columns, whose sums are added up by channel at the end.
 *
 * Mean and variance take one pass over memory: a chunk of rows small enough to stay in the first-level cache is
 * summed, then summed again as squares around its own mean, and chunks are merged in double (Chan, Golub & LeVeque
 * 1983). Nothing large is ever subtracted from anything large, so that a mean far from 0 costs no digits, which
 * Σx² - (Σx)²/n would lose; and unlike Welford's recurrence there is no division in the loop. */
#include "kernels/nn.h"
#include "kernels/simd.h"

#define ALWAYS static inline __attribute__((always_inline))

/* Columns worked on together, at most twice as many after folding; and rows of them in a chunk. */
enum { TILE = 64, WIDEST = 2 * TILE, CHUNK = 64 };

ALWAYS vf load(const float *p, int n) {
    return n < CNN_LANES ? v_load_n(p, n) : v_load(p);
}

ALWAYS void store(float *p, vf v, int n) {
    if (n < CNN_LANES)
        v_store_n(p, v, n);
    else
        v_store(p, v);
}

/* ---- folding ------------------------------------------------------------------------------------------- */

/* Part of [rows,channels]: rows of `width` columns, the first at `at`, that begin `stride` floats apart. */
typedef struct tile {
    int64_t at, rows, stride;
    int width;
} tile;

static int fold_of(int64_t channels) {
    return channels < TILE ? (int)((TILE + channels - 1) / channels) : 1;
}

/* At most `most` channels of `rows` rows from the matrix's row `row` on; or, folded, all: the full ones of the
 * folded rows, and what remains. */
static int tiles_of(int64_t row, int64_t rows, int64_t channels, int64_t first, int64_t most, tile out[2]) {
    int fold = fold_of(channels), count = 0;
    if (fold == 1) {
        int64_t left = channels - first;
        out[0] = (tile){row * channels + first, rows, channels, (int)(left < most ? left : most)};
        return 1;
    }
    int64_t width = fold * channels, full = rows / fold, rest = rows % fold;
    if (full > 0) out[count++] = (tile){row * channels, full, width, (int)width};
    if (rest > 0) out[count++] = (tile){(row * channels) + full * width, 1, width, (int)(rest * channels)};
    return count;
}

/* Channels that one call of tiles_of covers from `first` on. */
static int covered(int64_t channels, int64_t first) {
    return channels - first < TILE ? (int)(channels - first) : TILE;
}

/* Folded columns → channels, in place. */
static void fold_sums(float *sums, int64_t channels) {
    int fold = fold_of(channels);
    for (int g = 1; g < fold; g++)
        for (int c = 0; c < channels; c++) sums[c] += sums[g * channels + c];
}

/* A vector by channel repeated for folded columns; without folding it is as it is. */
static const float *spread(const float *values, int64_t channels, int64_t first, float buffer[WIDEST]) {
    int fold = fold_of(channels);
    if (fold == 1) return values + first;
    for (int g = 0; g < fold; g++) memcpy(buffer + g * channels, values, (size_t)channels * sizeof *values);
    return buffer;
}

/* ---- sums down the columns ----------------------------------------------------------------------------- */

/* Four rows at a time, each into a sum of its own: additions in a row would wait for each other. */
static void add_up(const float *x, const tile *t, float *sums) {
    for (int c = 0; c < t->width; c += CNN_LANES) {
        int n = t->width - c < CNN_LANES ? t->width - c : CNN_LANES;
        const float *p = x + t->at + c;
        vf s[4] = {{0}};
        int64_t r = 0;
        for (; r + 4 <= t->rows; r += 4, p += 4 * t->stride)
            for (int k = 0; k < 4; k++) s[k] += load(p + k * t->stride, n);
        for (; r < t->rows; r++, p += t->stride) s[0] += load(p, n);
        store(sums + c, load(sums + c, n) + ((s[0] + s[1]) + (s[2] + s[3])), n);
    }
}

static void add_squares(const float *x, const float *mean, const tile *t, float *sums) {
    for (int c = 0; c < t->width; c += CNN_LANES) {
        int n = t->width - c < CNN_LANES ? t->width - c : CNN_LANES;
        const float *p = x + t->at + c;
        vf s[4] = {{0}}, m = load(mean + c, n);
        int64_t r = 0;
        for (; r + 4 <= t->rows; r += 4, p += 4 * t->stride)
            for (int k = 0; k < 4; k++) {
                vf d = load(p + k * t->stride, n) - m;
                s[k] = v_fma(d, d, s[k]);
            }
        for (; r < t->rows; r++, p += t->stride) {
            vf d = load(p, n) - m;
            s[0] = v_fma(d, d, s[0]);
        }
        store(sums + c, load(sums + c, n) + ((s[0] + s[1]) + (s[2] + s[3])), n);
    }
}

/* sums += dy, dots += dy·(x - mean) */
static void add_gradients(const float *x, const float *dy, const float *mean, const tile *t, float *sums,
                          float *dots) {
    for (int c = 0; c < t->width; c += CNN_LANES) {
        int n = t->width - c < CNN_LANES ? t->width - c : CNN_LANES;
        const float *p = x + t->at + c, *q = dy + t->at + c;
        vf s[2] = {{0}}, d[2] = {{0}}, m = load(mean + c, n);
        int64_t r = 0;
        for (; r + 2 <= t->rows; r += 2, p += 2 * t->stride, q += 2 * t->stride)
            for (int k = 0; k < 2; k++) {
                vf g = load(q + k * t->stride, n);
                s[k] += g;
                d[k] = v_fma(g, load(p + k * t->stride, n) - m, d[k]);
            }
        for (; r < t->rows; r++, p += t->stride, q += t->stride) {
            vf g = load(q, n);
            s[0] += g;
            d[0] = v_fma(g, load(p, n) - m, d[0]);
        }
        store(sums + c, load(sums + c, n) + (s[0] + s[1]), n);
        store(dots + c, load(dots + c, n) + (d[0] + d[1]), n);
    }
}

/* Merges n values of this mean and sum of squares into `before` others. */
static void merge(int64_t before, int64_t n, int channels, const float *mean_n, const float *squares_n,
                  double *mean, double *squares) {
    double share = (double)n / (double)(before + n), weight = (double)before * share;
    for (int c = 0; c < channels; c++) {
        double delta = (double)mean_n[c] - mean[c];
        mean[c] += delta * share;
        squares[c] += (double)squares_n[c] + delta * delta * weight;
    }
}

void CNN_KERNEL(batch_moments)(const float *x, int64_t rows, int64_t channels, double *mean,
                               double *squares) {
    int64_t chunk = (int64_t)CHUNK * fold_of(channels);
    for (int64_t c = 0; c < channels; c++) mean[c] = squares[c] = 0;
    for (int64_t row = 0; row < rows; row += chunk)
        for (int64_t first = 0; first < channels; first += TILE) {
            float sums[WIDEST] = {0}, squared[WIDEST] = {0}, buffer[WIDEST];
            int64_t n = rows - row < chunk ? rows - row : chunk;
            int width = covered(channels, first);
            tile tiles[2];
            int count = tiles_of(row, n, channels, first, TILE, tiles);
            for (int i = 0; i < count; i++) add_up(x, &tiles[i], sums);
            fold_sums(sums, channels);
            for (int c = 0; c < width; c++) sums[c] /= (float)n;
            const float *center = fold_of(channels) > 1 ? spread(sums, channels, 0, buffer) : sums;
            for (int i = 0; i < count; i++) add_squares(x, center, &tiles[i], squared);
            fold_sums(squared, channels);
            merge(row, n, width, sums, squared, mean + first, squares + first);
        }
}

void CNN_KERNEL(batch_sums)(const float *x, const float *dy, const float *mean, int64_t rows,
                            int64_t channels, double *sums, double *dots) {
    int64_t chunk = (int64_t)CHUNK * fold_of(channels);
    for (int64_t c = 0; c < channels; c++) sums[c] = dots[c] = 0;
    for (int64_t row = 0; row < rows; row += chunk)
        for (int64_t first = 0; first < channels; first += TILE) {
            float s[WIDEST] = {0}, d[WIDEST] = {0}, buffer[WIDEST];
            const float *center = spread(mean, channels, first, buffer);
            tile tiles[2];
            int count = tiles_of(row, rows - row < chunk ? rows - row : chunk, channels, first, TILE, tiles);
            for (int i = 0; i < count; i++) add_gradients(x, dy, center, &tiles[i], s, d);
            fold_sums(s, channels);
            fold_sums(d, channels);
            for (int c = 0; c < covered(channels, first); c++) {
                sums[first + c] += (double)s[c];
                dots[first + c] += (double)d[c];
            }
        }
}

/* ---- element by element -------------------------------------------------------------------------------- */

static void normalize(const float *x, const float *mean, const float *scale, const float *offset,
                      const tile *t, float *y) {
    for (int64_t r = 0; r < t->rows; r++)
        for (int c = 0; c < t->width; c += CNN_LANES) {
            int n = t->width - c < CNN_LANES ? t->width - c : CNN_LANES;
            int64_t at = t->at + r * t->stride + c;
            vf d = load(x + at, n) - load(mean + c, n);
            store(y + at, v_fma(d, load(scale + c, n), load(offset + c, n)), n);
        }
}

void CNN_KERNEL(batch_normalize)(const float *x, const float *mean, const float *scale, const float *offset,
                                 int64_t rows, int64_t channels, float *y) {
    float means[WIDEST], scales[WIDEST], offsets[WIDEST];
    tile tiles[2];
    int count = tiles_of(0, rows, channels, 0, channels, tiles);
    mean = spread(mean, channels, 0, means);
    scale = spread(scale, channels, 0, scales);
    offset = spread(offset, channels, 0, offsets);
    for (int i = 0; i < count; i++) normalize(x, mean, scale, offset, &tiles[i], y);
}

static void pass_back(const float *x, const float *dy, const float *mean, const float *scale,
                      const float *offset, const float *slope, const tile *t, float *dx) {
    for (int64_t r = 0; r < t->rows; r++)
        for (int c = 0; c < t->width; c += CNN_LANES) {
            int n = t->width - c < CNN_LANES ? t->width - c : CNN_LANES;
            int64_t at = t->at + r * t->stride + c;
            vf d = load(x + at, n) - load(mean + c, n), g = load(dy + at, n) - load(offset + c, n);
            store(dx + at, load(scale + c, n) * v_fma(-load(slope + c, n), d, g), n);
        }
}

void CNN_KERNEL(batch_normalize_grad)(const float *x, const float *dy, const float *mean, const float *scale,
                                      const float *offset, const float *slope, int64_t rows, int64_t channels,
                                      float *dx) {
    float means[WIDEST], scales[WIDEST], offsets[WIDEST], slopes[WIDEST];
    tile tiles[2];
    int count = tiles_of(0, rows, channels, 0, channels, tiles);
    mean = spread(mean, channels, 0, means);
    scale = spread(scale, channels, 0, scales);
    offset = spread(offset, channels, 0, offsets);
    slope = spread(slope, channels, 0, slopes);
    for (int i = 0; i < count; i++) pass_back(x, dy, mean, scale, offset, slope, &tiles[i], dx);
}

/* ---- layer normalization ------------------------------------------------------------------------------- */

/* Σ x and Σ (x - mean)² along a row that is in the cache after the first of them. */
static float row_mean(const float *x, int64_t n) {
    vf s[2] = {{0}};
    int64_t i = 0;
    for (; i + 2 * CNN_LANES <= n; i += 2 * CNN_LANES) {
        s[0] += v_load(x + i);
        s[1] += v_load(x + i + CNN_LANES);
    }
    for (; i < n; i += CNN_LANES) s[0] += load(x + i, n - i < CNN_LANES ? (int)(n - i) : CNN_LANES);
    return v_sum(s[0] + s[1]) / (float)n;
}

static float row_variance(const float *x, float mean, int64_t n) {
    vf s = {0};
    int64_t i = 0;
    for (; i + CNN_LANES <= n; i += CNN_LANES) {
        vf d = v_load(x + i) - mean;
        s = v_fma(d, d, s);
    }
    float sum = v_sum(s);
    for (; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum / (float)n;
}

void CNN_KERNEL(layer_normalize)(const float *x, const float *gamma, const float *beta, float epsilon,
                                 int64_t rows, int64_t columns, float *y, float *saved) {
    for (int64_t r = 0; r < rows; r++, x += columns, y += columns) {
        float mean = row_mean(x, columns);
        float scale = 1 / __builtin_sqrtf(row_variance(x, mean, columns) + epsilon);
        for (int64_t i = 0; i < columns; i += CNN_LANES) {
            int n = columns - i < CNN_LANES ? (int)(columns - i) : CNN_LANES;
            vf d = (load(x + i, n) - mean) * scale;
            store(y + i, v_fma(d, load(gamma + i, n), load(beta + i, n)), n);
        }
        if (!saved) continue;
        saved[2 * r] = mean;
        saved[2 * r + 1] = scale;
    }
}

/* With g = dy·γ and x̂ = (x - mean)·scale: dx = scale·(g - mean(g) - x̂·mean(g·x̂)). */
static void row_back(const float *x, const float *dy, const float *gamma, float mean, float scale, int64_t n,
                     float *dx) {
    vf sum = {0}, dot = {0};
    for (int64_t i = 0; i < n; i += CNN_LANES) {
        int left = n - i < CNN_LANES ? (int)(n - i) : CNN_LANES;
        vf g = load(dy + i, left) * load(gamma + i, left);
        sum += g;
        dot = v_fma(g, (load(x + i, left) - mean) * scale, dot);
    }
    float offset = v_sum(sum) / (float)n, slope = v_sum(dot) / (float)n;
    for (int64_t i = 0; i < n; i += CNN_LANES) {
        int left = n - i < CNN_LANES ? (int)(n - i) : CNN_LANES;
        vf g = load(dy + i, left) * load(gamma + i, left), h = (load(x + i, left) - mean) * scale;
        store(dx + i, scale * (g - offset - h * slope), left);
    }
}

void CNN_KERNEL(layer_normalize_grad)(const float *x, const float *dy, const float *gamma, const float *saved,
                                      int64_t rows, int64_t columns, float *dx, float *dgamma, float *dbeta) {
    for (int64_t r = 0; r < rows; r++, x += columns, dy += columns) {
        float mean = saved[2 * r], scale = saved[2 * r + 1];
        for (int64_t i = 0; (dgamma || dbeta) && i < columns; i++) {
            if (dgamma) dgamma[i] += dy[i] * ((x[i] - mean) * scale);
            if (dbeta) dbeta[i] += dy[i];
        }
        if (dx) row_back(x, dy, gamma, mean, scale, columns, dx + r * columns);
    }
}
