/* Elements from one dtype to another, a row at a time.
 *
 * Float to integer truncates towards zero and saturates, NaN gives 0; to bfloat16 rounds to nearest, ties to
 * even. */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/parallel.h"
#include "base/status.h"

#include <math.h>
#include <string.h>

typedef uint16_t bf16;

static inline float f32_of_bf16(bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline bf16 bf16_of_f32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (bf16)(x != x ? bits >> 16 | 0x40 : rounded);
}

/* Written as selects so that loops over them become vector instructions. */
static inline uint8_t u8_of_f32(float x) {
    float low = x > 0 ? x : 0;
    return (uint8_t)(int32_t)(low < 255 ? low : 255);
}

static inline int32_t i32_of_f32(float x) {
    const float top = 2147483520.0f; /* the greatest float below 2^31 */
    float number = x == x ? x : 0;
    float inside = number < -0x1p31f ? -0x1p31f : number > top ? top : number;
    int32_t value = (int32_t)inside;
    return number > top ? INT32_MAX : value;
}

static inline uint8_t u8_of_i32(int32_t x) {
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

static inline int32_t i32_of_u8(uint8_t x) {
    return x;
}

static inline float f32_of_u8(uint8_t x) {
    return x;
}

static inline float f32_of_i32(int32_t x) {
    return (float)x;
}

static inline bf16 bf16_of_u8(uint8_t x) {
    return bf16_of_f32(x);
}

static inline bf16 bf16_of_i32(int32_t x) {
    return bf16_of_f32((float)x);
}

static inline uint8_t u8_of_bf16(bf16 x) {
    return u8_of_f32(f32_of_bf16(x));
}

static inline int32_t i32_of_bf16(bf16 x) {
    return i32_of_f32(f32_of_bf16(x));
}

typedef void row_cast(void *out, const void *in, int64_t n);

#define ROW_CAST(convert, To, From)                                                                          \
    static void row_##convert(void *restrict out, const void *restrict in, int64_t n) {                      \
        To *to = out;                                                                                        \
        const From *from = in;                                                                               \
        for (int64_t i = 0; i < n; i++) to[i] = convert(from[i]);                                            \
    }

ROW_CAST(f32_of_u8, float, uint8_t)
ROW_CAST(f32_of_i32, float, int32_t)
ROW_CAST(f32_of_bf16, float, bf16)
ROW_CAST(u8_of_f32, uint8_t, float)
ROW_CAST(u8_of_i32, uint8_t, int32_t)
ROW_CAST(u8_of_bf16, uint8_t, bf16)
ROW_CAST(i32_of_f32, int32_t, float)
ROW_CAST(i32_of_u8, int32_t, uint8_t)
ROW_CAST(i32_of_bf16, int32_t, bf16)
ROW_CAST(bf16_of_f32, bf16, float)
ROW_CAST(bf16_of_u8, bf16, uint8_t)
ROW_CAST(bf16_of_i32, bf16, int32_t)

static row_cast *const row_casts[4][4] = {
    /* [to][from] */
    [CNN_FLOAT32] = {NULL, row_f32_of_u8, row_f32_of_i32, row_f32_of_bf16},
    [CNN_UINT8] = {row_u8_of_f32, NULL, row_u8_of_i32, row_u8_of_bf16},
    [CNN_INT32] = {row_i32_of_f32, row_i32_of_u8, NULL, row_i32_of_bf16},
    [CNN_BFLOAT16] = {row_bf16_of_f32, row_bf16_of_u8, row_bf16_of_i32, NULL},
};

void cnn_row_cast(cnn_dtype to, void *out, cnn_dtype from, const void *in, int64_t n) {
    row_cast *cast = row_casts[to][from];
    if (cast)
        cast(out, in, n);
    else if (n > 0)
        memmove(out, in, (size_t)n * cnn_dtype_size(to));
}

void cnn_row_to_double(double *restrict out, cnn_dtype from, const void *in, int64_t n) {
    switch (from) {
    case CNN_FLOAT32:
        for (int64_t i = 0; i < n; i++) out[i] = (double)((const float *)in)[i];
        break;
    case CNN_UINT8:
        for (int64_t i = 0; i < n; i++) out[i] = ((const uint8_t *)in)[i];
        break;
    case CNN_INT32:
        for (int64_t i = 0; i < n; i++) out[i] = ((const int32_t *)in)[i];
        break;
    case CNN_BFLOAT16:
        for (int64_t i = 0; i < n; i++) out[i] = (double)f32_of_bf16(((const bf16 *)in)[i]);
        break;
    }
}

void cnn_store(cnn_dtype dtype, void *data, int64_t position, double value) {
    double whole = isnan(value) ? 0 : rint(value);
    switch (dtype) {
    case CNN_FLOAT32:
        ((float *)data)[position] = (float)value;
        break;
    case CNN_UINT8:
        ((uint8_t *)data)[position] = (uint8_t)(whole < 0 ? 0 : whole > UINT8_MAX ? UINT8_MAX : whole);
        break;
    case CNN_INT32:
        whole = whole < INT32_MIN ? INT32_MIN : whole > INT32_MAX ? INT32_MAX : whole;
        ((int32_t *)data)[position] = (int32_t)whole;
        break;
    case CNN_BFLOAT16:
        ((bf16 *)data)[position] = bf16_of_f32((float)value);
        break;
    }
}

typedef struct cast_job {
    cnn_dtype to, from;
    char *out;
    const char *in;
} cast_job;

static void cast_range(void *context, int64_t from, int64_t to) {
    const cast_job *job = context;
    cnn_row_cast(job->to, job->out + from * (int64_t)cnn_dtype_size(job->to), job->from,
                 job->in + from * (int64_t)cnn_dtype_size(job->from), to - from);
}

void cnn_cast_into(cnn_tensor *out, const cnn_tensor *a) {
    cast_job job = {out->dtype, a->dtype, out->data, a->data};
    cnn_parallel_ranges(a->size, CNN_GRAIN, cast_range, &job);
}

cnn_status cnn_cast(cnn_tensor **out, const cnn_tensor *a, cnn_dtype dtype) {
    CNN_TRY(cnn_check_values("astype", a));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("astype", &t, dtype, a->rank, a->shape));
    cnn_cast_into(t, a);
    *out = t;
    return CNN_OK;
}

cnn_status cnn_copy(cnn_tensor **out, const cnn_tensor *a) {
    CNN_TRY(cnn_check_values("copy", a));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("copy", &t, a->dtype, a->rank, a->shape));
    cnn_cast_into(t, a);
    *out = t;
    return CNN_OK;
}
