/* Every mode is a range of the full result
 *
 *   convolve   f[k] = Σ a[k - j]·b[j]            correlate   f[k] = Σ a[k - (n_b - 1) + j]·b[j]
 *
 * on each axis, k from 0 to n_a + n_b - 2; a 1-D array is one row. */
#include "tensor/signal.h"
#include "base/status.h"
#include "base/text.h"

/* The part of the full result that is wanted on one axis. */
typedef struct range {
    int64_t from, count;
} range;

/* Where "same" begins is each library's own: NumPy's correlate takes the middle of the full result rounded down, and,
 * having swapped a shorter first array, rounded up; SciPy's correlate2d rounds up. */
static range range_of(int64_t na, int64_t nb, cnn_signal_mode mode, bool correlate, bool two_axes) {
    int64_t shorter = na < nb ? na : nb, longer = na < nb ? nb : na;
    if (mode == CNN_SIGNAL_FULL) return (range){0, na + nb - 1};
    if (mode == CNN_SIGNAL_VALID) return (range){shorter - 1, longer - shorter + 1};
    if (two_axes) return (range){correlate ? nb / 2 : (nb - 1) / 2, na};
    return (range){correlate && na < nb ? shorter / 2 : (shorter - 1) / 2, longer};
}

typedef struct plane {
    const cnn_tensor *values; /* float32 or an integer dtype */
    int64_t rows, columns;
} plane;

static plane plane_of(const cnn_tensor *t) {
    return (plane){t, t->rank == 2 ? t->shape[0] : 1, t->shape[t->rank - 1]};
}

static double at(const plane *p, int64_t row, int64_t column) {
    int64_t position = row * p->columns + column;
    switch (p->values->dtype) {
    case CNN_FLOAT32:
        return (double)cnn_f32(p->values)[position];
    case CNN_INT32:
        return cnn_i32(p->values)[position];
    default:
        return cnn_tensor_get(p->values, position);
    }
}

/* The positions j of b for which a[from ± j] exists. */
static range overlap(int64_t k, int64_t na, int64_t nb) {
    int64_t first = k - (na - 1) > 0 ? k - (na - 1) : 0, last = k < nb - 1 ? k : nb - 1;
    return (range){first, last - first + 1};
}

/* f at (k, l); a correlation is a convolution with b read backwards. */
static double element(const plane *a, const plane *b, int64_t k, int64_t l, bool correlate) {
    range rows = overlap(k, a->rows, b->rows), columns = overlap(l, a->columns, b->columns);
    double sum = 0;
    for (int64_t i = rows.from; i < rows.from + rows.count; i++)
        for (int64_t j = columns.from; j < columns.from + columns.count; j++)
            sum +=
                at(a, k - i, l - j) * (correlate ? at(b, b->rows - 1 - i, b->columns - 1 - j) : at(b, i, j));
    return sum;
}

static cnn_status check(const char *who, const cnn_tensor *a, const cnn_tensor *b, cnn_signal_mode mode) {
    char first[CNN_SHAPE_TEXT], second[CNN_SHAPE_TEXT];
    CNN_TRY(cnn_check_values(who, a));
    CNN_TRY(cnn_check_values(who, b));
    cnn_shape_text(first, sizeof first, a->rank, a->shape);
    cnn_shape_text(second, sizeof second, b->rank, b->shape);
    if (a->rank != b->rank || a->rank < 1 || a->rank > 2)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: expected two arrays of 1 or of 2 axes, got shapes %s and %s",
                        who, first, second);
    if (a->size == 0 || b->size == 0)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: the arrays must not be empty", who);
    bool wider = a->shape[0] > b->shape[0], higher = a->rank == 2 && a->shape[1] > b->shape[1];
    bool narrower = a->shape[0] < b->shape[0], lower = a->rank == 2 && a->shape[1] < b->shape[1];
    if (mode == CNN_SIGNAL_VALID && ((wider && lower) || (higher && narrower)))
        return cnn_fail(
            CNN_ERROR_SHAPE,
            "%s: 'valid' expects one array to be at least as large as the other on both axes, got "
            "shapes %s and %s",
            who, first, second);
    return CNN_OK;
}

static bool is_float(const cnn_tensor *t) {
    return t->dtype == CNN_FLOAT32 || t->dtype == CNN_BFLOAT16;
}

static cnn_status run(cnn_tensor **out, const char *who, const cnn_tensor *a, const cnn_tensor *b,
                      cnn_signal_mode mode, bool correlate) {
    CNN_TRY(check(who, a, b, mode));
    plane x = plane_of(a), y = plane_of(b);
    range rows = range_of(x.rows, y.rows, mode, correlate, true);
    range columns = range_of(x.columns, y.columns, mode, correlate, a->rank == 2);
    if (a->rank == 1) rows = (range){0, 1};
    int64_t shape[] = {rows.count, columns.count};
    cnn_tensor *result;
    CNN_TRY(cnn_tensor_alloc(&result, is_float(a) || is_float(b) ? CNN_FLOAT32 : CNN_INT32, a->rank,
                             a->rank == 2 ? shape : &shape[1]));
    for (int64_t r = 0; r < rows.count; r++)
        for (int64_t c = 0; c < columns.count; c++)
            cnn_tensor_set(result, r * columns.count + c,
                           element(&x, &y, rows.from + r, columns.from + c, correlate));
    *out = result;
    return CNN_OK;
}

cnn_status cnn_signal_convolve(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *b,
                               cnn_signal_mode mode) {
    return run(out, a->rank == 2 ? "convolve2d" : "convolve", a, b, mode, false);
}

cnn_status cnn_signal_correlate(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *b,
                                cnn_signal_mode mode) {
    return run(out, a->rank == 2 ? "correlate2d" : "correlate", a, b, mode, true);
}
