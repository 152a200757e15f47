/* Arithmetic, comparison and selection, element by element with NumPy's broadcasting.
 *
 * Each operation is a loop over a row of float32 and one over a row of int32; the other dtypes are converted
 * to and from these chunk by chunk (walk.c). Integers wrap around; dividing an integer by 0 gives 0, as in
 * NumPy. */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"add",       "subtract", "multiply",   "divide",  "power",
                                    "mod",       "floordiv", "maximum",    "minimum", "equal",
                                    "not_equal", "less",     "less_equal", "greater", "greater_equal"};

static bool is_comparison(cnn_binary_op op) {
    return op >= CNN_EQUAL;
}

static bool is_integer(cnn_dtype dtype) {
    return dtype == CNN_UINT8 || dtype == CNN_INT32;
}

/* ---- one element ------------------------------------------------------------------------------------- */

static inline float mod_f32(float x, float y) {
    float rest = fmodf(x, y);
    if (rest == 0) return copysignf(0, y);
    return (rest < 0) != (y < 0) ? rest + y : rest;
}

/* floor(x / y), exact where the quotient is: as Python and NumPy do it. */
static inline float floordiv_f32(float x, float y) {
    if (y == 0) return x / y;
    float rest = fmodf(x, y), quotient = (x - rest) / y;
    if (rest != 0 && (y < 0) != (rest < 0)) quotient -= 1;
    if (quotient == 0) return copysignf(0, x / y);
    float whole = floorf(quotient);
    return quotient - whole > 0.5f ? whole + 1 : whole;
}

static inline int32_t floordiv_i32(int32_t x, int32_t y) {
    if (y == 0) return 0;
    if (y == -1) return (int32_t) - (uint32_t)x;
    int32_t quotient = x / y;
    return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}

static inline int32_t mod_i32(int32_t x, int32_t y) {
    if (y == 0 || y == -1) return 0;
    int32_t rest = x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

static inline float pow_f32(float x, float y) {
    return y == 2 ? x * x : y == 1 ? x : powf(x, y);
}

/* ---- rows -------------------------------------------------------------------------------------------- */

typedef void binary_row(void *out, const void *a, int a_step, const void *b, int b_step, int64_t n);

/* Each element depends on its own position alone, so out may be a or b: that is what ivdep promises. */
#define BINARY_ROW(name, Out, In, formula)                                                                   \
    static void name(void *out, const void *a, int a_step, const void *b, int b_step, int64_t n) {           \
        Out *o = out;                                                                                        \
        const In *p = a, *q = b;                                                                             \
        if (n <= 0) return;                                                                                  \
        if (!a_step) {                                                                                       \
            In x = p[0];                                                                                     \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                           \
                In y = q[b_step ? i : 0];                                                                    \
                o[i] = (Out)(formula);                                                                       \
            }                                                                                                \
        } else if (!b_step) {                                                                                \
            In y = q[0];                                                                                     \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                           \
                In x = p[i];                                                                                 \
                o[i] = (Out)(formula);                                                                       \
            }                                                                                                \
        } else {                                                                                             \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                           \
                In x = p[i], y = q[i];                                                                       \
                o[i] = (Out)(formula);                                                                       \
            }                                                                                                \
        }                                                                                                    \
    }

BINARY_ROW(add_f32_row, float, float, x + y)
BINARY_ROW(sub_f32_row, float, float, x - y)
BINARY_ROW(mul_f32_row, float, float, x *y)
BINARY_ROW(div_f32_row, float, float, x / y)
BINARY_ROW(pow_f32_row, float, float, pow_f32(x, y))
BINARY_ROW(mod_f32_row, float, float, mod_f32(x, y))
BINARY_ROW(floordiv_f32_row, float, float, floordiv_f32(x, y))
/* Not a number wins. */
BINARY_ROW(maximum_f32_row, float, float, ((x > y) | (x != x)) ? x : y)
BINARY_ROW(minimum_f32_row, float, float, ((x < y) | (x != x)) ? x : y)
BINARY_ROW(equal_f32_row, uint8_t, float, x == y)
BINARY_ROW(not_equal_f32_row, uint8_t, float, x != y)
BINARY_ROW(less_f32_row, uint8_t, float, x < y)
BINARY_ROW(less_equal_f32_row, uint8_t, float, x <= y)
BINARY_ROW(greater_f32_row, uint8_t, float, x > y)
BINARY_ROW(greater_equal_f32_row, uint8_t, float, x >= y)

