/* Resizing pictures: weighted sums of rows, then of neighbouring pixels of one row. Sums have a fixed order and nothing
 * in them is fused, so that every instruction set gives the same bits. */
#include "kernels/nn.h"

#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

/* Rows two by two, for the sums go through memory; of an odd number the first is alone. */
#define SUM_PICTURE_ROWS(name, type)                                                                         \
    static void name##_set_one(float *restrict sums, float v, const type *restrict a, int64_t n) {           \
        for (int64_t i = 0; i < n; i++) sums[i] = v * (float)a[i];                                           \
    }                                                                                                        \
    static void name##_set_two(float *restrict sums, float v, const type *restrict a, float w,               \
                               const type *restrict b, int64_t n) {                                          \
        for (int64_t i = 0; i < n; i++) sums[i] = v * (float)a[i] + w * (float)b[i];                         \
    }                                                                                                        \
    static void name##_add_two(float *restrict sums, float v, const type *restrict a, float w,               \
                               const type *restrict b, int64_t n) {                                          \
        for (int64_t i = 0; i < n; i++) sums[i] += v * (float)a[i] + w * (float)b[i];                        \
    }                                                                                                        \
    void CNN_KERNEL(name)(const float *weights, int count, const type *rows, int64_t stride, float *sums,    \
                          int64_t n) {                                                                       \
        int k = count % 2 ? 1 : 2;                                                                           \
        if (count == 0)                                                                                      \
            memset(sums, 0, (size_t)n * sizeof *sums);                                                       \
        else if (k == 1)                                                                                     \
            name##_set_one(sums, weights[0], rows, n);                                                       \
        else                                                                                                 \
            name##_set_two(sums, weights[0], rows, weights[1], rows + stride, n);                            \
        for (; k < count; k += 2)                                                                            \
            name##_add_two(sums, weights[k], rows + k * stride, weights[k + 1], rows + (k + 1) * stride, n); \
    }

SUM_PICTURE_ROWS(sum_picture_rows_u8, uint8_t)
SUM_PICTURE_ROWS(sum_picture_rows_f32, float)

ALWAYS void sum_pixel(const float *weights, int count, const float *in, int64_t channels, float *out) {
    for (int64_t c = 0; c < channels; c++) {
        float sum = 0;
        for (int k = 0; k < count; k++) sum += weights[k] * in[k * channels + c];
        out[c] = sum;
    }
}

typedef float quad __attribute__((vector_size(16)));

/* A pixel of 3 or 4 channels; of 3, the last lane is waste. */
ALWAYS void sum_pixel_in_vector(const float *weights, int count, const float *in, int64_t channels,
                                float *out) {
    quad sum = {0};
    for (int k = 0; k < count; k++) {
        quad pixel;
        memcpy(&pixel, in + k * channels, sizeof pixel);
        sum += weights[k] * pixel;
    }
    memcpy(out, &sum, sizeof sum);
}

/* What the vectors write beyond a pixel is the next one's, which comes later; the last one has none. */
void CNN_KERNEL(sum_pixels)(const cnn_taps *t, const float *row, int64_t channels, float *out) {
    int64_t x = 0;
    for (; x < t->count - 1 && channels == 3; x++)
        sum_pixel_in_vector(t->weights + x * t->room, t->used[x], row + t->first[x] * 3, 3, out + x * 3);
    for (; x < t->count && channels == 4; x++)
        sum_pixel_in_vector(t->weights + x * t->room, t->used[x], row + t->first[x] * 4, 4, out + x * 4);
    for (; x < t->count && channels == 1; x++)
        sum_pixel(t->weights + x * t->room, t->used[x], row + t->first[x], 1, out + x);
    for (; x < t->count; x++)
        sum_pixel(t->weights + x * t->room, t->used[x], row + t->first[x] * channels, channels,
                  out + x * channels);
}
