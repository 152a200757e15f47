/* Functions of one element. Rows of float32, and of int32 for the three that keep integers; other dtypes are
 * converted chunk by chunk. */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/parallel.h"
#include "base/status.h"

#include <math.h>

static const char *const names[] = {"neg",  "abs",   "sign", "square", "sqrt",       "exp",
                                    "log",  "log1p", "sin",  "cos",    "tanh",       "sigmoid",
                                    "relu", "floor", "ceil", "round",  "reciprocal", "isnan"};

static inline float sign_f32(float x) {
    return x != x ? x : (float)((x > 0) - (x < 0));
}

/* exp of a negative number only, so that nothing overflows. */
static inline float sigmoid_f32(float x) {
    float e = expf(-fabsf(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

static inline float floor_f32(float x) {
    return floorf(x);
}

typedef void unary_row(void *out, const void *in, int64_t n);

#define UNARY_ROW(name, T, formula)                                                                          \
    static void name(void *out, const void *in, int64_t n) {                                                 \
        T *o = out;                                                                                          \
        const T *p = in;                                                                                     \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                               \
            T x = p[i];                                                                                      \
            o[i] = (T)(formula);                                                                             \
        }                                                                                                    \
    }

UNARY_ROW(neg_row, float, -x)
UNARY_ROW(abs_row, float, fabsf(x))
UNARY_ROW(sign_row, float, sign_f32(x))
UNARY_ROW(square_row, float, x *x)
UNARY_ROW(sqrt_row, float, sqrtf(x))
UNARY_ROW(exp_row, float, expf(x))
UNARY_ROW(log_row, float, logf(x))
UNARY_ROW(log1p_row, float, log1pf(x))
UNARY_ROW(sin_row, float, sinf(x))
UNARY_ROW(cos_row, float, cosf(x))
UNARY_ROW(tanh_row, float, tanhf(x))
UNARY_ROW(sigmoid_row, float, sigmoid_f32(x))
UNARY_ROW(relu_row, float, x < 0 ? 0 : x)
UNARY_ROW(floor_row, float, floor_f32(x))
UNARY_ROW(ceil_row, float, ceilf(x))
UNARY_ROW(round_row, float, rintf(x)) /* ties to even */
UNARY_ROW(reciprocal_row, float, 1 / x)
UNARY_ROW(isnan_row, float, x != x)
UNARY_ROW(neg_i32_row, int32_t, -(uint32_t)x)
UNARY_ROW(abs_i32_row, int32_t, x < 0 ? -(uint32_t)x : (uint32_t)x)
UNARY_ROW(sign_i32_row, int32_t, (x > 0) - (x < 0))

static unary_row *const f32_rows[] = {neg_row,  abs_row,   sign_row, square_row, sqrt_row,       exp_row,
                                      log_row,  log1p_row, sin_row,  cos_row,    tanh_row,       sigmoid_row,
                                      relu_row, floor_row, ceil_row, round_row,  reciprocal_row, isnan_row};
static unary_row *const i32_rows[] = {neg_i32_row, abs_i32_row, sign_i32_row};

typedef struct unary_job {
    unary_row *row;
    cnn_dtype compute, in_dtype, out_dtype;
    const char *in;
    char *out;
} unary_job;

static void unary_range(void *context, int64_t from, int64_t to) {
    const unary_job *job = context;
    _Alignas(64) char buffer[4 * CNN_WALK_CHUNK], result[4 * CNN_WALK_CHUNK];
    int64_t in_size = (int64_t)cnn_dtype_size(job->in_dtype),
            out_size = (int64_t)cnn_dtype_size(job->out_dtype);
    for (; from < to; from += CNN_WALK_CHUNK) {
        int64_t n = to - from < CNN_WALK_CHUNK ? to - from : CNN_WALK_CHUNK;
        const void *in = job->in + from * in_size;
        if (job->in_dtype != job->compute) {
            cnn_row_cast(job->compute, buffer, job->in_dtype, in, n);
            in = buffer;
        }
        char *out = job->out + from * out_size;
        job->row(job->out_dtype == job->compute ? out : result, in, n);
        if (job->out_dtype == job->compute) continue;
        if (job->out_dtype == CNN_UINT8)
            for (int64_t i = 0; i < n; i++)
                out[i] = (char)((const int32_t *)(const void *)result)[i]; /* wraps */
        else
            cnn_row_cast(job->out_dtype, out, job->compute, result, n);
    }
}

static bool keeps_dtype(cnn_unary_op op) {
    return op == CNN_NEG || op == CNN_ABS || op == CNN_SIGN;
}

cnn_dtype cnn_unary_dtype(cnn_unary_op op, cnn_dtype a) {
    return keeps_dtype(op) ? a : CNN_FLOAT32;
}

void cnn_unary_into(cnn_tensor *out, cnn_unary_op op, const cnn_tensor *a) {
    bool integer = keeps_dtype(op) && (a->dtype == CNN_INT32 || a->dtype == CNN_UINT8);
    unary_job job = {.row = integer ? i32_rows[op] : f32_rows[op],
                     .compute = integer ? CNN_INT32 : CNN_FLOAT32,
                     .in_dtype = a->dtype,
                     .out_dtype = out->dtype,
                     .in = a->data,
                     .out = out->data};
    cnn_parallel_ranges(a->size, CNN_GRAIN, unary_range, &job);
}

cnn_status cnn_unary(cnn_tensor **out, cnn_unary_op op, const cnn_tensor *a) {
    if ((unsigned)op > CNN_ISNAN) return cnn_fail(CNN_ERROR_ARGUMENT, "unary: unknown operation %d", (int)op);
    CNN_TRY(cnn_check_values(names[op], a));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for(names[op], &t, cnn_unary_dtype(op, a->dtype), a->rank, a->shape));
    cnn_unary_into(t, op, a);
    *out = t;
    return CNN_OK;
}

/* ---- clip -------------------------------------------------------------------------------------------- */

typedef struct clip_job {
    cnn_dtype in_dtype, out_dtype;
    const char *in;
    char *out;
    float low, high;
    int32_t low_i32, high_i32;
} clip_job;

static void clip_range(void *context, int64_t from, int64_t to) {
    const clip_job *job = context;
    _Alignas(64) char buffer[4 * CNN_WALK_CHUNK];
    bool integer = job->out_dtype == CNN_INT32 || job->out_dtype == CNN_UINT8;
    cnn_dtype compute = integer ? CNN_INT32 : CNN_FLOAT32;
    for (; from < to; from += CNN_WALK_CHUNK) {
        int64_t n = to - from < CNN_WALK_CHUNK ? to - from : CNN_WALK_CHUNK;
        cnn_row_cast(compute, buffer, job->in_dtype, job->in + from * (int64_t)cnn_dtype_size(job->in_dtype),
                     n);
        float *x = (float *)(void *)buffer, low = job->low, high = job->high;
        int32_t *k = (int32_t *)(void *)buffer, least = job->low_i32, most = job->high_i32;
        if (integer)
            for (int64_t i = 0; i < n; i++) k[i] = k[i] < least ? least : k[i] > most ? most : k[i];
        else
            for (int64_t i = 0; i < n; i++) x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
        cnn_row_cast(job->out_dtype, job->out + from * (int64_t)cnn_dtype_size(job->out_dtype), compute,
                     buffer, n);
    }
}

static int32_t saturated(double value) {
    int32_t bound;
    cnn_store(CNN_INT32, &bound, 0, value);
    return bound;
}

/* Integers stay integers between whole or infinite bounds. */
static cnn_dtype clip_dtype(cnn_dtype dtype, double low, double high) {
    bool whole = low == floor(low) && high == floor(high);
    return dtype == CNN_BFLOAT16 || whole ? dtype : CNN_FLOAT32;
}

cnn_status cnn_clip(cnn_tensor **out, const cnn_tensor *a, double low, double high) {
    CNN_TRY(cnn_check_values("clip", a));
    if (!(low <= high))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "clip: expected a low bound not above the high one, got %g and %g", low, high);
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("clip", &t, clip_dtype(a->dtype, low, high), a->rank, a->shape));
    clip_job job = {a->dtype,   t->dtype,    a->data,        t->data,
                    (float)low, (float)high, saturated(low), saturated(high)};
    cnn_parallel_ranges(a->size, CNN_GRAIN, clip_range, &job);
    *out = t;
    return CNN_OK;
}