BINARY_ROW(add_i32_row, int32_t, int32_t, (uint32_t)x + (uint32_t)y)
BINARY_ROW(sub_i32_row, int32_t, int32_t, (uint32_t)x - (uint32_t)y)
BINARY_ROW(mul_i32_row, int32_t, int32_t, (uint32_t)x *(uint32_t)y)
BINARY_ROW(mod_i32_row, int32_t, int32_t, mod_i32(x, y))
BINARY_ROW(floordiv_i32_row, int32_t, int32_t, floordiv_i32(x, y))
BINARY_ROW(maximum_i32_row, int32_t, int32_t, x > y ? x : y)
BINARY_ROW(minimum_i32_row, int32_t, int32_t, x < y ? x : y)
BINARY_ROW(equal_i32_row, uint8_t, int32_t, x == y)
BINARY_ROW(not_equal_i32_row, uint8_t, int32_t, x != y)
BINARY_ROW(less_i32_row, uint8_t, int32_t, x < y)
BINARY_ROW(less_equal_i32_row, uint8_t, int32_t, x <= y)
BINARY_ROW(greater_i32_row, uint8_t, int32_t, x > y)
BINARY_ROW(greater_equal_i32_row, uint8_t, int32_t, x >= y)

static binary_row *const f32_rows[] = {
    add_f32_row,       sub_f32_row,      mul_f32_row,        div_f32_row,     pow_f32_row,
    mod_f32_row,       floordiv_f32_row, maximum_f32_row,    minimum_f32_row, equal_f32_row,
    not_equal_f32_row, less_f32_row,     less_equal_f32_row, greater_f32_row, greater_equal_f32_row,
};
static binary_row *const i32_rows[] = {
    add_i32_row,
    sub_i32_row,
    mul_i32_row,
    NULL,
    NULL, /* always float32 */
    mod_i32_row,
    floordiv_i32_row,
    maximum_i32_row,
    minimum_i32_row,
    equal_i32_row,
    not_equal_i32_row,
    less_i32_row,
    less_equal_i32_row,
    greater_i32_row,
    greater_equal_i32_row,
};

/* ---- whole tensors ----------------------------------------------------------------------------------- */

typedef struct binary_job {
    cnn_walk walk;
    binary_row *row;
    cnn_dtype compute;         /* of the row's operands */
    cnn_dtype result, written; /* what the row gives, and the output's dtype */
    char *out;
} binary_job;

static void narrow(void *out, cnn_dtype to, const void *in, int64_t n) {
    if (to != CNN_UINT8) {
        cnn_row_cast(to, out, CNN_FLOAT32, in, n);
        return;
    }
    uint8_t *o = out;
    const int32_t *x = in;
    for (int64_t i = 0; i < n; i++) o[i] = (uint8_t)x[i]; /* wraps around */
}

static void binary_range(void *context, int64_t from, int64_t to) {
    const binary_job *job = context;
    cnn_walk_buffer left, right;
    _Alignas(64) char wide[4 * CNN_WALK_CHUNK];
    int64_t element = (int64_t)cnn_dtype_size(job->written);
    left.filled = right.filled = false;
    while (from < to) {
        int64_t n = cnn_walk_chunk(&job->walk, from, to);
        int a_step, b_step;
        const void *a = cnn_walk_fetch(&job->walk, 0, job->compute, from, n, &left, &a_step);
        const void *b = cnn_walk_fetch(&job->walk, 1, job->compute, from, n, &right, &b_step);
        char *out = job->out + from * element;
        if (job->result == job->written) {
            job->row(out, a, a_step, b, b_step, n);
        } else {
            job->row(wide, a, a_step, b, b_step, n);
            narrow(out, job->written, wide, n);
        }
        from += n;
    }
}

cnn_dtype cnn_binary_dtype(cnn_binary_op op, cnn_dtype a, cnn_dtype b) {
    if (is_comparison(op)) return CNN_UINT8;
    if (op == CNN_DIV || op == CNN_POW) return CNN_FLOAT32;
    if (a == b) return a;
    return is_integer(a) && is_integer(b) ? CNN_INT32 : CNN_FLOAT32;
}

void cnn_binary_into(cnn_tensor *out, cnn_binary_op op, const cnn_tensor *a, const cnn_tensor *b) {
    binary_job job = {.written = out->dtype, .out = out->data};
    bool integer = is_integer(a->dtype) && is_integer(b->dtype) && op != CNN_DIV && op != CNN_POW;
    job.row = integer ? i32_rows[op] : f32_rows[op];
    job.compute = integer ? CNN_INT32 : CNN_FLOAT32;
    job.result = is_comparison(op) ? CNN_UINT8 : job.compute;
    cnn_walk_init(&job.walk, out->rank, out->shape, 2, (const cnn_tensor *const[]){a, b});
    cnn_parallel_ranges(out->size, CNN_GRAIN, binary_range, &job);
}

cnn_status cnn_binary(cnn_tensor **out, cnn_binary_op op, const cnn_tensor *a, const cnn_tensor *b) {
    if ((unsigned)op > CNN_GREATER_EQUAL)
        return cnn_fail(CNN_ERROR_ARGUMENT, "binary: unknown operation %d", (int)op);
    const char *who = names[op];
    CNN_TRY(cnn_check_values(who, a));
    CNN_TRY(cnn_check_values(who, b));
    int rank;
    int64_t shape[CNN_MAX_RANK];
    CNN_TRY(cnn_broadcast_shape(who, a, b, &rank, shape));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for(who, &t, cnn_binary_dtype(op, a->dtype, b->dtype), rank, shape));
    cnn_binary_into(t, op, a, b);
    *out = t;
    return CNN_OK;
}

/* The dtype in which a number meets a tensor: the tensor's where the number is exact there. */
static cnn_dtype number_dtype(cnn_dtype dtype, double number) {
    char scalar[4];
    if (dtype == CNN_FLOAT32) return dtype;
    cnn_tensor t = cnn_tensor_wrap(dtype, 0, NULL, scalar);
    cnn_tensor_set(&t, 0, number);
    return cnn_tensor_get(&t, 0) == number ? dtype : CNN_FLOAT32;
}

cnn_status cnn_binary_number(cnn_tensor **out, cnn_binary_op op, const cnn_tensor *a, double number,
                             bool number_first) {
    if ((unsigned)op > CNN_GREATER_EQUAL)
        return cnn_fail(CNN_ERROR_ARGUMENT, "binary: unknown operation %d", (int)op);
    CNN_TRY(cnn_check_values(names[op], a));
    _Alignas(4) char scalar[4];
    cnn_tensor b = cnn_tensor_wrap(number_dtype(a->dtype, number), 0, NULL, scalar);
    cnn_tensor_set(&b, 0, number);
    return number_first ? cnn_binary(out, op, &b, a) : cnn_binary(out, op, a, &b);
}

/* ---- where ------------------------------------------------------------------------------------------- */

typedef struct where_job {
    cnn_walk walk;
    cnn_dtype dtype;
    char *out;
} where_job;

static void where_row(size_t element, char *out, const float *condition, int step, const char *a, int a_step,
                      const char *b, int b_step, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t at = i * (int64_t)element;
        const char *chosen = condition[step ? i : 0] != 0 ? a + (a_step ? at : 0) : b + (b_step ? at : 0);
        memcpy(out + at, chosen, element);
    }
}

static void where_range(void *context, int64_t from, int64_t to) {
    const where_job *job = context;
    cnn_walk_buffer conditions, left, right;
    size_t element = cnn_dtype_size(job->dtype);
    conditions.filled = left.filled = right.filled = false;
    while (from < to) {
        int64_t n = cnn_walk_chunk(&job->walk, from, to);
        int step, a_step, b_step;
        const float *condition = cnn_walk_fetch(&job->walk, 0, CNN_FLOAT32, from, n, &conditions, &step);
        const char *a = cnn_walk_fetch(&job->walk, 1, job->dtype, from, n, &left, &a_step);
        const char *b = cnn_walk_fetch(&job->walk, 2, job->dtype, from, n, &right, &b_step);
        char *out = job->out + from * (int64_t)element;
        if (element == 4)
            where_row(4, out, condition, step, a, a_step, b, b_step, n);
        else
            where_row(element, out, condition, step, a, a_step, b, b_step, n);
        from += n;
    }
}

cnn_status cnn_where(cnn_tensor **out, const cnn_tensor *condition, const cnn_tensor *a,
                     const cnn_tensor *b) {
    CNN_TRY(cnn_check_values("where", condition));
    CNN_TRY(cnn_check_values("where", a));
    CNN_TRY(cnn_check_values("where", b));
    cnn_tensor both = {0};
    CNN_TRY(cnn_broadcast_shape("where", a, b, &both.rank, both.shape));
    int rank;
    int64_t shape[CNN_MAX_RANK];
    CNN_TRY(cnn_broadcast_shape("where", condition, &both, &rank, shape));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("where", &t, cnn_binary_dtype(CNN_ADD, a->dtype, b->dtype), rank, shape));
    where_job job = {.dtype = t->dtype, .out = t->data};
    cnn_walk_init(&job.walk, rank, shape, 3, (const cnn_tensor *const[]){condition, a, b});
    cnn_parallel_ranges(t->size, CNN_GRAIN, where_range, &job);
    *out = t;
    return CNN_OK;
}
